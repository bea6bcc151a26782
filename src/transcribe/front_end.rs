//! The bounded pool for decoding, resampling and features.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::telemetry::traces;

/// Runs CPU work off the async workers, a bounded number of pieces at a time, in turn.
#[derive(Clone, Debug)]
pub struct FrontEnd {
    permits: Arc<Semaphore>,
}

/// The work panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audio front end panicked")]
pub struct FrontEndPanicked;

impl FrontEnd {
    /// At most `workers` pieces of work run at once.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(workers.get())),
        }
    }

    /// Runs `work` of this room when its turn comes; dropping the future before that cancels it.
    ///
    /// # Errors
    /// [`FrontEndPanicked`] when the work panicked; nothing else suffers.
    pub async fn run<T: Send + 'static>(
        &self,
        room: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FrontEndPanicked> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| FrontEndPanicked)?;
        let span = traces::room(room);
        let running = tokio::task::spawn_blocking(move || {
            let result = span.in_scope(work);
            drop(permit);
            result
        });
        running.await.map_err(|_| FrontEndPanicked)
    }
}
