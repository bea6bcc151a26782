//! The bounded queue between requests and the batcher.
//!
//! A place in the queue is a [`Slot`]: whoever holds one may send one job, and the place is
//! free again when the job leaves for an engine or is dropped. A new request takes its first
//! slot without waiting and is refused when there is none; a request that was refused and returns
//! when it was told to waits for it. A long file waits for its further slots, which is the
//! back-pressure on its own windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::job::Job;

/// The sending side: cheap to clone, one per request on its way.
#[derive(Clone, Debug)]
pub struct QueueHandle {
    tx: mpsc::Sender<Queued>,
    slots: Arc<Semaphore>,
    upstream: Arc<Upstream>,
    capacity: usize,
}

/// The receiving side, owned by the batcher.
#[derive(Debug)]
pub struct QueueReceiver {
    /// Jobs in order of arrival.
    pub jobs: mpsc::Receiver<Queued>,
    /// Work that is known to come.
    pub upstream: Arc<Upstream>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// A job together with the place it takes.
#[derive(Debug)]
pub struct Queued {
    /// The job.
    pub job: Job,
    _slot: Slot,
}

/// What a request does while every place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It ends.
    Refuse,
    /// It waits for its place, before all later requests.
    Wait,
}

/// No place is free for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue is full: {capacity} windows are waiting")]
pub struct QueueFull {
    /// The queue's bound, in windows.
    pub capacity: usize,
}

/// The batcher is gone: the model is being unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue is closed")]
pub struct QueueClosed;

/// Counts windows that are being prepared and will be sent soon.
///
/// While it is not zero an idle engine may wait for company; at zero waiting is pointless.
#[derive(Debug, Default)]
pub struct Upstream {
    count: AtomicUsize,
    emptied: Notify,
}

/// Keeps one piece of work counted as upstream until it is dropped.
#[derive(Debug)]
pub struct UpstreamGuard(Arc<Upstream>);

/// A queue that holds at most `capacity` windows.
#[must_use]
pub fn bounded(capacity: usize) -> (QueueHandle, QueueReceiver) {
    // As many channel places as slots: sending with a slot in hand never waits.
    let (tx, jobs) = mpsc::channel(capacity);
    let upstream = Arc::new(Upstream::default());
    let handle = QueueHandle {
        tx,
        slots: Arc::new(Semaphore::new(capacity)),
        upstream: Arc::clone(&upstream),
        capacity,
    };
    (handle, QueueReceiver { jobs, upstream })
}

impl QueueHandle {
    /// Takes a place for a new request, without waiting.
    ///
    /// # Errors
    /// [`QueueFull`] when every place is taken.
    pub fn try_reserve(&self) -> Result<Slot, QueueFull> {
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map(|permit| Slot { _permit: permit })
            .map_err(|_| QueueFull {
                capacity: self.capacity,
            })
    }

    /// Waits for a place: for the further windows of a request that is already in.
    ///
    /// # Errors
    /// [`QueueClosed`] when the model is being unloaded.
    pub async fn reserve(&self) -> Result<Slot, QueueClosed> {
        let permit = Arc::clone(&self.slots).acquire_owned().await;
        permit
            .map(|permit| Slot { _permit: permit })
            .map_err(|_| QueueClosed)
    }

    /// Sends a job into its place.
    ///
    /// # Errors
    /// [`QueueClosed`] when the batcher is gone.
    pub fn send(&self, slot: Slot, job: Job) -> Result<(), QueueClosed> {
        self.tx
            .try_send(Queued { job, _slot: slot })
            .map_err(|_| QueueClosed)
    }

    /// Announces a window that is being prepared.
    #[must_use]
    pub fn expect_window(&self) -> UpstreamGuard {
        self.upstream.count.fetch_add(1, Ordering::SeqCst);
        UpstreamGuard(Arc::clone(&self.upstream))
    }

    /// Whether the batcher is gone, so that nothing sent would be answered.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }

    /// Places taken at this moment, in windows.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.capacity - self.slots.available_permits()
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

    /// Completes after the count has fallen to zero.
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

impl Queued {
    /// Parts the job from its place, which is free from here on.
    #[must_use]
    pub fn into_job(self) -> Job {
        self.job
    }
}
