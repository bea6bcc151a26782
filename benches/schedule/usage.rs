//! The shares that lanes get in any ten seconds in which they wait.

use halkspeech::schedule::Lane;

/// Length of a slice, in seconds.
const SLICE_S: f64 = 0.1;

/// Slices in ten seconds.
const SLICES: usize = 100;

/// The time of the encoder and the decoder together that each lane used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    slices: Vec<Slice>,
    current: Slice,
    began_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    used_s: [f64; 3],
    /// Whether the lane waited all the time.
    waited: [bool; 3],
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            used_s: [0.0; 3],
            waited: [true; 3],
        }
    }
}

impl Usage {
    /// Adds a step or an encoder call of windows of these lanes, among which its time is divided.
    pub fn add(&mut self, lanes: &[Lane], elapsed_s: f64) {
        for lane in lanes {
            self.current.used_s[*lane as usize] += elapsed_s / lanes.len() as f64;
        }
    }

    /// Notes which lanes waited until now.
    pub fn pass(&mut self, now_s: f64, waits: [bool; 3]) {
        for (waited, waits) in self.current.waited.iter_mut().zip(waits) {
            *waited &= waits;
        }
        if self.began_s == 0.0 {
            self.began_s = now_s;
        }
        if now_s >= self.began_s + SLICE_S {
            self.slices.push(std::mem::take(&mut self.current));
            self.began_s = now_s;
        }
    }

    /// The least share of a lane in the time of encoder and decoder together; none if it never waited for
    /// ten seconds.
    pub fn least_share(&self, lane: Lane) -> Option<f64> {
        let lane = lane as usize;
        let windows = self
            .slices
            .windows(SLICES)
            .filter(|slices| slices.iter().all(|slice| slice.waited[lane]));
        let shares = windows.map(|slices| {
            let own: f64 = slices.iter().map(|slice| slice.used_s[lane]).sum();
            let all: f64 = slices.iter().flat_map(|slice| slice.used_s).sum();
            own / all.max(1e-9)
        });
        shares.reduce(f64::min)
    }
}
