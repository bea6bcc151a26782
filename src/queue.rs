//! The bounded queue of a loaded model, between requests and engines: of windows for batches (`batches.rs`), or of
//! windows that enter and leave continuous engines one by one (`scheduled.rs`).

mod batches;
mod window;
mod scheduled;
mod admission;
mod runner;

use std::time::{Duration, Instant};

use crate::caller::Caller;
use crate::job::Job;
use crate::schedule::{Lane, PromiseId, RequestId};

pub use admission::ScheduledRequest;
pub use batches::{
    BatchQueue, QueuePermit, QueueReceiver, QueuedJob, Upstream, UpstreamGuard, bounded,
};
pub use runner::{Report, RunnerHandle, RunnerWork};
pub use scheduled::{ScheduledPlace, ScheduledQueue, SentWindow};
pub use window::{Attempts, RunnerWindow};

/// The sending side: cheap to clone, one per running request.
#[derive(Clone, Debug)]
pub enum QueueHandle {
    /// Of engines that run batches.
    Batches(BatchQueue),
    /// Of continuous engines.
    Scheduled(ScheduledQueue),
}

/// A window that is to be prepared and needs a place in the queue.
#[derive(Clone, Copy, Debug)]
pub struct NewWindow {
    /// Its request.
    pub request: RequestId,
    /// The caller of its request.
    pub caller: Caller,
    /// Its urgency.
    pub lane: Lane,
    /// After this time its text is no longer needed.
    pub deadline: Instant,
}

/// How a request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// What happens while the queue is full.
    pub when_full: WhenFull,
    /// That of its refusal, if it was refused before and has returned.
    pub ticket: Option<ReturnTicket>,
}

/// Identifies a refusal to the queue that has given a return time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnTicket {
    queue: u64,
    promise: PromiseId,
}

/// When a refused request is to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The time until then.
    pub after: Duration,
    /// To be shown then; without one the time is a guess.
    pub ticket: Option<ReturnTicket>,
}

/// An admitted request. Dropping it ends the request.
#[derive(Debug)]
pub enum AdmittedRequest {
    /// By the queue of the batcher, which counts only windows.
    Batches,
    /// By a scheduled queue.
    Scheduled(ScheduledRequest),
}

/// A place in the queue; it is free again when it is dropped.
#[derive(Debug)]
pub enum Place {
    /// In the queue of the batcher, which may wait for the window.
    Batches(QueuePermit, UpstreamGuard),
    /// In a scheduled queue.
    Scheduled(ScheduledPlace),
}

/// A window in the queue or in an engine. Dropping it cancels the window.
#[derive(Debug)]
pub enum Sent {
    /// The batcher notices when the receiver of the answer is dropped.
    Batches,
    /// In a scheduled queue.
    Scheduled(SentWindow),
}

/// How a request proceeds while the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    Refuse,
    /// It waits for its place.
    Wait,
}

/// No place is free for a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue is full: {capacity} windows are waiting")]
pub struct QueueFull {
    /// The queue's bound, in windows.
    pub capacity: usize,
    /// When to return, if the queue knows.
    pub retry: Option<Retry>,
}

/// The windows of a request would be written after its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected end in {} s passes the deadline", estimate.as_secs())]
pub struct TooLate {
    /// The expected time until its end.
    pub estimate: Duration,
    /// When to return.
    pub retry: Retry,
}

/// No engine takes windows from the queue: the model is being unloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue is closed")]
pub struct QueueClosed;

/// Why a window has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// None is free.
    #[error(transparent)]
    Full(#[from] QueueFull),
    /// It would be free too late.
    #[error(transparent)]
    TooLate(#[from] TooLate),
    /// The model is being unloaded.
    #[error(transparent)]
    Closed(#[from] QueueClosed),
}

impl QueueHandle {
    /// Admits a request with its first window.
    ///
    /// # Errors
    /// [`NoPlace`] when the queue is closed, when it is full and the request does not wait, or when the deadline would
    /// pass.
    pub async fn admit(
        &self,
        window: NewWindow,
        arrival: Arrival,
    ) -> Result<(AdmittedRequest, Place), NoPlace> {
        match self {
            Self::Batches(queue) => {
                let permit = match arrival.when_full {
                    WhenFull::Refuse => queue.try_reserve()?,
                    WhenFull::Wait => queue.reserve().await?,
                };
                let place = Place::Batches(permit, queue.expect_window());
                Ok((AdmittedRequest::Batches, place))
            }
            Self::Scheduled(queue) => {
                let (request, place) = queue.admit(window, arrival).await?;
                let request = AdmittedRequest::Scheduled(request);
                Ok((request, Place::Scheduled(place)))
            }
        }
    }

    /// Waits for a place for a further window of an admitted request.
    ///
    /// # Errors
    /// [`QueueClosed`] when the model is being unloaded.
    pub async fn place(&self, window: NewWindow) -> Result<Place, QueueClosed> {
        match self {
            Self::Batches(queue) => {
                let permit = queue.reserve().await?;
                Ok(Place::Batches(permit, queue.expect_window()))
            }
            Self::Scheduled(queue) => queue.place(window).await.map(Place::Scheduled),
        }
    }

    /// Sends a job.
    ///
    /// # Errors
    /// [`QueueClosed`] when the model is being unloaded.
    pub fn send(&self, place: Place, job: Job) -> Result<Sent, QueueClosed> {
        match (self, place) {
            (Self::Batches(queue), Place::Batches(permit, upstream)) => {
                queue.send(permit, job)?;
                // Only now: while the count was above zero the batcher may have waited for this window.
                drop(upstream);
                Ok(Sent::Batches)
            }
            (_, Place::Scheduled(place)) => place.send(job).map(Sent::Scheduled),
            // A place of another queue, which has been replaced.
            (Self::Scheduled(_), Place::Batches(..)) => Err(QueueClosed),
        }
    }

    /// Whether windows enter and leave the engines one by one.
    #[must_use]
    pub fn is_continuous(&self) -> bool {
        matches!(self, Self::Scheduled(_))
    }

    /// Whether jobs would get no reply.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Batches(queue) => queue.is_closed(),
            Self::Scheduled(queue) => queue.is_closed(),
        }
    }

    /// Places taken, in windows.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Batches(queue) => queue.depth(),
            Self::Scheduled(queue) => queue.depth(),
        }
    }
}

impl AdmittedRequest {
    /// The length of the request's audio is known; most of it is in this lane.
    ///
    /// # Errors
    /// [`NoPlace::TooLate`] when its windows would be written after its deadline.
    pub fn announce(&self, lane: Lane, audio: Duration) -> Result<(), NoPlace> {
        match self {
            Self::Batches => Ok(()),
            Self::Scheduled(request) => request.announce(lane, audio),
        }
    }
}

#[cfg(test)]
impl ReturnTicket {
    /// A ticket of no queue.
    pub const OF_NO_QUEUE: Self = Self {
        queue: u64::MAX,
        promise: PromiseId(7),
    };
}

#[cfg(test)]
mod tests;
