//! Resamples a mono stream to 16 kHz.

use std::ops::RangeInclusive;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use super::SAMPLE_RATE_HZ;

/// Supported input rates. Lower rates contain no intelligible speech; higher ones are not used by
/// recorders, and a forged header would make the transform buffers huge.
const INPUT_RATES_HZ: RangeInclusive<u32> = 4_000..=384_000;

/// Maximum length of the common block of both rates, in input frames; the transform takes twice as many.
/// Common rates need a few hundred at most, a prime rate near the upper limit 384,000.
const MAX_BLOCK_FRAMES: usize = 48_000;

/// Minimum transform length, in frames of the lower rate. It determines the steepness of the filter: with
/// 1,024, it is flat to 7.8 kHz (-2 to -8 dB at 7.9) and attenuates by more than 130 dB from 8 kHz on. Half
/// the length loses 0.1 kHz of bandwidth and saves no time.
const MIN_TRANSFORM_FRAMES: usize = 1_024;

/// Resamples mono PCM of any rate to [`SAMPLE_RATE_HZ`] in chunks.
///
/// The output has no delay, its length is the input's times the ratio of rates, rounded, and it does not
/// depend on how the input is divided into chunks.
pub struct Resampler {
    rate_hz: u32,
    /// `None` if the input has the output's rate.
    transform: Option<Transform>,
    frames_in: u64,
    frames_out: u64,
}

struct Transform {
    fft: Fft<f32>,
    /// Input waiting for a whole chunk.
    pending: Vec<f32>,
    chunk_in: usize,
    chunk_out: Vec<f32>,
    /// Output frames still to be dropped to compensate the filter's delay.
    delay_left: usize,
    /// Whether the last chunk was digital silence, so that it does not affect the next.
    was_silent: bool,
}

impl Resampler {
    /// A resampler for input at `rate_hz`; `None` outside 4 to 384 kHz and for rates whose common block with
    /// 16 kHz is longer than `MAX_BLOCK_FRAMES`.
    pub fn new(rate_hz: u32) -> Option<Self> {
        if !INPUT_RATES_HZ.contains(&rate_hz) {
            return None;
        }
        let transform = match rate_hz {
            SAMPLE_RATE_HZ => None,
            _ => Some(Transform::new(rate_hz)?),
        };
        Some(Self {
            rate_hz,
            transform,
            frames_in: 0,
            frames_out: 0,
        })
    }

    /// The input rate.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Processes the next chunk of input and appends the available output to `out`.
    pub fn push(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.frames_in += input.len() as u64;
        let before = out.len();
        match &mut self.transform {
            None => out.extend_from_slice(input),
            Some(transform) => transform.push(input, out),
        }
        self.frames_out += (out.len() - before) as u64;
    }

    /// Ends the stream and appends the remaining output to `out`.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let rate_hz = u64::from(self.rate_hz);
        let expected = (self.frames_in * u64::from(SAMPLE_RATE_HZ) + rate_hz / 2) / rate_hz;
        if let Some(transform) = &mut self.transform {
            let silence = vec![0.0; transform.chunk_in];
            while self.frames_out < expected {
                let before = out.len();
                transform.push(&silence, out);
                self.frames_out += (out.len() - before) as u64;
            }
        }
        let surplus = self.frames_out.saturating_sub(expected);
        out.truncate(out.len() - surplus as usize);
    }
}

