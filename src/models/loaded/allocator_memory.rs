//! Returns unused memory to the operating system after a model was loaded or unloaded.

use std::time::Duration;

/// Number of attempts, and the pause between them, while other threads use the allocator.
const RELEASE_ATTEMPTS: usize = 10;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// Releases the allocator's unused pages. Bounded, since under load unused pages never run out.
pub(super) async fn release_unused_memory() {
    for _ in 0..RELEASE_ATTEMPTS {
        if crate::allocator::release_unused_memory() {
            break;
        }
        tokio::time::sleep(RELEASE_PAUSE).await;
    }
}
