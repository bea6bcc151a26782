//! Computes the log-mel features of a window, the input of Whisper's encoder.
//!
//! The values equal those of the reference implementations (OpenAI's `log_mel_spectrogram`, Hugging
//! Face's and faster-whisper's `FeatureExtractor`) for the clip padded with zeros: a spectrum of 400
//! samples under a periodic Hann window every 160 samples, 200 samples of reflection at both ends,
//! slaney mel filters, decimal logarithm, a floor eight decades below the maximum of the window, and
//! `(x + 4) / 4`. Only frames that overlap the clip are computed; all others are the floor.

mod filters;
mod window_lengths;

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use filters::MelFilter;
pub use window_lengths::{WindowLengths, encoder_positions};

/// Samples from one frame to the next, 10 ms.
pub const HOP_SAMPLES: usize = 160;

/// Frames of a full window, 30 s.
pub const WINDOW_FRAMES: usize = 3000;

const FFT_SAMPLES: usize = 400;
const FFT_BINS: usize = FFT_SAMPLES / 2 + 1;
/// Samples of a frame before its time.
const LEAD_SAMPLES: usize = FFT_SAMPLES / 2;

/// Power below which a mel band counts as silent.
const MIN_POWER: f32 = 1e-10;
/// Minimum power relative to the maximum in the window.
const DYNAMIC_RANGE: f32 = 1e-8;

/// Frames filtered together: one bin of all of them fills a cache line, and the loops over it are
/// vectorised.
const BLOCK_FRAMES: usize = 16;

/// Log-mel features of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Number of mel bands: 80, or 128 from large-v3 on.
    pub n_mels: usize,
    /// Number of frames of 10 ms.
    pub frames: usize,
    /// Row-major `[n_mels, frames]`.
    pub values: Vec<f32>,
}

/// The log-mel transform, with its precomputed tables.
///
/// It has no scratch space, so threads can share it in an [`Arc`].
pub struct LogMel {
    hann: [f64; FFT_SAMPLES],
    /// In double precision, because single precision has rounding noise next to a pure tone close to the
    /// floor (1e-4 in the result). The difference in time is not measurable.
    fft: Arc<dyn RealToComplex<f64>>,
    filters: Vec<MelFilter>,
}

/// Number of frames that overlap `samples` samples of audio; all later frames are silence.
pub fn audio_frames(samples: usize) -> usize {
    match samples {
        0 => 0,
        samples => (samples + LEAD_SAMPLES).div_ceil(HOP_SAMPLES),
    }
}

impl Features {
    /// Appends the features to `batch`, padded to a window of `frames` frames, at least their own number.
    pub fn append_padded(&self, frames: usize, batch: &mut Vec<f32>) {
        let loudest = self
            .values
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let silence =
            scaled_log(MIN_POWER).max(loudest + scaled_log(DYNAMIC_RANGE) - scaled_log(1.0));
        batch.reserve(self.n_mels * frames);
        for mel in 0..self.n_mels {
            let end = batch.len() + frames;
            batch.extend_from_slice(&self.values[mel * self.frames..][..self.frames]);
            batch.resize(end, silence);
        }
    }
}

impl LogMel {
    /// Builds the tables for `n_mels` mel bands, a parameter of the model.
    pub fn new(n_mels: usize) -> Self {
        Self {
            hann: periodic_hann(),
            fft: RealFftPlanner::new().plan_fft_forward(FFT_SAMPLES),
            filters: MelFilter::bank(n_mels),
        }
    }

    /// Number of mel bands.
    pub fn n_mels(&self) -> usize {
        self.filters.len()
    }

    /// Computes the features of `pcm` (16 kHz mono, within ±1; samples after `frames * 160` are ignored),
    /// padded with silence to `frames` frames.
    pub fn compute(&self, pcm: &[f32], frames: usize) -> Features {
        let pcm = &pcm[..pcm.len().min(frames * HOP_SAMPLES)];
        let reached = audio_frames(pcm.len()).min(frames);
        let mut values = vec![0.0; self.n_mels() * frames];
        let loudest = self.fill_powers(pcm, frames, reached, &mut values);
        let floor = MIN_POWER.max(loudest * DYNAMIC_RANGE);
        let silence = scaled_log(floor);
        for row in values.chunks_exact_mut(frames.max(1)) {
            let (computed, tail) = row.split_at_mut(reached);
            for value in computed {
                *value = scaled_log(value.max(floor));
            }
            tail.fill(silence);
        }
        Features {
            n_mels: self.n_mels(),
            frames,
            values,
        }
    }

