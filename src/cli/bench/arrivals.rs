//! The arrival times of requests in an open loop.

use std::time::Duration;

use clap::ValueEnum;

/// Seed of the random numbers of every run, so that runs can be compared.
const SEED: u64 = 20_240_229;

/// The distribution of requests over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arrivals {
    /// Constant intervals
    Even,
    /// Independent arrivals, as of many callers; the same in every run
    Poisson,
}

impl Arrivals {
    /// The arrival time of each request from the start, at `rate` requests per second; endless.
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

/// `SplitMix64` by Steele, Lea and Flood: small, and random enough for arrival times.
struct SplitMix(u64);

impl SplitMix {
    /// A number from 0 to 1, excluding 1.
    fn next_unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The 53 bits of an f64's mantissa.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_arrivals_have_constant_intervals() {
        let offsets: Vec<_> = Arrivals::Even.offsets(4.0).take(4).collect();
        assert_eq!(offsets, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_deviation_of_their_rate() {
        let count = 20_000;
        let offsets: Vec<_> = Arrivals::Poisson.offsets(50.0).take(count).collect();
        let gaps: Vec<f64> = std::iter::once(&Duration::ZERO)
            .chain(&offsets)
            .zip(&offsets)
            .map(|(before, after)| (*after - *before).as_secs_f64())
            .collect();
        let mean = gaps.iter().sum::<f64>() / count as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count as f64;
        assert!((mean - 0.02).abs() < 0.001, "mean gap {mean}");
        // The standard deviation of an exponential distribution is its mean.
        let deviation = variance.sqrt();
        assert!((deviation - 0.02).abs() < 0.001, "deviation {deviation}");
    }

    #[test]
    fn every_run_has_the_same_arrivals() {
        let run = || Arrivals::Poisson.offsets(3.0).take(100);
        assert!(run().eq(run()));
    }
}
