//! The measured speed of a device, in seconds of audio a second.

use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::shares::ShareLimits;

/// Length of a sample.
const SAMPLE: Duration = Duration::from_secs(1);

/// Time constant of the means, in seconds.
const MEMORY_S: f64 = 10.0;

/// The weight of the last window in the mean time of windows.
const WEIGHT_OF_LAST: f64 = 0.05;

/// Measures how much audio is finished while windows wait: then the device is busy, and its speed is its
/// capacity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Speed {
    /// Start of the current sample; it is in the future until the texts that were begun at a lower load
    /// have ended.
    since: Option<Duration>,
    finished: PerLane<f64>,
    /// Audio seconds a second of all lanes.
    rate: Option<f64>,
    /// The same of each lane.
    rates: PerLane<f64>,
    samples: u32,
    /// Mean time of a window from its encoder call to its end, in seconds.
    residences: PerLane<f64>,
}

impl Speed {
    /// Notes whether windows wait.
    pub fn observe(&mut self, has_waiting: bool, now: Duration) {
        if !has_waiting {
            self.since = None;
            return;
        }
        // Nothing is known before the first windows have ended.
        let residence = self.residences.iter().copied().fold(0.0, f64::max);
        let Some(since) = self.since.filter(|_| residence > 0.0) else {
            self.begin(now + Duration::from_secs_f64(2.0 * residence));
            return;
        };
        if now < since + SAMPLE {
            return;
        }
        let elapsed = (now - since).as_secs_f64();
        let sample = PerLane::from_fn(|lane| self.finished[lane] / elapsed);
        self.samples = self.samples.saturating_add(1);
        // The first samples count the same.
        let weight = (1.0 - (-elapsed / MEMORY_S).exp()).max(1.0 / f64::from(self.samples));
        let sum: f64 = sample.iter().sum();
        match self.rate {
            Some(rate) => {
                self.rate = Some(rate + weight * (sum - rate));
                for lane in Lane::ALL {
                    self.rates[lane] += weight * (sample[lane] - self.rates[lane]);
                }
            }
            None if sum > 0.0 => (self.rate, self.rates) = (Some(sum), sample),
            None => {}
        }
        self.begin(now);
    }

    /// A window has ended, this long after its encoder call began.
    pub fn ended(&mut self, lane: Lane, audio: Duration, in_slot: Duration, now: Duration) {
        if self.since.is_some_and(|since| now >= since) {
            self.finished[lane] += audio.as_secs_f64();
        }
        let in_slot = in_slot.as_secs_f64();
        let residence = &mut self.residences[lane];
        if *residence == 0.0 {
            *residence = in_slot;
        }
        *residence += WEIGHT_OF_LAST * (in_slot - *residence);
    }

    /// The speed at which a lane is worked off, if the speed of the device is known: what the more urgent
    /// lanes leave over, at least its share.
    #[must_use]
    pub fn of_lane(&self, lane: Lane, shares: ShareLimits, bulk_waits: bool) -> Option<f64> {
        let rate = self.rate?;
        let bulk = if bulk_waits { shares.bulk_min } else { 0.0 };
        let live = self.rates[Lane::Live];
        let speed = match lane {
            Lane::Live => rate * shares.live_max,
            Lane::Interactive => {
                let least = 1.0 - shares.live_max - shares.bulk_min;
                (rate * (1.0 - bulk) - live).max(rate * least)
            }
            Lane::Bulk => (rate - live - self.rates[Lane::Interactive]).max(rate * shares.bulk_min),
        };
        Some(speed.max(0.01))
    }

    /// Mean time of a window of this lane from its encoder call to its end.
    #[must_use]
    pub fn residence(&self, lane: Lane) -> Duration {
        Duration::from_secs_f64(self.residences[lane])
    }

    fn begin(&mut self, since: Duration) {
        self.since = Some(since);
        self.finished = PerLane::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Windows of 1 s end ten times a second in each of these lanes, for ten seconds.
    fn measure(lanes: &[Lane], has_waiting: bool) -> Speed {
        let mut speed = Speed::default();
        for tenth in 0..100 {
            let now = Duration::from_millis(100 * tenth);
            for &lane in lanes {
                speed.ended(lane, SECOND, SECOND, now);
            }
            speed.observe(has_waiting, now);
        }
        speed
    }

    #[test]
    fn speed_is_measured_while_windows_wait() {
        let shares = ShareLimits::default();
        let idle = measure(&[Lane::Interactive], false);
        assert_eq!(idle.of_lane(Lane::Interactive, shares, false), None);
        let busy = measure(&[Lane::Interactive], true);
        let speed = busy.of_lane(Lane::Interactive, shares, false).unwrap();
        assert!((9.8..10.3).contains(&speed), "{speed}");
        assert_eq!(busy.residence(Lane::Interactive), SECOND);
    }

    #[test]
    fn a_lane_has_what_more_urgent_ones_leave_and_at_least_its_share() {
        let shares = ShareLimits::default();
        let speed = measure(&[Lane::Live, Lane::Interactive, Lane::Bulk], true);
        let of = |lane, bulk_waits| speed.of_lane(lane, shares, bulk_waits).unwrap().round();
        assert_eq!(of(Lane::Interactive, false), 20.0);
        assert_eq!(of(Lane::Interactive, true), 16.0);
        assert_eq!(of(Lane::Bulk, true), 10.0);
        assert_eq!(of(Lane::Live, true), 15.0);
        let only_live = measure(&[Lane::Live], true);
        let bulk = only_live.of_lane(Lane::Bulk, shares, true).unwrap();
        assert!((1.2..1.3).contains(&bulk), "{bulk}");
    }

    #[test]
    fn a_cold_start_is_not_measured() {
        let mut speed = Speed::default();
        for second in 0..5 {
            speed.observe(true, second * SECOND);
        }
        assert_eq!(
            speed.of_lane(Lane::Bulk, ShareLimits::default(), true),
            None
        );
    }
}
