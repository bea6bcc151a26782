//! The return times of refused requests, and the places that are kept for them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::caller::Caller;

/// A request that comes again after a refusal has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Its caller.
    pub caller: Caller,
    /// A hash of what stays the same: path, query and length.
    pub fingerprint: u64,
}

/// How a request relates to the promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It was not refused, or did not return in time.
    New,
    /// It returned at its time.
    OnTime,
    /// Its return time is later, after this time.
    Early(Duration),
}

/// Places in the backlog that are kept for requests with a return time.
#[derive(Debug, Default)]
pub struct Promises {
    places: BTreeMap<(Duration, u64), Promise>,
    attempts: HashMap<Attempt, (Duration, u64)>,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    attempt: Attempt,
    audio: f64,
    expires: Duration,
}

/// Audio that waits, and how fast it is worked off.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Audio seconds that wait.
    pub level: f64,
    /// Audio seconds a second.
    pub speed: f64,
}

/// The most places that are kept. Beyond it a refused request has a return time, but no place.
const MAX_PROMISES: usize = 1 << 14;

/// A request may return this much earlier, because clients round.
const EARLY: Duration = Duration::from_millis(500);

/// The shortest time for which a place is kept.
const MIN_KEPT: Duration = Duration::from_secs(2);

impl Promises {
    /// How an attempt relates to the promises.
    pub fn returned(&mut self, attempt: Attempt, now: Duration) -> Return {
        self.drop_expired(now);
        match self.attempts.get(&attempt) {
            None => Return::New,
            Some((due, _)) if *due <= now + EARLY => Return::OnTime,
            Some((due, _)) => Return::Early(*due - now),
        }
    }

    /// A request was admitted or needs its place no longer.
    pub fn remove(&mut self, attempt: Attempt) {
        if let Some(place) = self.attempts.remove(&attempt) {
            self.places.remove(&place);
        }
    }

    /// The time after which an attempt is to return: when the backlog, with all that have a return time
    /// before, plus its audio is below `limit`.
    pub fn promise(
        &mut self,
        attempt: Attempt,
        audio: f64,
        limit: f64,
        (backlog, now): (Backlog, Duration),
    ) -> Duration {
        let (mut level, mut at) = (backlog.level, now);
        for (due, promise) in self.dues(now) {
            level = backlog.after(level, due - at) + promise;
            at = due;
        }
        let excess = (level + audio - limit).max(0.0);
        let due = at + Duration::from_secs_f64(excess / backlog.speed);
        self.keep(attempt, audio, due, now)
    }

    /// Tells an attempt that returned on time and could not be admitted to return soon, before all others.
    pub fn promise_first(
        &mut self,
        attempt: Attempt,
        audio: f64,
        limit: f64,
        (backlog, now): (Backlog, Duration),
    ) -> Duration {
        let excess = (backlog.level + audio - limit).max(0.0);
        let due = now + Duration::from_secs_f64(excess / backlog.speed);
        self.keep(attempt, audio, due, now)
    }

    /// The highest level of the backlog from now on, if all return at their times.
    #[must_use]
    pub fn highest_level(&self, backlog: Backlog, now: Duration) -> f64 {
        let (mut level, mut at, mut highest) = (backlog.level, now, backlog.level);
        for (due, audio) in self.dues(now) {
            level = backlog.after(level, due - at) + audio;
            at = due;
            highest = highest.max(level);
        }
        highest
    }

    /// Number of places kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Due times from now on and audio.
    fn dues(&self, now: Duration) -> impl Iterator<Item = (Duration, f64)> {
        let places = self.places.iter();
        places.map(move |((due, _), promise)| ((*due).max(now), promise.audio))
    }

