//! Decides which requests may send their windows, by audio seconds against measured speed.

use std::collections::HashMap;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::limits::Limits;
use super::promises::{Backlog, PromiseId, Promises, Return};
use super::speed::Speed;
use super::window::{RequestId, Window};

/// A request before its admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// That of its refusal, if it was refused before.
    pub promise: Option<PromiseId>,
    /// Identifies it until [`super::Scheduler::close_request`].
    pub request: RequestId,
    /// The lane of most of its audio.
    pub lane: Lane,
    /// What is known of its audio.
    pub audio: OfferedAudio,
    /// Time until its deadline.
    pub patience: Duration,
}

/// What is known of the audio of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedAudio {
    /// Nothing yet: the request is admitted if it could be without audio, and offered again.
    Unknown,
    /// Its length.
    Known(Duration),
    /// Its length, of a request that was admitted before its length was known and has its place.
    Announced(Duration),
}

/// Why a request or a window was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue has no place for it.
    #[error("queue is full")]
    QueueFull {
        /// The time after which it should return.
        retry_after: Duration,
        /// Identifies the refusal when it returns; none if the time is a guess.
        promise: Option<PromiseId>,
    },
    /// Its deadline would pass while it waits.
    #[error("expected wait of {} s passes the deadline", estimate.as_secs())]
    TooLate {
        /// The expected time until its end.
        estimate: Duration,
        /// The time after which it should return.
        retry_after: Duration,
        /// Identifies the refusal when it returns.
        promise: Option<PromiseId>,
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
    next_promise: u64,
}

/// The windows of a lane that wait or have a place, and the audio that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingWindows {
    pub windows: usize,
    /// Places of windows that are still to come.
    pub held: usize,
    pub audio: Duration,
}

