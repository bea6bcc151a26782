//! Kaldi's logarithmic mel filter bank, the input of the embedding network.

use std::f64::consts::PI;
use std::sync::{Arc, LazyLock};

use realfft::{RealFftPlanner, RealToComplex};

/// Values per frame.
pub const BINS: usize = 80;

/// Samples that a frame covers, 25 ms, and from one to the next, 10 ms.
pub const FRAME_SAMPLES: usize = 400;
pub const FRAME_STEP: usize = 160;

const TRANSFORM_SAMPLES: usize = 512;
const SPECTRUM: usize = TRANSFORM_SAMPLES / 2;

const PREEMPHASIS: f32 = 0.97;
const LOWEST_HZ: f64 = 20.0;
const HIGHEST_HZ: f64 = 8_000.0;
const HZ_PER_LINE: f64 = 16_000.0 / TRANSFORM_SAMPLES as f64;

static TRANSFORM: LazyLock<Arc<dyn RealToComplex<f32>>> =
    LazyLock::new(|| RealFftPlanner::new().plan_fft_forward(TRANSFORM_SAMPLES));

/// Povey's window: a Hann window to the power of 0.85.
static WINDOW: LazyLock<[f32; FRAME_SAMPLES]> = LazyLock::new(|| {
    std::array::from_fn(|position| {
        let turn = 2.0 * PI * position as f64 / (FRAME_SAMPLES - 1) as f64;
        (0.5 - 0.5 * turn.cos()).powf(0.85) as f32
    })
});

static TRIANGLES: LazyLock<Vec<Triangle>> = LazyLock::new(triangles);

/// A triangle in the mel scale: the weights of consecutive spectral lines.
struct Triangle {
    first_line: usize,
    weights: Vec<f32>,
}

/// One frame of features.
pub type Frame = [f32; BINS];

/// Computes the frames of `pcm`, which is mono at 16 kHz within -1 to 1. Equals torchaudio's
/// `compliance.kaldi.fbank` without dither: an incomplete last frame is left out.
pub fn compute(pcm: &[f32]) -> Vec<Frame> {
    let mut samples = TRANSFORM.make_input_vec();
    let mut spectrum = TRANSFORM.make_output_vec();
    let mut scratch = TRANSFORM.make_scratch_vec();
    let mut power = [0.0; SPECTRUM];
    let frames = pcm.windows(FRAME_SAMPLES).step_by(FRAME_STEP);
    frames
        .map(|frame| {
            prepare(frame, &mut samples);
            TRANSFORM
                .process_with_scratch(&mut samples, &mut spectrum, &mut scratch)
                .expect("the buffers were made by the transform");
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            std::array::from_fn(|bin| {
                let triangle = &TRIANGLES[bin];
                let lines = power[triangle.first_line..].iter();
                let energy: f32 = lines.zip(&triangle.weights).map(|(a, b)| a * b).sum();
                energy.max(f32::EPSILON).ln()
            })
        })
        .collect()
}

/// Removes the mean, emphasises high frequencies, applies the window and pads with zeros.
fn prepare(frame: &[f32], samples: &mut [f32]) {
    let mean = frame.iter().sum::<f32>() / FRAME_SAMPLES as f32;
    let mut previous = frame[0] - mean;
    samples[FRAME_SAMPLES..].fill(0.0);
    for ((sample, value), weight) in samples.iter_mut().zip(frame).zip(&*WINDOW) {
        let value = value - mean;
        *sample = (value - PREEMPHASIS * previous) * weight;
        previous = value;
    }
}

fn triangles() -> Vec<Triangle> {
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let (lowest, highest) = (mel(LOWEST_HZ), mel(HIGHEST_HZ));
    let width = (highest - lowest) / (BINS + 1) as f64;
    let triangle = |bin: usize| {
        let middle = lowest + (bin + 1) as f64 * width;
        let weight = |line: usize| 1.0 - (mel(line as f64 * HZ_PER_LINE) - middle).abs() / width;
        let lines: Vec<usize> = (0..SPECTRUM).filter(|line| weight(*line) > 0.0).collect();
        Triangle {
            first_line: lines[0],
            weights: lines.into_iter().map(|line| weight(line) as f32).collect(),
        }
    };
    (0..BINS).map(triangle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_cover_every_line_between_the_first_and_the_last() {
        let mut totals = [0.0; SPECTRUM];
        for triangle in &*TRIANGLES {
            let lines = totals[triangle.first_line..].iter_mut();
            for (total, weight) in lines.zip(&triangle.weights) {
                *total += weight;
            }
        }
        let (first, last) = (&TRIANGLES[0], &TRIANGLES[BINS - 1]);
        let inner = first.first_line + first.weights.len()..last.first_line;
        for line in inner {
            assert!(
                (totals[line] - 1.0).abs() < 1e-5,
                "{line}: {}",
                totals[line]
            );
        }
    }

    #[test]
    fn a_tone_is_loudest_in_its_own_bin() {
        let tone = |hz: f64| -> Vec<f32> {
            let sample = |n: i32| (2.0 * PI * hz * f64::from(n) / 16_000.0).sin() as f32;
            (0..2_000).map(sample).collect()
        };
        for (hz, expected) in [(100.0, 2), (1_000.0, 27), (4_000.0, 60)] {
            let frames = compute(&tone(hz));
            assert_eq!(frames.len(), 11);
            let loudest = |frame: &Frame| (0..BINS).max_by(|a, b| frame[*a].total_cmp(&frame[*b]));
            for frame in &frames {
                assert_eq!(loudest(frame), Some(expected), "{hz}");
            }
        }
    }

    #[test]
    fn silence_is_finite_and_short_audio_has_no_frames() {
        assert!(compute(&[0.0; FRAME_SAMPLES - 1]).is_empty());
        assert_eq!(compute(&[0.0; FRAME_SAMPLES]), [[f32::EPSILON.ln(); BINS]]);
    }
}