    /// Writes the mel powers of the first `reached` frames into `values` and returns the largest.
    fn fill_powers(&self, pcm: &[f32], frames: usize, reached: usize, values: &mut [f32]) -> f32 {
        let mut samples = [0.0; FFT_SAMPLES];
        let mut spectrum = [Complex64::default(); FFT_BINS];
        let mut scratch = self.fft.make_scratch_vec();
        // Stored by bin, so that the filters below process adjacent frames.
        let mut powers = [[0.0; BLOCK_FRAMES]; FFT_BINS];
        let mut loudest = 0.0_f32;
        for first in (0..reached).step_by(BLOCK_FRAMES) {
            let block = BLOCK_FRAMES.min(reached - first);
            for offset in 0..block {
                self.window_frame(pcm, frames, first + offset, &mut samples);
                self.fft
                    .process_with_scratch(&mut samples, &mut spectrum, &mut scratch)
                    .expect("the three buffers have the lengths of the plan");
                for (power, bin) in powers.iter_mut().zip(&spectrum) {
                    power[offset] = bin.norm_sqr() as f32;
                }
            }
            for (filter, row) in self.filters.iter().zip(values.chunks_exact_mut(frames)) {
                let column = &filter.apply(&powers)[..block];
                row[first..first + block].copy_from_slice(column);
                loudest = column.iter().fold(loudest, |a, &b| a.max(b));
            }
        }
        loudest
    }

    /// Writes frame `index`, under the Hann window, into `samples`.
    fn window_frame(
        &self,
        pcm: &[f32],
        frames: usize,
        index: usize,
        samples: &mut [f64; FFT_SAMPLES],
    ) {
        let start = (index * HOP_SAMPLES) as isize - LEAD_SAMPLES as isize;
        let inside = usize::try_from(start)
            .ok()
            .and_then(|start| pcm.get(start..start + FFT_SAMPLES));
        if let Some(inside) = inside {
            for ((sample, &x), &weight) in samples.iter_mut().zip(inside).zip(&self.hann) {
                *sample = f64::from(x) * weight;
            }
            return;
        }
        // At the edges: reflection at both ends of the window, zeros after the clip.
        let window_samples = frames * HOP_SAMPLES;
        for (position, (sample, &weight)) in (start..).zip(samples.iter_mut().zip(&self.hann)) {
            let x = pcm.get(reflect(position, window_samples));
            *sample = x.copied().map_or(0.0, f64::from) * weight;
        }
    }
}

/// Maps a position outside `0..length` into it by mirroring at the first and last sample, without
/// repeating them.
fn reflect(position: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let folded = position.rem_euclid((2 * last).max(1));
    folded.min(2 * last - folded).unsigned_abs()
}

fn scaled_log(power: f32) -> f32 {
    (power.log10() + 4.0) / 4.0
}

