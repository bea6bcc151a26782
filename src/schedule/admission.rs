//! Decides which requests may send their windows, by audio seconds against measured speed.

use std::collections::HashMap;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::limits::Limits;
use super::promises::{Attempt, Backlog, Promises, Return};
use super::speed::Speed;
use super::window::{RequestId, Window};

/// A request before its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Recognises the request when it returns after a refusal.
    pub attempt: Attempt,
    /// Identifies it until [`super::Scheduler::close_request`].
    pub request: RequestId,
    /// The lane of most of its audio.
    pub lane: Lane,
    /// Length of its audio.
    pub audio: Duration,
    /// Time until its deadline.
    pub patience: Duration,
}

/// Why a request or a window was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue has no place for it.
    #[error("queue is full")]
    QueueFull {
        /// The time after which it should return.
        retry_after: Duration,
    },
    /// Its deadline would pass while it waits.
    #[error("expected wait of {} s passes the deadline", estimate.as_secs())]
    TooLate {
        /// The expected time until its end.
        estimate: Duration,
        /// The time after which it should return.
        retry_after: Duration,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Decides on offers.
#[derive(Debug, Default)]
pub struct Admission {
    speed: Speed,
    requests: HashMap<RequestId, Admitted>,
    /// Audio of admitted requests that has not arrived yet.
    announced: PerLane<Duration>,
    /// Admitted requests without a window so far.
    reserved: PerLane<usize>,
    promises: PerLane<Promises>,
}

/// An admitted request.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    lane: Lane,
    announced: Duration,
    holds_place: bool,
}

/// The estimate counts from this number of waiting windows on; below it the speed is not known well.
const ESTIMATE_FROM: usize = 20;

/// The part of the limit up to which new requests are admitted; the rest is left for those that were given a time
/// to return, because the backlog is never exactly as expected.
const NEW_UP_TO: f64 = 0.8;

/// Assumed speed before any is measured, in audio seconds a second. No time of return follows from it.
const UNKNOWN_SPEED: f64 = 100.0;

/// Assumed length of a window if none waits, in seconds.
const UNKNOWN_WINDOW_S: f64 = 10.0;

/// The shortest return time.
const MIN_RETRY: Duration = Duration::from_secs(1);

impl Admission {
    /// Admits or refuses a request. `waiting` is the number of waiting windows and their audio.
    pub fn offer(
        &mut self,
        offer: &Offer,
        limits: &Limits,
        waiting: &PerLane<(usize, Duration)>,
        now: Duration,
    ) -> Result<(), Refusal> {
        let lane = offer.lane;
        let (windows, audio) = waiting[lane];
        let mean_s = if windows > 0 {
            audio.as_secs_f64() / windows as f64
        } else {
            UNKNOWN_WINDOW_S
        };
        let bulk_waits = waiting[Lane::Bulk].0 > 0;
        let known_speed = self.speed.of_lane(lane, limits.shares, bulk_waits);
        let backlog = Backlog {
            level: (audio + self.announced[lane]).as_secs_f64(),
            speed: known_speed.unwrap_or(UNKNOWN_SPEED),
        };
        // The places that the windows of this lane may still take, beside those of less urgent ones.
        let taken_from = |lane: Lane| -> usize {
            let lanes = Lane::ALL.into_iter().filter(|other| *other >= lane);
            lanes
                .map(|lane| waiting[lane].0 + self.reserved[lane])
                .sum()
        };
        let (taken, places) = (taken_from(lane), limits.places(lane));
        let is_full = taken >= places || taken_from(Lane::Live) >= limits.max_waiting.get();
        let own = windows + self.reserved[lane];
        let by_places = mean_s * (places.saturating_sub(taken) + own) as f64;
        let own_s = offer.audio.as_secs_f64();
        let patience = offer.patience.saturating_sub(self.speed.residence(lane));
        let by_time = patience.as_secs_f64() * backlog.speed;
        let limit = if known_speed.is_some() {
            by_time.min(by_places)
        } else {
            by_places
        }
        .max(own_s);

        let promises = &mut self.promises[lane];
        let returned = promises.returned(offer.attempt, now);
        let fits = |level: f64, limit: f64| level + own_s <= limit;
        let is_admitted = !is_full
            && match returned {
                Return::OnTime => own < ESTIMATE_FROM || fits(backlog.level, limit),
                Return::New | Return::Early(_) => {
                    own + promises.len() < ESTIMATE_FROM
                        || fits(promises.highest_level(backlog, now), limit * NEW_UP_TO)
                }
            };
        if is_admitted {
            promises.remove(offer.attempt);
            self.admit(offer);
            return Ok(());
        }
        let state = (backlog, now);
        let wait = match returned {
            // It could not be kept.
            _ if known_speed.is_none() => Duration::ZERO,
            Return::Early(wait) => wait,
            Return::OnTime => {
                promises.promise_first(offer.attempt, own_s, limit * NEW_UP_TO, state)
            }
            Return::New => promises.promise(offer.attempt, own_s, limit * NEW_UP_TO, state),
        };
        let retry_after = wait.max(MIN_RETRY);
        if is_full || known_speed.is_none() || by_places < by_time {
            return Err(Refusal::QueueFull { retry_after });
        }
        let estimate = Duration::from_secs_f64((backlog.level + own_s) / backlog.speed);
        Err(Refusal::TooLate {
            estimate: estimate + self.speed.residence(lane),
            retry_after,
        })
    }

    /// Ends a request.
    pub fn close(&mut self, request: RequestId) {
        if let Some(admitted) = self.requests.remove(&request) {
            self.announced[admitted.lane] -= admitted.announced;
            self.reserved[admitted.lane] -= usize::from(admitted.holds_place);
        }
    }

    /// A window has arrived in the queue.
    pub fn arrived(&mut self, window: &Window) {
        if let Some(admitted) = self.requests.get_mut(&window.request) {
            let audio = admitted.announced.min(window.audio);
            admitted.announced -= audio;
            self.announced[admitted.lane] -= audio;
            self.reserved[admitted.lane] -= usize::from(admitted.holds_place);
            admitted.holds_place = false;
        }
    }

    /// A window has ended, this long after its encoder call began.
    pub fn ended(&mut self, window: &Window, in_slot: Duration, now: Duration) {
        self.speed.ended(window.lane, window.audio, in_slot, now);
    }

    /// Notes whether windows wait.
    pub fn observe(&mut self, has_waiting: bool, now: Duration) {
        self.speed.observe(has_waiting, now);
    }

    /// Number of admitted requests of a lane that hold a place and have sent no window.
    pub fn reserved(&self, lane: Lane) -> usize {
        self.reserved[lane]
    }

    /// Whether a request holds a place for its first window.
    pub fn holds_place(&self, request: RequestId) -> bool {
        let admitted = self.requests.get(&request);
        admitted.is_some_and(|admitted| admitted.holds_place)
    }

    /// The measured speed of a lane, in audio seconds a second.
    pub fn speed(&self, lane: Lane, limits: &Limits) -> Option<f64> {
        self.speed.of_lane(lane, limits.shares, true)
    }

    fn admit(&mut self, offer: &Offer) {
        self.close(offer.request);
        self.announced[offer.lane] += offer.audio;
        self.reserved[offer.lane] += 1;
        let admitted = Admitted {
            lane: offer.lane,
            announced: offer.audio,
            holds_place: true,
        };
        self.requests.insert(offer.request, admitted);
    }
}

#[cfg(test)]
mod tests;
