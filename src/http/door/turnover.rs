//! How long a request keeps its permit, and so how soon the next one is free, without a clock.

use std::time::{Duration, Instant};

/// The time that a permit is held before any request has ended, in seconds.
const FIRST_GUESS_S: f64 = 1.0;

/// The time that requests keep their permits.
#[derive(Debug)]
pub(super) struct Turnover {
    limit: usize,
    /// Exponentially weighted mean over about as many ended requests as there are permits. It is a
    /// mean of those that end: a few that keep theirs for long do not slow down the others.
    mean_s: f64,
    taken: usize,
    /// Since when no permit has become free, while all are taken.
    standstill: Instant,
}

impl Turnover {
    /// Nothing is known yet of `limit` permits.
    pub fn new(limit: usize, now: Instant) -> Self {
        Self {
            limit: limit.max(1),
            mean_s: FIRST_GUESS_S,
            taken: 0,
            standstill: now,
        }
    }

    /// A request got a permit.
    pub fn enter(&mut self, now: Instant) {
        self.taken += 1;
        self.standstill = now;
    }

    /// A request has ended that was refused after it had got its permit: it tells nothing of the
    /// time that others keep theirs.
    pub fn leave_refused(&mut self, now: Instant) {
        self.taken -= 1;
        self.standstill = now;
    }

    /// A request that entered at `entry` has ended.
    pub fn leave(&mut self, entry: Instant, now: Instant) {
        self.leave_refused(now);
        let held_s = now.saturating_duration_since(entry).as_secs_f64();
        self.mean_s += (held_s - self.mean_s) * 2.0 / (self.limit as f64 + 1.0);
    }

    /// How long a permit is held; at least as long as none has become free, so that a burst which
    /// slows all down shows before the first request of it has ended.
    pub fn hold(&self, now: Instant) -> Duration {
        let mean = Duration::from_secs_f64(self.mean_s.max(0.0));
        if self.taken < self.limit {
            return mean;
        }
        mean.max(now.saturating_duration_since(self.standstill))
    }

    /// The time between two permits that become free while all are held (Little's law).
    pub fn interval(&self, now: Instant) -> Duration {
        self.hold(now).div_f64(self.limit as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_what_ended_and_a_standstill() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let near = |turnover: &Turnover, at: Instant, expected_ms: f64| {
            let interval_ms = turnover.interval(at).as_secs_f64() * 1000.0;
            assert!((interval_ms - expected_ms).abs() < 1.0, "{interval_ms}");
        };
        let mut turnover = Turnover::new(4, start);
        near(&turnover, start, 250.0);

        // One request keeps its permit for ever; the others' turnover counts.
        for _ in 0..4 {
            turnover.enter(start);
        }
        near(&turnover, at(8000), 2000.0);
        let mut now_ms = 8000;
        turnover.leave(start, at(now_ms));
        for _ in 0..40 {
            turnover.enter(at(now_ms));
            near(&turnover, at(now_ms), turnover.mean_s * 250.0);
            now_ms += 400;
            turnover.leave(at(now_ms - 400), at(now_ms));
        }
        near(&turnover, at(now_ms), 100.0);
    }
}
