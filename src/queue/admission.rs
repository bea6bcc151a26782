//! Admits requests to a scheduled queue: by its places, and by the time that their audio has to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scheduled::{ScheduledPlace, ScheduledQueue, Shared};
use super::{Arrival, NewWindow, NoPlace, QueueFull, Retry, ReturnTicket, TooLate, WhenFull};
use crate::schedule::{Lane, Offer, OfferedAudio, Refusal};

/// The number of the next queue of this process.
static NEXT_QUEUE: AtomicU64 = AtomicU64::new(0);

/// An admitted request. Dropping it ends the request.
#[derive(Debug)]
pub struct ScheduledRequest {
    shared: Arc<Shared>,
    window: NewWindow,
    ticket: Option<ReturnTicket>,
    /// Whether its audio counts: not that of a request that waited for its place.
    is_estimated: bool,
}

/// A number that no other queue of this process has.
pub(super) fn queue_number() -> u64 {
    NEXT_QUEUE.fetch_add(1, Ordering::Relaxed)
}

impl ScheduledQueue {
    /// Admits a request with its first window. Its audio is not known yet.
    ///
    /// # Errors
    /// [`NoPlace`] when no runner has an engine, when no place is free and the request does not wait, or when the
    /// windows that wait already would take longer than until its deadline.
    pub async fn admit(
        &self,
        window: NewWindow,
        arrival: Arrival,
    ) -> Result<(ScheduledRequest, ScheduledPlace), NoPlace> {
        let mut request = ScheduledRequest {
            shared: Arc::clone(self.shared()),
            window,
            ticket: arrival.ticket,
            is_estimated: true,
        };
        match request.offer(window.lane, OfferedAudio::Unknown) {
            Ok(()) => Ok((request, self.admitted_place(window)?)),
            Err(NoPlace::Full(_)) if arrival.when_full == WhenFull::Wait => {
                request.is_estimated = false;
                Ok((request, self.place(window).await?))
            }
            Err(refusal) => Err(refusal),
        }
    }
}

impl ScheduledRequest {
    /// The length of the request's audio is known; most of it is in this lane.
    ///
    /// # Errors
    /// [`NoPlace::TooLate`] when its windows would be written after its deadline.
    pub fn announce(&self, lane: Lane, audio: Duration) -> Result<(), NoPlace> {
        if self.is_estimated {
            self.offer(lane, OfferedAudio::Announced(audio))
        } else {
            Ok(())
        }
    }

    fn offer(&self, lane: Lane, audio: OfferedAudio) -> Result<(), NoPlace> {
        let shared = &self.shared;
        let mut state = shared.state();
        let now = shared.now();
        let own = |ticket: &ReturnTicket| ticket.queue == shared.number;
        let offer = Offer {
            promise: self.ticket.filter(own).map(|ticket| ticket.promise),
            request: self.window.request,
            lane,
            audio,
            patience: shared.time(self.window.deadline).saturating_sub(now),
        };
        let offered = state.scheduler.offer(&offer, now);
        let capacity = state.scheduler.max_waiting();
        shared.settle(&mut state);
        let retry = |after, promise: Option<_>| Retry {
            after,
            ticket: promise.map(|promise| ReturnTicket {
                queue: shared.number,
                promise,
            }),
        };
        offered.map_err(|refusal| match refusal {
            Refusal::QueueFull {
                retry_after,
                promise,
            } => NoPlace::Full(QueueFull {
                capacity,
                retry: Some(retry(retry_after, promise)),
            }),
            Refusal::TooLate {
                estimate,
                retry_after,
                promise,
            } => NoPlace::TooLate(TooLate {
                estimate,
                retry: retry(retry_after, promise),
            }),
            Refusal::ShuttingDown => NoPlace::Closed(super::QueueClosed),
        })
    }
}

impl Drop for ScheduledRequest {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.scheduler.close_request(self.window.request);
        self.shared.settle(&mut state);
    }
}
