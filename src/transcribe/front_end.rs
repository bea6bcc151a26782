//! The bounded pool for decoding, resampling and features.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

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

    /// Runs `work` when its turn comes; dropping the future before that cancels it.
    ///
    /// # Errors
    /// [`FrontEndPanicked`] when the work panicked; nothing else suffers.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FrontEndPanicked> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| FrontEndPanicked)?;
        let running = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        running.await.map_err(|_| FrontEndPanicked)
    }
}
