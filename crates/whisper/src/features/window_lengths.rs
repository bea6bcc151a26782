//! The lengths that windows are padded to.
//!
//! Whisper was trained on 30 s, but its encoder accepts less, and the cost of attention is quadratic in
//! the length. The model needs some silence after the audio, or it never ends, and a few positions of
//! the silence up to 30 s. The amounts were measured (docs/accuracy.md).

use super::WINDOW_FRAMES;

/// Frames per second.
const FRAMES_PER_S: usize = 100;

/// Frames per encoder position.
const FRAMES_PER_POSITION: usize = 2;

/// Granularity of lengths where windows are encoded one by one, in frames. It could be a single position;
/// its effect on accuracy is noise (docs/accuracy.md).
const FINE_STEP: usize = FRAMES_PER_S / 10;

/// Minimum length, in frames. After a single word, a second of silence is not enough: the word is written
/// twice or not at all (docs/accuracy.md, "Isolated words"). Below 2.4 s, CTranslate2 could not distinguish
/// encodings from features, because there are as many positions as mel bands.
const MIN_FRAMES: usize = 6 * FRAMES_PER_S;

/// Step of batch lengths if windows of different lengths share batches: those up to 15 s, and longer ones.
/// The results of a batch are returned together, and a short window should not wait for one of 30 s.
const HALF_WINDOW: usize = WINDOW_FRAMES / 2;

/// The encoder processes one of this number of positions of the silence after a window
/// (`crates/whisper-ct2/cpp/encoder.cc`).
const SILENCE_STRIDE: usize = 20;

/// Number of encoder output positions for a window padded to `frames` frames: those of the frames, and
/// those of the silence after them.
#[must_use]
pub fn encoder_positions(frames: usize) -> usize {
    let own = frames.div_ceil(FRAMES_PER_POSITION);
    own + (WINDOW_FRAMES / FRAMES_PER_POSITION).saturating_sub(own) / SILENCE_STRIDE
}

/// The lengths that windows are padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLengths {
    /// Minimum silence after the audio, in frames.
    margin: usize,
    /// Granularity of lengths, in frames.
    step: usize,
    /// Windows share batches if their lengths are between the same multiples of this, in frames.
    batch_step: usize,
}

impl WindowLengths {
    /// Every window is padded to 30 s.
    pub const FULL: Self = Self {
        margin: 0,
        step: WINDOW_FRAMES,
        batch_step: WINDOW_FRAMES,
    };

    /// Windows are padded by at least `margin_s` of silence to a multiple of `step_s`, in seconds; those of
    /// equal length share batches.
    #[must_use]
    pub fn new(margin_s: usize, step_s: usize) -> Self {
        let step = (step_s * FRAMES_PER_S).max(1);
        Self {
            margin: margin_s * FRAMES_PER_S,
            step,
            batch_step: step,
        }
    }

    /// The same, but windows of different lengths share batches.
    #[must_use]
    pub fn with_mixed_batches(self) -> Self {
        Self {
            batch_step: HALF_WINDOW,
            ..self
        }
    }

    /// The same, but lengths have the finest granularity.
    #[must_use]
    pub fn with_fine_steps(self) -> Self {
        Self {
            step: FINE_STEP,
            ..self
        }
    }

    /// Minimum silence after the audio, in frames.
    #[must_use]
    pub fn margin(self) -> usize {
        self.margin
    }

    /// Length for a window with `frames` frames of audio, in frames.
    #[must_use]
    pub fn padded(self, frames: usize) -> usize {
        let length = (frames + self.margin).next_multiple_of(self.step);
        length.clamp(MIN_FRAMES, WINDOW_FRAMES)
    }

    /// Maximum length of the windows that share a batch with one of `length`.
    #[must_use]
    pub fn batch_length(self, length: usize) -> usize {
        length.next_multiple_of(self.batch_step).min(WINDOW_FRAMES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(lengths: WindowLengths, frames: usize, length: usize) {
        assert_eq!(lengths.padded(frames), length, "{frames} frames");
    }

    #[test]
    fn pads_by_the_margin_up_to_the_next_step() {
        let usual = WindowLengths::new(5, 5);
        check(usual, 1, 1000);
        check(usual, 500, 1000);
        check(usual, 501, 1500);
        check(usual, 2000, 2500);
        check(usual, 2001, 3000);
        check(usual, 3000, 3000);
        check(WindowLengths::FULL, 1, 3000);
        check(WindowLengths::FULL, 3000, 3000);
        check(WindowLengths::new(0, 7), 2900, 3000);
    }

    #[test]
    fn windows_of_equal_length_or_of_the_same_half_share_batches() {
        let by_length = WindowLengths::new(1, 2);
        assert_eq!(
            by_length.batch_length(by_length.padded(700)),
            by_length.padded(700)
        );
        let mixed = WindowLengths::new(1, 2)
            .with_mixed_batches()
            .with_fine_steps();
        check(mixed, 1, 600);
        check(mixed, 501, 610);
        check(mixed, 701, 810);
        check(mixed, 2900, 3000);
        for (length, shared) in [(600, 1500), (1500, 1500), (1510, 3000), (3000, 3000)] {
            assert_eq!(mixed.batch_length(length), shared, "{length}");
        }
        assert_eq!(WindowLengths::FULL.batch_length(3000), 3000);
    }

    #[test]
    fn encodes_a_part_of_the_silence_up_to_30_s() {
        assert_eq!(encoder_positions(1), 1 + 74);
        assert_eq!(encoder_positions(1000), 500 + 50);
        assert_eq!(encoder_positions(2980), 1490);
        assert_eq!(encoder_positions(3000), 1500);
    }

    /// CTranslate2 distinguishes encodings from features by their sizes.
    #[test]
    fn the_number_of_positions_differs_from_the_number_of_mel_bands() {
        for frames in 0..=WINDOW_FRAMES {
            for lengths in [
                WindowLengths::new(1, 1),
                WindowLengths::new(1, 1).with_fine_steps(),
            ] {
                let positions = encoder_positions(lengths.padded(frames));
                assert!(![80, 128].contains(&positions), "{frames} frames");
            }
        }
    }

    proptest! {
        #[test]
        fn padded_lengths_are_between_the_audio_and_a_full_window(
            frames in 1..=WINDOW_FRAMES, margin_s in 0..=30_usize, step_s in 1..=30_usize
        ) {
            let length = WindowLengths::new(margin_s, step_s).padded(frames);
            prop_assert!(frames <= length && length <= WINDOW_FRAMES);
        }
    }
}
