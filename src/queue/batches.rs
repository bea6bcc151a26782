//! The bounded queue between requests and the batcher, for engines that run batches.
//!
//! A place in the queue is a [`QueuePermit`]: its holder may send one job, and the place is free
//! again when the job is sent to an engine or is dropped. A new request takes its first permit
//! without waiting and is refused when there is none; a request that was refused and returned on
//! time waits for it. A long recording waits for its further permits, which is the back-pressure on
//! its own windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::{QueueClosed, QueueFull};
use crate::job::Job;

/// The sending side: cheap to clone, one per running request.
#[derive(Clone, Debug)]
pub struct BatchQueue {
    tx: mpsc::Sender<QueuedJob>,
    permits: Arc<Semaphore>,
    upstream: Arc<Upstream>,
    capacity: usize,
}

/// The receiving side, owned by the batcher.
#[derive(Debug)]
pub struct QueueReceiver {
    /// Jobs in order of arrival.
    pub jobs: mpsc::Receiver<QueuedJob>,
    /// The count of windows being prepared.
    pub upstream: Arc<Upstream>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct QueuePermit {
    _permit: OwnedSemaphorePermit,
}

/// A job with its place in the queue.
#[derive(Debug)]
pub struct QueuedJob {
    /// The job.
    pub job: Job,
    _permit: QueuePermit,
}

/// Counts windows that are being prepared and will be sent soon.
///
/// While it is not zero an idle engine may wait for further windows; at zero waiting is pointless.
#[derive(Debug, Default)]
pub struct Upstream {
    count: AtomicUsize,
    emptied: Notify,
}

/// Keeps one window counted as upstream until it is dropped.
#[derive(Debug)]
pub struct UpstreamGuard(Arc<Upstream>);

/// Creates a queue that holds at most `capacity` windows.
#[must_use]
pub fn bounded(capacity: usize) -> (BatchQueue, QueueReceiver) {
    // The channel has as many places as there are permits: sending with a permit never waits.
    let (tx, jobs) = mpsc::channel(capacity);
    let upstream = Arc::new(Upstream::default());
    let handle = BatchQueue {
        tx,
        permits: Arc::new(Semaphore::new(capacity)),
        upstream: Arc::clone(&upstream),
        capacity,
    };
    (handle, QueueReceiver { jobs, upstream })
}

impl BatchQueue {
    /// Takes a permit for a new request, without waiting.
    ///
    /// # Errors
    /// [`QueueFull`] when all permits are taken.
    pub fn try_reserve(&self) -> Result<QueuePermit, QueueFull> {
        Arc::clone(&self.permits)
            .try_acquire_owned()
            .map(|permit| QueuePermit { _permit: permit })
            .map_err(|_| QueueFull {
                capacity: self.capacity,
                retry: None,
            })
    }

    /// Waits for a permit: for further windows of a running request.
    ///
    /// # Errors
    /// [`QueueClosed`] when the model is being unloaded.
    pub async fn reserve(&self) -> Result<QueuePermit, QueueClosed> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit
            .map(|permit| QueuePermit { _permit: permit })
            .map_err(|_| QueueClosed)
    }

    /// Sends a job.
    ///
    /// # Errors
    /// [`QueueClosed`] when the batcher is gone.
    pub fn send(&self, permit: QueuePermit, job: Job) -> Result<(), QueueClosed> {
        let queued = QueuedJob {
            job,
            _permit: permit,
        };
        self.tx.try_send(queued).map_err(|_| QueueClosed)
    }

    /// Announces a window that is being prepared.
    #[must_use]
    pub fn expect_window(&self) -> UpstreamGuard {
        self.upstream.count.fetch_add(1, Ordering::SeqCst);
        UpstreamGuard(Arc::clone(&self.upstream))
    }

    /// Whether the batcher is gone, so that jobs would get no reply.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// Permits taken, in windows.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.capacity - self.permits.available_permits()
    }

    /// The bound, in windows.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Upstream {
    /// Number of windows being prepared.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Completes when the count has fallen to zero.
    pub async fn emptied(&self) {
        self.emptied.notified().await;
    }
}

impl Drop for UpstreamGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.emptied.notify_one();
        }
    }
}

impl QueuedJob {
    /// Returns the job and frees its place.
    #[must_use]
    pub fn into_job(self) -> Job {
        self.job
    }
}
