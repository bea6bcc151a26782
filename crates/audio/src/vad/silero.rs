//! The Silero voice activity detector: speech probability per 32 ms.
//!
//! This is the 16 kHz network of Silero VAD v6 (MIT, <https://github.com/snakers4/silero-vad>), as
//! published in the PyPI package `silero-vad` 6.2.3; `scripts/vad_reference.py` extracts its weights and
//! generates the reference values of the tests.
//!
//! A frame is transformed to four spectra, four convolutions reduce them to one vector, and an LSTM, the
//! only stateful part, computes a probability from the vector. Everything but the LSTM's feedback is
//! computed for a block of frames at once, so that the weights are read once for several frames.

mod weights;
mod spectra;
mod layer;
mod network;

use network::{GATES, LstmState, NETWORK};
use spectra::Spectra;

/// Samples of a frame: 32 ms at 16 kHz.
pub const FRAME_SAMPLES: usize = 512;

/// Frames computed at once. More are not faster; their values, 200 kB, and the weights fit into the L2
/// cache.
const BLOCK_FRAMES: usize = 48;

/// Maximum digital silence that is computed, 8 minutes: hours of silence may be encoded in a few bytes and
/// must be cheap. The LSTM state is kept from then on. By then, its slowest unit, with a time constant of
/// 40 s, is within 1e-4 of its limit.
const MAX_SILENT_FRAMES: usize = 15_000;

/// The network with the state of one recording.
pub struct Silero {
    spectra: Spectra,
    state: LstmState,
    /// Number of consecutive frames of digital silence so far.
    silent_frames: usize,
    /// Probability of the last frame.
    last_probability: f32,
    /// Maximum number of frames computed at once.
    block_frames: usize,
    /// Each layer reads one of these buffers and writes the other.
    values: [Vec<f32>; 2],
}

impl Silero {
    /// The state before the first sample. The weights are shared, and unpacked on first use.
    pub fn new() -> Self {
        Self::with_block_frames(BLOCK_FRAMES)
    }

    /// Like [`new`](Self::new), for at most `block_frames` frames at once, a multiple of six: the buffers have 4 kB
    /// a frame. The probabilities are the same.
    pub(super) fn with_block_frames(block_frames: usize) -> Self {
        let values = || vec![0.0; block_frames * spectra::WIDTH.max(GATES)];
        Self {
            spectra: Spectra::new(),
            state: LstmState::default(),
            silent_frames: 0,
            last_probability: 0.0,
            block_frames,
            values: [values(), values()],
        }
    }

    /// Speech probability of each frame of `pcm`, which is mono at 16 kHz.
    ///
    /// An incomplete last frame is padded with silence. Each call continues where the last one ended, so
    /// all calls but the last need whole frames. Non-finite samples count as silence and others are clamped
    /// to ±2^15, so that no input corrupts the state.
    pub fn probabilities(&mut self, pcm: &[f32]) -> Vec<f32> {
        let mut probabilities = Vec::with_capacity(pcm.len().div_ceil(FRAME_SAMPLES));
        for block in pcm.chunks(self.block_frames * FRAME_SAMPLES) {
            let frames = block.len().div_ceil(FRAME_SAMPLES);
            let is_silent = block.iter().all(|sample| *sample == 0.0);
            self.silent_frames = if is_silent {
                self.silent_frames + frames
            } else {
                0
            };
            if self.silent_frames > MAX_SILENT_FRAMES {
                probabilities.extend(std::iter::repeat_n(self.last_probability, frames));
                continue;
            }
            self.spectra.compute(block, &mut self.values[0]);
            NETWORK.encode(frames, &mut self.values);
            for inputs in self.values[1].chunks_exact(GATES).take(frames) {
                self.last_probability = NETWORK.step_lstm(inputs, &mut self.state);
                probabilities.push(self.last_probability);
            }
        }
        probabilities
    }
}

impl Default for Silero {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
pub(super) mod test_signals;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::test_signals::{sample_pcm, synthetic};
    use super::*;

    /// Maximum deviation from the reference.
    const TOLERANCE: f32 = 1e-4;