impl Transform {
    fn new(rate_hz: u32) -> Option<Self> {
        let (rate_in, rate_out) = (rate_hz as usize, SAMPLE_RATE_HZ as usize);
        let divisor = greatest_common_divisor(rate_in, rate_out);
        let (block_in, block_out) = (rate_in / divisor, rate_out / divisor);
        if block_in > MAX_BLOCK_FRAMES {
            return None;
        }
        // With an even number of blocks, the delay of half a transform is a whole number on both sides.
        let blocks = MIN_TRANSFORM_FRAMES
            .div_ceil(block_in.min(block_out))
            .next_multiple_of(2);
        let fft = Fft::new_custom(
            rate_in,
            rate_out,
            blocks * block_in,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .ok()?;
        let chunk_in = fft.input_frames_next();
        Some(Self {
            pending: Vec::with_capacity(chunk_in),
            chunk_in,
            chunk_out: vec![0.0; fft.output_frames_next()],
            delay_left: fft.output_delay(),
            was_silent: true,
            fft,
        })
    }

    fn push(&mut self, mut input: &[f32], out: &mut Vec<f32>) {
        while !input.is_empty() {
            let missing = self.chunk_in - self.pending.len();
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.pending.extend_from_slice(taken);
            input = rest;
            if self.pending.len() == self.chunk_in {
                self.transform_pending(out);
            }
        }
    }

    fn transform_pending(&mut self, out: &mut Vec<f32>) {
        let frames_out = self.chunk_out.len();
        // Hours of silence may be encoded in a few bytes, so silence must be cheap.
        let is_silent = self.pending.iter().all(|sample| *sample == 0.0);
        if is_silent && self.was_silent {
            self.chunk_out.fill(0.0);
        } else {
            self.transform();
        }
        self.was_silent = is_silent;
        self.pending.clear();
        let dropped = self.delay_left.min(frames_out);
        self.delay_left -= dropped;
        out.extend_from_slice(&self.chunk_out[dropped..]);
    }

    /// Resamples the pending chunk.
    fn transform(&mut self) {
        const FITS: &str = "both buffers have the lengths that the resampler requires";
        let frames_out = self.chunk_out.len();
        let from = InterleavedSlice::new(self.pending.as_slice(), 1, self.chunk_in).expect(FITS);
        let mut to =
            InterleavedSlice::new_mut(self.chunk_out.as_mut_slice(), 1, frames_out).expect(FITS);
        self.fft
            .process_into_buffer(&from, &mut to, None)
            .expect(FITS);
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATES_HZ: [u32; 11] = [
        4_000, 8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 48_000, 96_000, 192_000,
    ];

    fn tone(rate_hz: u32, tone_hz: f64, samples: usize) -> Vec<f32> {
        let step = TAU * tone_hz / f64::from(rate_hz);
        (0..samples)
            .map(|index| (step * index as f64).sin() as f32)
            .collect()
    }

    fn resample(rate_hz: u32, input: &[f32], chunk_frames: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate_hz).unwrap();
        let mut out = Vec::new();
        for chunk in input.chunks(chunk_frames) {
            resampler.push(chunk, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    /// The level of one second of a tone after resampling, without its transients.
    fn level_db(rate_hz: u32, tone_hz: f64) -> f64 {
        let out = resample(rate_hz, &tone(rate_hz, tone_hz, rate_hz as usize), 1_152);
        let middle = &out[4_000..12_000];
        let power: f64 = middle.iter().map(|x| f64::from(*x).powi(2)).sum();
        10.0 * (2.0 * power / middle.len() as f64).log10()
    }

    #[track_caller]
    fn check(rate_hz: u32, passing_hz: &[f64], stopped_hz: &[f64]) {
        for &tone_hz in passing_hz {
            let level = level_db(rate_hz, tone_hz);
            assert!(level.abs() < 0.01, "{tone_hz} of {rate_hz} Hz: {level} dB");
        }
        for &tone_hz in stopped_hz {
            let level = level_db(rate_hz, tone_hz);
            assert!(level < -100.0, "{tone_hz} of {rate_hz} Hz: {level} dB");
        }
    }

    #[test]
    fn passes_the_band_and_stops_what_would_alias() {
        const BAND_HZ: [f64; 5] = [100.0, 1_000.0, 5_000.0, 7_200.0, 7_600.0];
        const ABOVE_HZ: [f64; 5] = [8_010.0, 8_500.0, 9_000.0, 12_000.0, 20_000.0];
        check(8_000, &BAND_HZ[..2], &[]);
        check(22_050, &BAND_HZ, &ABOVE_HZ[..3]);
        check(44_100, &BAND_HZ, &ABOVE_HZ);
        check(48_000, &BAND_HZ, &ABOVE_HZ);
        check(96_000, &BAND_HZ, &ABOVE_HZ);
    }

    #[test]
    fn keeps_time() {
        for rate_hz in RATES_HZ {
            let out = resample(rate_hz, &tone(rate_hz, 1_000.0, rate_hz as usize), 4_096);
            let expected = tone(SAMPLE_RATE_HZ, 1_000.0, SAMPLE_RATE_HZ as usize);
            assert_eq!(out.len(), expected.len());
            let worst = out[4_000..12_000]
                .iter()
                .zip(&expected[4_000..12_000])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-3, "{rate_hz} Hz: off by {worst}");
        }
    }

    #[test]
    fn rounds_the_length() {
        for rate_hz in RATES_HZ {
            for samples in [0, 1, 2, 3, 440, 441, 1_000, 100_003] {
                let out = resample(rate_hz, &vec![0.5; samples], 1_000);
                let exact = samples as f64 * 16_000.0 / f64::from(rate_hz);
                assert_eq!(out.len(), exact.round() as usize, "{samples} at {rate_hz}");
            }
        }
    }

    #[test]
    fn does_not_depend_on_the_chunks() {
        let input = tone(44_100, 440.0, 30_011);
        let whole = resample(44_100, &input, input.len());
        for chunk_frames in [1, 7, 1_152, 4_409, 10_000] {
            assert!(
                resample(44_100, &input, chunk_frames) == whole,
                "chunks of {chunk_frames}"
            );
        }
    }

    #[test]
    fn refuses_absurd_rates() {
        for rate_hz in [0, 1, 3_999, 48_017, 383_987, 384_001, u32::MAX] {
            assert!(Resampler::new(rate_hz).is_none());
        }
    }

    #[test]
    fn skipped_silence_equals_computed_silence() {
        for rate_hz in [8_000, 44_100, 48_000] {
            let (tone, gap) = (tone(rate_hz, 440.0, 30_000), vec![0.0; 200_000]);
            let input = [&gap[..], &tone, &gap, &tone, &gap].concat();
            let skipped = resample(rate_hz, &input, 1_000);
            let mut resampler = Resampler::new(rate_hz).unwrap();
            let mut computed = Vec::new();
            for chunk in input.chunks(1_000) {
                if let Some(transform) = &mut resampler.transform {
                    transform.was_silent = false;
                }
                resampler.push(chunk, &mut computed);
            }
            resampler.finish(&mut computed);
            assert_eq!(skipped, computed, "{rate_hz}");
        }
    }
}
