//! Memory given back to the system once a model has gone, or has come.

use std::time::Duration;

/// How often, and after what pause, memory is given back that another thread was at.
const GIVE_BACK_TRIES: usize = 10;
const GIVE_BACK_PAUSE: Duration = Duration::from_millis(10);

/// Gives the allocator's unused pages back; under load there always are some, so not for long.
pub(super) async fn give_memory_back() {
    for _ in 0..GIVE_BACK_TRIES {
        if crate::allocator::release_unused_memory() {
            break;
        }
        tokio::time::sleep(GIVE_BACK_PAUSE).await;
    }
}
