//! The shares that lanes get in any ten seconds in which they wait.

use halkspeech::schedule::Lane;

/// Length of a slice, in seconds.
const SLICE_S: f64 = 0.1;

/// Slices in ten seconds.
const SLICES: usize = 100;

/// The time of the encoder and the decoder that each lane used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    slices: Vec<Slice>,
    current: Slice,
    began_s: f64,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    encoder_s: [f64; 3],
    decoder_s: [f64; 3],
    /// Whether the lane waited all the time.
    waited: [bool; 3],
}

/// The least parts of a lane in ten seconds in which it waited.
#[derive(Clone, Copy, Debug)]
pub struct LeastShare {
    pub encoder: f64,
    pub decoder: f64,
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            encoder_s: [0.0; 3],
            decoder_s: [0.0; 3],
            waited: [true; 3],
        }
    }
}

impl Usage {
    /// Adds work: the time of a step is divided by the numbers of windows.
    pub fn add(&mut self, is_encoder: bool, lanes: &[Lane], elapsed_s: f64) {
        let current = &mut self.current;
        let used = if is_encoder {
            &mut current.encoder_s
        } else {
            &mut current.decoder_s
        };
        for lane in lanes {
            used[*lane as usize] += elapsed_s / lanes.len() as f64;
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

    /// The least shares of a lane; none if it never waited for ten seconds.
    pub fn least_share(&self, lane: Lane) -> Option<LeastShare> {
        let lane = lane as usize;
        let windows = self
            .slices
            .windows(SLICES)
            .filter(|slices| slices.iter().all(|slice| slice.waited[lane]));
        let shares = windows.map(|slices| {
            let part = |used: fn(&Slice) -> [f64; 3]| {
                let own: f64 = slices.iter().map(|slice| used(slice)[lane]).sum();
                let all: f64 = slices.iter().flat_map(used).sum();
                own / all.max(1e-9)
            };
            LeastShare {
                encoder: part(|slice| slice.encoder_s),
                decoder: part(|slice| slice.decoder_s),
            }
        });
        shares.reduce(|a, b| LeastShare {
            encoder: a.encoder.min(b.encoder),
            decoder: a.decoder.min(b.decoder),
        })
    }
}
