//! Estimates how long requests hold permits, and so when the next one becomes free, without a clock.

use std::time::{Duration, Instant};

/// Hold time that is assumed before any request has ended, in seconds.
const INITIAL_HOLD_S: f64 = 1.0;

/// The estimated hold time of permits.
#[derive(Debug)]
pub(super) struct Turnover {
    limit: usize,
    /// Exponentially weighted mean hold time over about as many ended requests as there are permits.
    /// Requests that still run do not count, so that a few long ones do not delay the others.
    mean_s: f64,
    taken: usize,
    /// The last time that a permit was taken or returned.
    standstill: Instant,
}

impl Turnover {
    /// Creates the estimate for `limit` permits, before any request has ended.
    pub fn new(limit: usize, now: Instant) -> Self {
        Self {
            limit: limit.max(1),
            mean_s: INITIAL_HOLD_S,
            taken: 0,
            standstill: now,
        }
    }

    /// Records that a request got a permit.
    pub fn enter(&mut self, now: Instant) {
        self.taken += 1;
        self.standstill = now;
    }

    /// Records the end of a request that was refused after it had got its permit. Its hold time is
    /// ignored, because it did no work.
    pub fn leave_refused(&mut self, now: Instant) {
        self.taken -= 1;
        self.standstill = now;
    }

    /// Records the end of a request that got its permit at `entry`.
    pub fn leave(&mut self, entry: Instant, now: Instant) {
        self.leave_refused(now);
        let held_s = now.saturating_duration_since(entry).as_secs_f64();
        self.mean_s += (held_s - self.mean_s) * 2.0 / (self.limit as f64 + 1.0);
    }

    /// The hold time of a permit; at least the time since the last change while all are taken, so
    /// that a burst that slows down all requests shows before its first request has ended.
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
    fn the_interval_follows_ended_requests_and_a_standstill() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let near = |turnover: &Turnover, at: Instant, expected_ms: f64| {
            let interval_ms = turnover.interval(at).as_secs_f64() * 1000.0;
            assert!((interval_ms - expected_ms).abs() < 1.0, "{interval_ms}");
        };
        let mut turnover = Turnover::new(4, start);
        near(&turnover, start, 250.0);

        // One request holds its permit for ever; only the others count.
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
