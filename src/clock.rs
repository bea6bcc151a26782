//! The runtime's clock, which tests can pause.

use std::time::Instant;

/// The current time.
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