/// An admitted request.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    lane: Lane,
    announced: Duration,
    /// The lane in which it holds a place.
    place: Option<Lane>,
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
    /// Admits or refuses a request.
    pub fn offer(
        &mut self,
        offer: &Offer,
        limits: &Limits,
        waiting: &PerLane<WaitingWindows>,
        now: Duration,
    ) -> Result<(), Refusal> {
        let lane = offer.lane;
        let WaitingWindows { windows, audio, .. } = waiting[lane];
        let bulk_waits = waiting[Lane::Bulk].windows > 0;
        let known_speed = self.speed.of_lane(lane, limits.shares, bulk_waits);
        let backlog = Backlog {
            level: (audio + self.announced[lane]).as_secs_f64(),
            speed: known_speed.unwrap_or(UNKNOWN_SPEED),
        };
        let own = windows + self.reserved[lane];
        let own_s = offer.audio.length().as_secs_f64();
        let patience = offer.patience.saturating_sub(self.speed.residence(lane));
        let by_time = match known_speed {
            Some(speed) => patience.as_secs_f64() * speed,
            None => f64::INFINITY,
        };
        let (is_full, by_places) = match offer.audio {
            OfferedAudio::Announced(_) => (false, f64::INFINITY),
            OfferedAudio::Unknown | OfferedAudio::Known(_) => self.places(lane, limits, waiting),
        };
        let limit = by_time.min(by_places).max(own_s);

        let returned = self.returned(offer.promise, now);
        let promises = &self.promises[lane];
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
            self.admit(offer);
            return Ok(());
        }
        let (retry_after, promise) = match known_speed {
            // It could not be kept.
            None => (MIN_RETRY, None),
            Some(_) => {
                let (id, state) = (self.promise_of(offer), (backlog, now));
                let limit = limit * NEW_UP_TO;
                let promises = &mut self.promises[lane];
                let wait = match returned {
                    Return::Early(wait) => wait,
                    Return::OnTime => promises.promise_first(id, own_s, limit, state),
                    Return::New => promises.promise(id, own_s, limit, state),
                };
                (wait.max(MIN_RETRY), Some(id))
            }
        };
        if is_full || known_speed.is_none() || by_places < by_time {
            return Err(Refusal::QueueFull {
                retry_after,
                promise,
            });
        }
        let estimate = Duration::from_secs_f64((backlog.level + own_s) / backlog.speed);
        Err(Refusal::TooLate {
            estimate: estimate + self.speed.residence(lane),
            retry_after,
            promise,
        })
    }

    /// Whether the queue has no place for another window of this lane, and the audio for which it has places, in
    /// seconds: those that windows of this lane take and may still take, beside those of less urgent ones.
    fn places(
        &self,
        lane: Lane,
        limits: &Limits,
        waiting: &PerLane<WaitingWindows>,
    ) -> (bool, f64) {
        let taken_from = |lane: Lane| -> usize {
            let lanes = Lane::ALL.into_iter().filter(|other| *other >= lane);
            let taken = |lane| {
                let WaitingWindows { windows, held, .. } = waiting[lane];
                windows + held + self.reserved[lane]
            };
            lanes.map(taken).sum()
        };
        let (taken, places) = (taken_from(lane), limits.places(lane));
        let is_full = taken >= places || taken_from(Lane::Live) >= limits.max_waiting.get();
        let WaitingWindows { windows, audio, .. } = waiting[lane];
        let mean_s = if windows > 0 {
            audio.as_secs_f64() / windows as f64
        } else {
            UNKNOWN_WINDOW_S
        };
        let own = windows + self.reserved[lane];
        (
            is_full,
            mean_s * (places.saturating_sub(taken) + own) as f64,
        )
    }

    fn returned(&mut self, promise: Option<PromiseId>, now: Duration) -> Return {
        let mut returned = Return::New;
        if let Some(id) = promise {
            for lane in Lane::ALL {
                let in_lane = self.promises[lane].returned(id, now);
                if in_lane != Return::New {
                    returned = in_lane;
                }
            }
        }
        returned
    }

    /// The id of the promise for a request that is refused: its own, if it has one.
    fn promise_of(&mut self, offer: &Offer) -> PromiseId {
        offer.promise.unwrap_or_else(|| {
            self.next_promise += 1;
            PromiseId(self.next_promise)
        })
    }

    /// Ends a request.
    pub fn close(&mut self, request: RequestId) {
        self.take_place(request);
        if let Some(admitted) = self.requests.remove(&request) {
            self.announced[admitted.lane] -= admitted.announced;
        }
    }

    /// A window has arrived in the queue.
    pub fn arrived(&mut self, window: &Window) {
        if let Some(admitted) = self.requests.get_mut(&window.request) {
            let audio = admitted.announced.min(window.audio);
            admitted.announced -= audio;
            self.announced[admitted.lane] -= audio;
        }
    }

    /// A window has taken the place of its request.
    pub fn take_place(&mut self, request: RequestId) {
        let admitted = self.requests.get_mut(&request);
        if let Some(lane) = admitted.and_then(|admitted| admitted.place.take()) {
            self.reserved[lane] -= 1;
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
        admitted.is_some_and(|admitted| admitted.place.is_some())
    }

    /// The measured speed of a lane, in audio seconds a second.
    pub fn speed(&self, lane: Lane, limits: &Limits) -> Option<f64> {
        self.speed.of_lane(lane, limits.shares, true)
    }

    fn admit(&mut self, offer: &Offer) {
        // A request whose length is not known keeps its promise until it is offered again.
        if let Some(id) = offer.promise
            && offer.audio != OfferedAudio::Unknown
        {
            for lane in Lane::ALL {
                self.promises[lane].remove(id);
            }
        }
        let before = self.requests.remove(&offer.request);
        if let Some(before) = before {
            self.announced[before.lane] -= before.announced;
        }
        let mut place = before.and_then(|before| before.place);
        if place.is_none() && !matches!(offer.audio, OfferedAudio::Announced(_)) {
            self.reserved[offer.lane] += 1;
            place = Some(offer.lane);
        }
        let announced = offer.audio.length();
        self.announced[offer.lane] += announced;
        let lane = offer.lane;
        self.requests.insert(
            offer.request,
            Admitted {
                lane,
                announced,
                place,
            },
        );
    }
}

impl OfferedAudio {
    fn length(self) -> Duration {
        match self {
            Self::Unknown => Duration::ZERO,
            Self::Known(length) | Self::Announced(length) => length,
        }
    }
}

#[cfg(test)]
mod tests;