    #[test]
    fn equals_the_reference_on_a_synthetic_signal() {
        check_case("synthetic", &synthetic(160_123));
    }

    #[test]
    fn equals_the_reference_on_speech() {
        check_case("jfk", &sample_pcm());
    }

    #[test]
    fn silence_is_not_speech() {
        assert!(Silero::new().probabilities(&[]).is_empty());

        let probabilities = Silero::new().probabilities(&[0.0; 100 * FRAME_SAMPLES]);

        assert_eq!(probabilities.len(), 100);
        assert!(probabilities.iter().all(|&probability| probability < 0.1));
    }

    #[test]
    fn long_silence_is_not_computed_in_full() {
        let hum = synthetic(20 * FRAME_SAMPLES);
        let silence = vec![0.0; 320 * BLOCK_FRAMES * FRAME_SAMPLES];
        let mut silero = Silero::new();
        silero.probabilities(&hum);
        let settled = silero.probabilities(&silence).last().copied().unwrap();
        let state = silero.state.clone();

        assert_eq!(
            silero.probabilities(&silence),
            vec![settled; 320 * BLOCK_FRAMES]
        );

        assert!(silero.state == state);
        let after = silero.probabilities(&hum);
        let mut computed = Silero::new();
        for part in [&hum[..], &silence, &silence] {
            for block in part.chunks(BLOCK_FRAMES * FRAME_SAMPLES) {
                computed.silent_frames = 0;
                computed.probabilities(block);
            }
        }
        let error = largest_difference(&after, &computed.probabilities(&hum));
        assert!(error < TOLERANCE, "{error}");
    }

    #[test]
    fn invalid_samples_do_not_corrupt_the_state() {
        let loudest = 32_768.0;
        let (hum, silence) = (synthetic(20 * FRAME_SAMPLES), [0.0; 150 * FRAME_SAMPLES]);
        for (bad, same_as) in [
            (f32::NAN, 0.0),
            (f32::INFINITY, 0.0),
            (f32::NEG_INFINITY, 0.0),
            (f32::MAX, loudest),
            (f32::MIN, -loudest),
        ] {
            let with = |sample| {
                Silero::new().probabilities(&[&hum[..], &[sample; 2000], &silence].concat())
            };

            let probabilities = with(bad);

            assert_eq!(probabilities, with(same_as), "{bad}");
            assert!(
                probabilities
                    .iter()
                    .all(|value| (0.0..=1.0).contains(value)),
                "{bad}"
            );
            assert!(probabilities[probabilities.len() - 1] < 0.1, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn continues_where_the_last_call_ended(
            calls in prop::collection::vec(0..60_usize, 1..5),
            rest in 0..FRAME_SAMPLES,
        ) {
            let pcm = synthetic(calls.iter().sum::<usize>() * FRAME_SAMPLES + rest);
            let mut silero = Silero::new();
            let mut probabilities = Vec::new();
            let mut remaining = &pcm[..];
            for frames in calls {
                let (call, after) = remaining.split_at(frames * FRAME_SAMPLES);
                probabilities.extend(silero.probabilities(call));
                remaining = after;
            }
            probabilities.extend(silero.probabilities(remaining));

            prop_assert_eq!(probabilities, Silero::new().probabilities(&pcm));
        }
    }

    #[track_caller]
    fn check_case(signal: &str, pcm: &[f32]) {
        let path = in_package("fixtures/vad_reference.json");
        let cases: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let case = cases.iter().find(|case| case["signal"] == signal).unwrap();
        assert_eq!(case["samples"], pcm.len());
        let expected: Vec<f32> = serde_json::from_value(case["probabilities"].clone()).unwrap();

        let probabilities = Silero::new().probabilities(pcm);

        let error = largest_difference(&probabilities, &expected);
        println!("{signal}: {} frames: {error:e}", expected.len());
        assert!(error < TOLERANCE, "{signal}: {error}");
    }

    #[track_caller]
    fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
        assert_eq!(left.len(), right.len());
        let differences = left
            .iter()
            .zip(right)
            .map(|(left, right)| (left - right).abs());
        differences.fold(0.0, f32::max)
    }

    fn in_package(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }
}
