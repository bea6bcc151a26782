//! The traffic of the small tables, and the figures that are read from it.

use super::costs::Machine;
use super::random::Random;

/// Callers that send windows of random lengths.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Seconds of audio of a window, from and to.
    pub lengths_s: (f64, f64),
    pub arrivals: Arrivals,
    /// Number of sets of options; windows with different ones cannot share a batch today.
    pub option_sets: usize,
    /// Number of windows.
    pub count: usize,
}

/// When windows arrive.
#[derive(Clone, Copy, Debug)]
pub enum Arrivals {
    /// This number of callers, each sending a window when its last one was answered.
    Callers(usize),
    /// At random, this number a second.
    PerSecond(f64),
}

/// A window of the simulation.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub arrived_s: f64,
    pub audio_s: f64,
    pub tokens: u32,
    pub options: usize,
}

/// What a loop has achieved.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Windows a second.
    pub rate: f64,
    pub p50_s: f64,
    pub p95_s: f64,
}

impl Load {
    /// The times of the first arrivals: of all, or of the first window of each caller.
    pub fn first_arrivals(&self, random: &mut Random) -> Vec<f64> {
        match self.arrivals {
            Arrivals::Callers(callers) => (0..callers).map(|_| random.unit() * 0.01).collect(),
            Arrivals::PerSecond(rate) => {
                let mut at = 0.0;
                let arrivals = (0..self.count).map(|_| {
                    at += random.exponential(1.0 / rate);
                    at
                });
                arrivals.collect()
            }
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.arrivals, Arrivals::Callers(_))
    }

    /// A window of a random length, whose number of tokens varies by 15 %.
    pub fn text(&self, machine: &Machine, random: &mut Random, arrived_s: f64) -> Text {
        let audio_s = random.uniform(self.lengths_s);
        let mean = machine.tokens_per_s * audio_s;
        Text {
            arrived_s,
            audio_s,
            tokens: random.normal(mean, 0.15 * mean).max(4.0) as u32,
            options: random.below(self.option_sets),
        }
    }
}

impl Figures {
    /// Without the first sixth of the latencies, which were measured before the load was steady.
    pub fn new(latencies_s: &[f64], ended_s: f64) -> Self {
        let mut steady = latencies_s[latencies_s.len() / 6..].to_vec();
        steady.sort_by(f64::total_cmp);
        Self {
            rate: latencies_s.len() as f64 / ended_s,
            p50_s: quantile(&steady, 0.5),
            p95_s: quantile(&steady, 0.95),
        }
    }
}

/// Of sorted values.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
