//! When the requests of an open loop are due.

use std::time::Duration;

use clap::ValueEnum;

/// Where the random numbers of every run start, so that two runs can be compared.
const SEED: u64 = 20_240_229;

/// How requests are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// The same time between any two
    Even,
    /// Independent of each other, as those of many callers are; the same in every run
    Poisson,
}

impl Arrivals {
    /// When each request is due, counted from the start, at `rate` requests a second; without end.
    pub fn offsets(self, rate: f64) -> impl Iterator<Item = Duration> {
        let mut random = SplitMix(SEED);
        let mut at_s = 0.0;
        (0_u64..).map(move |number| {
            at_s = match self {
                Self::Even => number as f64 / rate,
                Self::Poisson => at_s - (1.0 - random.next_unit()).ln() / rate,
            };
            Duration::try_from_secs_f64(at_s).unwrap_or(Duration::MAX)
        })
    }
}

/// Steele, Lea and Flood's `SplitMix64`: small, and good enough to draw times from.
struct SplitMix(u64);

impl SplitMix {
    /// From 0 up to 1, without 1.
    fn next_unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // As many bits as an f64 holds.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_arrivals_are_one_gap_apart() {
        let offsets: Vec<_> = Arrivals::Even.offsets(4.0).take(4).collect();
        assert_eq!(offsets, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_spread_as_they_should() {
        let count = 20_000;
        let offsets: Vec<_> = Arrivals::Poisson.offsets(50.0).take(count).collect();
        let gaps: Vec<f64> = std::iter::once(&Duration::ZERO)
            .chain(&offsets)
            .zip(&offsets)
            .map(|(before, after)| (*after - *before).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / count as f64;
        let spread = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count as f64;
        assert!((mean - 0.02).abs() < 0.001, "mean gap {mean}");
        // The standard deviation of an exponential distribution is its mean.
        let deviation = spread.sqrt();
        assert!((deviation - 0.02).abs() < 0.001, "deviation {deviation}");
    }

    #[test]
    fn every_run_has_the_same_arrivals() {
        let run = || Arrivals::Poisson.offsets(3.0).take(100);
        assert!(run().eq(run()));
    }
}
