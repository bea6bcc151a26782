//! The return times of refused requests, and the audio that is kept for them.
//!
//! Who returns is recognised elsewhere (`http/admission/returns.rs`): a request that returns brings the id of its promise.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Identifies a return time that a refused request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PromiseId(pub u64);

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
    places: BTreeMap<(Duration, PromiseId), Promise>,
    dues: HashMap<PromiseId, Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
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
    /// How a request with this promise relates to the promises.
    pub fn returned(&mut self, id: PromiseId, now: Duration) -> Return {
        self.drop_expired(now);
        match self.dues.get(&id) {
            None => Return::New,
            Some(due) if *due <= now + EARLY => Return::OnTime,
            Some(due) => Return::Early(*due - now),
        }
    }

    /// A request was admitted or needs its place no longer.
    pub fn remove(&mut self, id: PromiseId) {
        if let Some(due) = self.dues.remove(&id) {
            self.places.remove(&(due, id));
        }
    }

    /// The time after which a request is to return: when the backlog, with all that have a return time
    /// before, plus its audio is below `limit`.
    pub fn promise(
        &mut self,
        id: PromiseId,
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
        self.keep(id, audio, due, now)
    }

    /// Tells a request that returned on time and could not be admitted to return soon, before all others.
    pub fn promise_first(
        &mut self,
        id: PromiseId,
        audio: f64,
        limit: f64,
        (backlog, now): (Backlog, Duration),
    ) -> Duration {
        let excess = (backlog.level + audio - limit).max(0.0);
        let due = now + Duration::from_secs_f64(excess / backlog.speed);
        self.keep(id, audio, due, now)
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

    fn keep(&mut self, id: PromiseId, audio: f64, due: Duration, now: Duration) -> Duration {
        self.remove(id);
        let wait = due.saturating_sub(now);
        if self.places.len() < MAX_PROMISES {
            let expires = due + (wait / 2).max(MIN_KEPT);
            self.places.insert((due, id), Promise { audio, expires });
            self.dues.insert(id, due);
        }
        wait
    }

    fn drop_expired(&mut self, now: Duration) {
        let overdue = self.places.range(..=(now, PromiseId(u64::MAX)));
        let expired: Vec<PromiseId> = overdue
            .filter(|(_, promise)| promise.expires < now)
            .map(|((_, id), _)| *id)
            .collect();
        for id in expired {
            self.remove(id);
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

    const FIRST: PromiseId = PromiseId(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The return time of a request of 20 s in seconds, with this backlog.
    fn promise(promises: &mut Promises, id: u64, level: f64, now_s: u64) -> f64 {
        let backlog = Backlog {
            level,
            speed: SPEED,
        };
        let wait = promises.promise(PromiseId(id), 20.0, LIMIT, (backlog, at(now_s)));
        wait.as_secs_f64()
    }

    #[test]
    fn refused_requests_return_one_after_the_other() {
        let mut promises = Promises::default();
        // 120 s of audio are to fall to 80 s, then 2 s of work for each that returns.
        let seconds: Vec<f64> = (0..3)
            .map(|id| promise(&mut promises, id, 120.0, 0))
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
    fn a_place_is_kept_for_half_of_the_return_time() {
        let mut promises = Promises::default();
        assert_eq!(promise(&mut promises, 1, 180.0, 0), 10.0);
        for (now_s, expected) in [
            (0, Return::Early(at(10))),
            (9, Return::Early(at(1))),
            (10, Return::OnTime),
            (15, Return::OnTime),
            (16, Return::New),
        ] {
            assert_eq!(promises.returned(FIRST, at(now_s)), expected, "{now_s}");
        }
        assert_eq!(promises.len(), 0);
    }

    #[test]
    fn an_admitted_request_keeps_no_place() {
        let mut promises = Promises::default();
        promise(&mut promises, 1, 180.0, 0);
        promises.remove(FIRST);
        assert_eq!(promises.returned(FIRST, at(10)), Return::New);
        assert_eq!(promises.len(), 0);
    }

    #[test]
    fn one_that_returned_in_vain_is_before_all_others() {
        let mut promises = Promises::default();
        (0..50).for_each(|id| {
            promise(&mut promises, id, 100.0, 0);
        });
        let backlog = Backlog {
            level: 100.0,
            speed: SPEED,
        };
        let wait = promises.promise_first(PromiseId(0), 20.0, LIMIT, (backlog, at(2)));
        assert_eq!(wait, at(2));
        assert_eq!(promises.len(), 50);
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        let mut promises = Promises::default();
        for id in 0..MAX_PROMISES as u64 + 10 {
            promises.keep(PromiseId(id), 1.0, at(10), at(0));
        }
        assert_eq!(promises.len(), MAX_PROMISES);
    }
}
