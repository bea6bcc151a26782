//! How much of its 30 s a window is padded to.
//!
//! Whisper was trained on 30 s, but its encoder takes less, and attention costs the square of the
//! length. Right behind the audio the model wants some silence, or it goes on for ever, and it wants
//! to know that silence follows up to 30 s, for which a few positions of it are enough: how much of
//! either was measured (docs/accuracy.md).

use super::WINDOW_FRAMES;

/// Frames of a second.
const FRAMES_PER_S: usize = 100;

/// Of a position of the encoder.
const FRAMES_PER_POSITION: usize = 2;

/// What a length is a multiple of where windows are encoded one by one, in frames. It
/// could be a single position: which of the near ties in a recording fall right hangs on it more
/// than words altogether do (docs/accuracy.md).
const FINE_STEP: usize = FRAMES_PER_S / 10;

/// No window is padded to less, in frames. Behind a single word a second of silence is not enough:
/// the word is written twice, or not at all (docs/accuracy.md, "Isolated words"). Below 2.4 s
/// CTranslate2 could not tell what was encoded from what is to be, because there are as many
/// positions as features have bins.
const MIN_FRAMES: usize = 6 * FRAMES_PER_S;

/// Where windows of different lengths share batches: those up to half of the longest, and the
/// longer ones. A batch's texts are answered together, and a short one should not wait for one of
/// 30 s.
const HALF_WINDOW: usize = WINDOW_FRAMES / 2;

/// Of the silence behind a padded window the encoder is given one position in so many (`engine/ct2/encoder.cc`).
const SILENCE_STRIDE: usize = 20;

/// Positions of 20 ms that the encoder gives out for a window that is padded to so many frames:
/// those of the frames, and those of the silence behind them.
#[must_use]
pub fn encoder_positions(frames: usize) -> usize {
    let own = frames.div_ceil(FRAMES_PER_POSITION);
    own + (WINDOW_FRAMES / FRAMES_PER_POSITION).saturating_sub(own) / SILENCE_STRIDE
}

/// The lengths that windows are padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLengths {
    /// Silence behind the audio, at least, in frames.
    margin: usize,
    /// What every length is a multiple of, in frames.
    step: usize,
    /// Windows share batches whose lengths lie between the same multiples of this, in frames.
    batch_step: usize,
}

impl WindowLengths {
    /// Every window is padded to 30 s.
    pub const FULL: Self = Self {
        margin: 0,
        step: WINDOW_FRAMES,
        batch_step: WINDOW_FRAMES,
    };

    /// Windows are padded by `margin_s` of silence, up to the next multiple of `step_s`, in seconds;
    /// those of one length share batches.
    #[must_use]
    pub fn new(margin_s: usize, step_s: usize) -> Self {
        let step = (step_s * FRAMES_PER_S).max(1);
        Self {
            margin: margin_s * FRAMES_PER_S,
            step,
            batch_step: step,
        }
    }

    /// The same, but those of different lengths share batches.
    #[must_use]
    pub fn with_mixed_batches(self) -> Self {
        Self {
            batch_step: HALF_WINDOW,
            ..self
        }
    }

    /// Windows are padded by the same silence, and hardly more.
    #[must_use]
    pub fn with_fine_steps(self) -> Self {
        Self {
            step: FINE_STEP,
            ..self
        }
    }

    /// Silence behind the audio, at least, in frames.
    #[must_use]
    pub fn margin(self) -> usize {
        self.margin
    }

    /// The length for a window whose audio reaches `frames` frames.
    #[must_use]
    pub fn padded(self, frames: usize) -> usize {
        let length = (frames + self.margin).next_multiple_of(self.step);
        length.clamp(MIN_FRAMES, WINDOW_FRAMES)
    }

    /// The longest window that one of this length shares batches with.
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
    fn windows_of_one_length_share_batches_or_those_of_one_half() {
        let by_length = WindowLengths::new(1, 2);
        assert_eq!(by_length.batch_length(by_length.padded(700)), by_length.padded(700));
        let mixed = WindowLengths::new(1, 2).with_mixed_batches().with_fine_steps();
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
    fn silence_up_to_30_s_is_given_in_part() {
        assert_eq!(encoder_positions(1), 1 + 74);
        assert_eq!(encoder_positions(1000), 500 + 50);
        assert_eq!(encoder_positions(2980), 1490);
        assert_eq!(encoder_positions(3000), 1500);
    }

    /// CTranslate2 tells what the encoder made from features by their sizes.
    #[test]
    fn no_encoding_has_as_many_positions_as_features_have_bins() {
        for frames in 0..=WINDOW_FRAMES {
            for lengths in [WindowLengths::new(1, 1), WindowLengths::new(1, 1).with_fine_steps()] {
                let positions = encoder_positions(lengths.padded(frames));
                assert!(![80, 128].contains(&positions), "{frames} frames");
            }
        }
    }

    proptest! {
        #[test]
        fn holds_the_window_and_no_more_than_it_may(
            frames in 1..=WINDOW_FRAMES, margin_s in 0..=30_usize, step_s in 1..=30_usize
        ) {
            let length = WindowLengths::new(margin_s, step_s).padded(frames);
            prop_assert!(frames <= length && length <= WINDOW_FRAMES);
        }
    }
}
