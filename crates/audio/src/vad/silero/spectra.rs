//! The first stage of the network: magnitude spectra of each frame.

use std::f64::consts::TAU;
use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::FRAME_SAMPLES;

/// Number of spectra per frame.
pub const PER_FRAME: usize = 4;

/// Number of frequencies of a spectrum, 0 to 8 kHz.
pub const BINS: usize = WINDOW_SAMPLES / 2 + 1;

/// Number of values per frame.
pub const WIDTH: usize = PER_FRAME * BINS;

const WINDOW_SAMPLES: usize = 256;
const HOP_SAMPLES: usize = WINDOW_SAMPLES / 2;

/// Number of samples of the previous frame that are prepended.
const CONTEXT_SAMPLES: usize = 64;

/// Length of context and frame, padded to the last window by mirroring their last samples.
const PADDED_SAMPLES: usize = (PER_FRAME - 1) * HOP_SAMPLES + WINDOW_SAMPLES;

/// Samples are clamped to this: enough for unscaled 16-bit PCM, and small enough that no sum of the network
/// overflows.
const MAX_SAMPLE: f32 = 32_768.0;

static TRANSFORM: LazyLock<Arc<dyn RealToComplex<f32>>> =
    LazyLock::new(|| RealFftPlanner::new().plan_fft_forward(WINDOW_SAMPLES));

/// The periodic Hann window.
static WINDOW: LazyLock<[f32; WINDOW_SAMPLES]> = LazyLock::new(|| {
    std::array::from_fn(|position| {
        let turn = TAU * position as f64 / WINDOW_SAMPLES as f64;
        (0.5 - 0.5 * turn.cos()) as f32
    })
});

/// Computes spectra. Keeps the end of the previous frame as context.
pub struct Spectra {
    padded: [f32; PADDED_SAMPLES],
    windowed: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Spectra {
    /// Silence as the context of the first frame.
    pub fn new() -> Self {
        Self {
            padded: [0.0; PADDED_SAMPLES],
            windowed: TRANSFORM.make_input_vec(),
            spectrum: TRANSFORM.make_output_vec(),
            scratch: TRANSFORM.make_scratch_vec(),
        }
    }

    /// Writes [`WIDTH`] magnitudes for each frame of `pcm` to the beginning of `magnitudes`.
    pub fn compute(&mut self, pcm: &[f32], magnitudes: &mut [f32]) {
        for (frame, row) in pcm
            .chunks(FRAME_SAMPLES)
            .zip(magnitudes.chunks_exact_mut(WIDTH))
        {
            self.push(frame);
            let windows = self.padded.windows(WINDOW_SAMPLES).step_by(HOP_SAMPLES);
            for (samples, bins) in windows.zip(row.chunks_exact_mut(BINS)) {
                for ((to, sample), weight) in self.windowed.iter_mut().zip(samples).zip(&*WINDOW) {
                    *to = sample * weight;
                }
                TRANSFORM
                    .process_with_scratch(&mut self.windowed, &mut self.spectrum, &mut self.scratch)
                    .expect("the buffers were made by the transform");
                for (bin, value) in bins.iter_mut().zip(&self.spectrum) {
                    *bin = (value.re * value.re + value.im * value.im).sqrt();
                }
            }
        }
    }

    /// Appends `frame`, padded with silence if it is incomplete, to the end of the previous frame.
    fn push(&mut self, frame: &[f32]) {
        const END: usize = CONTEXT_SAMPLES + FRAME_SAMPLES;
        self.padded.copy_within(FRAME_SAMPLES..END, 0);
        self.padded[CONTEXT_SAMPLES..].fill(0.0);
        for (to, &sample) in self.padded[CONTEXT_SAMPLES..].iter_mut().zip(frame) {
            if sample.is_finite() {
                *to = sample.clamp(-MAX_SAMPLE, MAX_SAMPLE);
            }
        }
        let (samples, mirror) = self.padded.split_at_mut(END);
        for (to, &sample) in mirror.iter_mut().zip(samples.iter().rev().skip(1)) {
            *to = sample;
        }
    }
}