fn periodic_hann() -> [f64; FFT_SAMPLES] {
    std::array::from_fn(|i| {
        let phase = 2.0 * PI * i as f64 / FFT_SAMPLES as f64;
        0.5 - 0.5 * phase.cos()
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::fetched_files::sample_pcm;

    /// Maximum deviation from the reference.
    const TOLERANCE: f32 = 1e-4;

    #[test]
    fn equals_the_reference_on_a_synthetic_signal() {
        check_cases("synthetic", &synthetic(60_000));
    }

    #[test]
    fn equals_the_reference_on_speech() {
        check_cases("jfk", &sample_pcm());
    }

    #[test]
    fn silence_is_the_absolute_floor() {
        let log_mel = LogMel::new(80);

        for pcm in [&[][..], &[0.0; 3200]] {
            let features = log_mel.compute(pcm, 500);

            assert_eq!(features.values.len(), 80 * 500);
            assert!(features.values.iter().all(|&value| value == -1.5));
        }
    }

    #[test]
    fn ignores_samples_after_the_window() {
        let log_mel = LogMel::new(128);
        let pcm = synthetic(40_000);

        assert_eq!(
            log_mel.compute(&pcm, 200),
            log_mel.compute(&pcm[..32_000], 200)
        );
        assert!(log_mel.compute(&pcm, 0).values.is_empty());
    }

    #[test]
    fn features_padded_later_equal_those_of_the_longer_window() {
        let log_mel = LogMel::new(80);
        for pcm in [synthetic(40_000), vec![0.0; 40_000]] {
            let mut padded = vec![7.0];

            log_mel.compute(&pcm, 300).append_padded(500, &mut padded);

            let expected = log_mel.compute(&pcm, 500).values;
            assert_eq!(padded.len(), 1 + expected.len());
            let differences = padded[1..]
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs());
            assert!(differences.fold(0.0, f32::max) < 1e-6);
        }
    }

    #[test]
    fn mirrors_without_repeating_the_end() {
        let mirrored: Vec<_> = (-3..8).map(|position| reflect(position, 5)).collect();

        assert_eq!(mirrored, [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]);
    }

    proptest! {
        #[test]
        fn padding_by_hand_changes_nothing(samples in 0..8_000_usize, frames in 1..50_usize) {
            let log_mel = LogMel::new(80);
            let pcm = synthetic(samples.min(frames * HOP_SAMPLES));
            let mut padded = pcm.clone();
            padded.resize(frames * HOP_SAMPLES, 0.0);

            prop_assert_eq!(log_mel.compute(&pcm, frames), log_mel.compute(&padded, frames));
        }
    }

    /// Compares with all cases of the fixture for `signal`.
    #[track_caller]
    fn check_cases(signal: &str, pcm: &[f32]) {
        let path = in_package("fixtures/mel_reference.json");
        let fixture = std::fs::read_to_string(path).unwrap();
        let all: Vec<Value> = serde_json::from_str(&fixture).unwrap();
        let cases: Vec<_> = all.iter().filter(|case| case["signal"] == signal).collect();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let (samples, frames, n_mels) = (number("samples"), number("frames"), number("n_mels"));
            let features = LogMel::new(n_mels).compute(&pcm[..samples], frames);
            let error = worst_error(&features, case);
            println!("{signal}: {samples} samples, {frames} frames, {n_mels} mels: {error:e}");
            assert!(
                error < TOLERANCE,
                "{signal} {samples} {frames} {n_mels}: {error}"
            );
        }
    }

    fn worst_error(features: &Features, case: &Value) -> f32 {
        let rows = features.values.chunks_exact(features.frames);
        let means = rows.clone().map(|row| {
            let sum: f64 = row.iter().copied().map(f64::from).sum();
            (sum / features.frames as f64) as f32
        });
        let mut worst = largest_difference(means, &case["band_means"]);
        for (frame, column) in case["columns"].as_object().unwrap() {
            let frame: usize = frame.parse().unwrap();
            worst = worst.max(largest_difference(
                rows.clone().map(|row| row[frame]),
                column,
            ));
        }
        worst
    }

    fn largest_difference(values: impl Iterator<Item = f32>, reference: &Value) -> f32 {
        let reference = reference
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap() as f32);
        values
            .zip(reference)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// The signal of the same name in `scripts/mel_reference.py`.
    fn synthetic(samples: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let sample = |i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (f64::from(state) / 2_f64.powi(31) - 1.0) * 0.01;
            let t = i as f64 / 16_000.0;
            let u = t % 3.0;
            let swell = 0.5 - 0.5 * (2.0 * PI * t / 0.7).cos();
            let chirp = (2.0 * PI * (50.0 * u + (7450.0 / 6.0) * u * u)).sin();
            (noise + 0.5 * swell * chirp) as f32
        };
        (0..samples).map(sample).collect()
    }

    fn in_package(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }
}