    fn keep(&mut self, attempt: Attempt, audio: f64, due: Duration, now: Duration) -> Duration {
        self.remove(attempt);
        let wait = due.saturating_sub(now);
        if self.places.len() < MAX_PROMISES {
            self.number += 1;
            let promise = Promise {
                attempt,
                audio,
                expires: due + (wait / 2).max(MIN_KEPT),
            };
            self.places.insert((due, self.number), promise);
            self.attempts.insert(attempt, (due, self.number));
        }
        wait
    }

    fn drop_expired(&mut self, now: Duration) {
        let overdue = self.places.range(..(now, u64::MAX));
        let expired: Vec<Attempt> = overdue
            .filter(|(_, promise)| promise.expires < now)
            .map(|(_, promise)| promise.attempt)
            .collect();
        for attempt in expired {
            self.remove(attempt);
        }
    }
}

impl Backlog {
    /// The level after some time, if nothing arrives.
    fn after(self, level: f64, time: Duration) -> f64 {
        (level - self.speed * time.as_secs_f64()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: f64 = 10.0;
    const LIMIT: f64 = 100.0;

    fn attempt(caller: usize) -> Attempt {
        Attempt {
            caller: Caller::Key(caller),
            fingerprint: 0,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The return time of an attempt of 20 s in seconds, with this backlog.
    fn promise(promises: &mut Promises, caller: usize, level: f64, now_s: u64) -> f64 {
        let backlog = Backlog {
            level,
            speed: SPEED,
        };
        let wait = promises.promise(attempt(caller), 20.0, LIMIT, (backlog, at(now_s)));
        wait.as_secs_f64()
    }

    #[test]
    fn refused_requests_are_told_to_return_one_after_the_other() {
        let mut promises = Promises::default();
        // 120 s of audio are to fall to 80 s, then 2 s of work for each that returns.
        let seconds: Vec<f64> = (0..3)
            .map(|caller| promise(&mut promises, caller, 120.0, 0))
            .collect();
        assert_eq!(seconds, [4.0, 6.0, 8.0]);
        let backlog = Backlog {
            level: 120.0,
            speed: SPEED,
        };
        assert_eq!(promises.highest_level(backlog, at(0)), 120.0);
        // At half of the backlog a newcomer could only take what those that return do not need.
        let backlog = Backlog {
            level: 50.0,
            ..backlog
        };
        assert!(promises.highest_level(backlog, at(8)) > 100.0);
    }

    #[test]
    fn a_place_is_kept_for_half_of_the_time_that_was_told() {
        let mut promises = Promises::default();
        assert_eq!(promise(&mut promises, 1, 180.0, 0), 10.0);
        for (now_s, expected) in [
            (0, Return::Early(at(10))),
            (9, Return::Early(at(1))),
            (10, Return::OnTime),
            (15, Return::OnTime),
            (16, Return::New),
        ] {
            assert_eq!(
                promises.returned(attempt(1), at(now_s)),
                expected,
                "{now_s}"
            );
        }
        assert_eq!(promises.len(), 0);
    }

    #[test]
    fn an_admitted_request_keeps_no_place() {
        let mut promises = Promises::default();
        promise(&mut promises, 1, 180.0, 0);
        promises.remove(attempt(1));
        assert_eq!(promises.returned(attempt(1), at(10)), Return::New);
        assert_eq!(promises.len(), 0);
    }

    #[test]
    fn one_that_returned_in_vain_is_before_all_others() {
        let mut promises = Promises::default();
        (0..50).for_each(|caller| {
            promise(&mut promises, caller, 100.0, 0);
        });
        let backlog = Backlog {
            level: 100.0,
            speed: SPEED,
        };
        let wait = promises.promise_first(attempt(0), 20.0, LIMIT, (backlog, at(2)));
        assert_eq!(wait, at(2));
        assert_eq!(promises.len(), 50);
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        let mut promises = Promises::default();
        for caller in 0..MAX_PROMISES + 10 {
            promises.keep(attempt(caller), 1.0, at(10), at(0));
        }
        assert_eq!(promises.len(), MAX_PROMISES);
    }
}
