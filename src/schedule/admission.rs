//! Decides which requests may send their windows, by audio seconds against measured speed.

use std::collections::HashMap;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::limits::Limits;
use super::promises::{Attempt, Backlog, Promises, Return};
use super::speed::Speed;
use super::window::{RequestId, Window};

/// A request that asks to be admitted.
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

/// The part of the limit up to which new requests are admitted; the rest is left for those that were told
/// to return, because the backlog is never exactly as expected.
const NEW_UP_TO: f64 = 0.8;

/// Assumed speed before any is measured, in audio seconds a second. No time of return follows from it.
const UNKNOWN_SPEED: f64 = 100.0;

/// Assumed length of a window if none waits, in seconds.
const UNKNOWN_WINDOW_S: f64 = 10.0;

/// Callers are not told to return sooner.
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
mod tests {
    use std::num::NonZeroUsize;

    use super::super::limits::Layout;
    use super::super::shares::ShareLimits;
    use super::super::window::WindowId;
    use super::*;
    use crate::caller::Caller;

    const LIMITS: Limits = Limits {
        layout: Layout::Overlapping,
        max_slots: NonZeroUsize::new(8).unwrap(),
        max_waiting: NonZeroUsize::new(800).unwrap(),
        max_encode: NonZeroUsize::MIN,
        max_open: NonZeroUsize::MIN,
        batch_window: Duration::ZERO,
        memory: u64::MAX,
        shares: ShareLimits {
            live_max: 0.5,
            bulk_min: 0.125,
        },
    };

    /// The speed is 10 s of audio a second; windows take a second.
    fn admission() -> Admission {
        let mut admission = Admission::default();
        for tenth in 0..200 {
            let now = Duration::from_millis(100 * tenth);
            admission.ended(&window(0), Duration::from_secs(1), now);
            admission.observe(true, now);
        }
        admission
    }

    const NOW: Duration = Duration::from_secs(20);

    fn window(request: u64) -> Window {
        Window {
            id: WindowId(request),
            request: RequestId(request),
            caller: Caller::Key(0),
            lane: Lane::Interactive,
            audio: Duration::from_secs(1),
            deadline: Duration::MAX,
            bytes: 0,
        }
    }

    fn offer(request: u64, patience_s: u64) -> Offer {
        Offer {
            attempt: Attempt {
                caller: Caller::Key(0),
                fingerprint: request,
            },
            request: RequestId(request),
            lane: Lane::Interactive,
            audio: Duration::from_secs(10),
            patience: Duration::from_secs(patience_s),
        }
    }

    /// Windows of 10 s that wait in interactive.
    fn waiting(windows: usize) -> PerLane<(usize, Duration)> {
        PerLane::from_fn(|lane| match lane {
            Lane::Interactive => (windows, Duration::from_secs(10 * windows as u64)),
            _ => (0, Duration::ZERO),
        })
    }

    #[test]
    fn refuses_when_the_wait_passes_the_deadline() {
        // 30 windows are 30 s of work, and 31 s with its own; a fifth of the limit is kept for returns.
        for (windows, patience_s, is_admitted) in [
            (30, 60, true),
            (30, 41, true),
            (30, 38, false),
            (30, 20, false),
            (19, 1, true),
            (20, 1, false),
        ] {
            let result = admission().offer(&offer(1, patience_s), &LIMITS, &waiting(windows), NOW);
            assert_eq!(
                result.is_ok(),
                is_admitted,
                "{windows} {patience_s} {result:?}"
            );
        }
    }

    #[test]
    fn says_when_to_return_and_admits_then() {
        let mut admission = admission();
        let refusal = admission.offer(&offer(1, 21), &LIMITS, &waiting(30), NOW);
        let Err(Refusal::TooLate {
            retry_after,
            estimate,
        }) = refusal
        else {
            panic!("{refusal:?}");
        };
        // From 310 s of audio to 80 % of 20 s of work.
        assert_eq!(estimate.as_secs_f64().round(), 32.0);
        assert_eq!(retry_after.as_secs_f64().round(), 15.0);
        // Whoever comes early is told the remaining time, and loses nothing by it.
        let early = admission.offer(&offer(1, 21), &LIMITS, &waiting(25), NOW + retry_after / 2);
        let Err(Refusal::TooLate {
            retry_after: rest, ..
        }) = early
        else {
            panic!("{early:?}");
        };
        assert_eq!(rest, retry_after - retry_after / 2);
        // A newcomer does not get its place.
        let returned = NOW + retry_after;
        assert!(
            admission
                .offer(&offer(2, 21), &LIMITS, &waiting(19), returned)
                .is_err()
        );
        let on_time = admission.offer(&offer(1, 21), &LIMITS, &waiting(19), returned);
        assert_eq!(on_time, Ok(()));
    }

    #[test]
    fn the_bound_of_the_queue_holds_whatever_the_estimate() {
        let full = LIMITS.places(Lane::Interactive);
        let refusal = admission().offer(&offer(1, 1_000_000), &LIMITS, &waiting(full), NOW);
        assert!(
            matches!(refusal, Err(Refusal::QueueFull { .. })),
            "{refusal:?}"
        );
        let mut unmeasured = Admission::default();
        assert!(
            unmeasured
                .offer(&offer(1, 1), &LIMITS, &waiting(100), NOW)
                .is_ok()
        );
        let refusal = unmeasured.offer(&offer(2, 1), &LIMITS, &waiting(full), NOW);
        assert!(
            matches!(refusal, Err(Refusal::QueueFull { .. })),
            "{refusal:?}"
        );
    }

    #[test]
    fn audio_that_was_announced_counts_until_it_arrives_or_its_request_ends() {
        let mut admission = admission();
        let long = Offer {
            audio: Duration::from_secs(1000),
            ..offer(1, 10_000)
        };
        assert_eq!(admission.offer(&long, &LIMITS, &waiting(0), NOW), Ok(()));
        assert_eq!(admission.reserved(Lane::Interactive), 1);
        assert!(
            admission
                .offer(&offer(2, 60), &LIMITS, &waiting(20), NOW)
                .is_err()
        );
        admission.arrived(&window(1));
        assert_eq!(admission.reserved(Lane::Interactive), 0);
        assert!(!admission.holds_place(RequestId(1)));
        admission.close(RequestId(1));
        assert_eq!(admission.announced, PerLane::default());
        assert!(
            admission
                .offer(&offer(3, 60), &LIMITS, &waiting(20), NOW)
                .is_ok()
        );
    }
}
