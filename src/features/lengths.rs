//! How much of its 30 s a window is padded to.
//!
//! Whisper was trained on 30 s, but its encoder takes less, and attention costs the square of the
//! length. Right behind the audio the model wants some silence, or it goes on for ever, and it wants
//! to know that silence follows up to 30 s, for which a few positions of it are enough: how much of
//! either was measured (docs/accuracy.md).

use super::WINDOW_FRAMES;

/// Frames of a second.
const FRAMES_A_SECOND: usize = 100;

/// Of the silence behind a padded window the encoder is given one position in so many (`engine/ct2/encoder.cc`).
const SILENCE_STRIDE: usize = 20;

/// Positions of 20 ms that the encoder gives out for a window that is padded to so many frames:
/// those of the frames, and those of the silence behind them.
#[must_use]
pub fn positions(frames: usize) -> usize {
    let own = frames.div_ceil(2);
    own + (WINDOW_FRAMES / 2).saturating_sub(own) / SILENCE_STRIDE
}

/// The lengths that windows are padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Silence behind the audio, at least, in frames.
    margin: usize,
    /// What every length is a multiple of, in frames; windows of one length share batches.
    step: usize,
}

impl Lengths {
    /// Every window is padded to 30 s.
    pub const WHOLE: Self = Self {
        margin: 0,
        step: WINDOW_FRAMES,
    };

    /// Windows are padded by `margin_s` of silence, up to the next multiple of `step_s`, in seconds.
    #[must_use]
    pub fn new(margin_s: usize, step_s: usize) -> Self {
        Self {
            margin: margin_s * FRAMES_A_SECOND,
            step: (step_s * FRAMES_A_SECOND).max(1),
        }
    }

    /// Silence behind the audio, at least, in frames.
    #[must_use]
    pub fn margin(self) -> usize {
        self.margin
    }

    /// The length for a window whose audio reaches `frames` frames.
    #[must_use]
    pub fn of(self, frames: usize) -> usize {
        let length = (frames + self.margin).next_multiple_of(self.step);
        length.min(WINDOW_FRAMES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(lengths: Lengths, frames: usize, length: usize) {
        assert_eq!(lengths.of(frames), length, "{frames} frames");
    }

    #[test]
    fn pads_by_the_margin_up_to_the_next_step() {
        let usual = Lengths::new(5, 5);
        check(usual, 1, 1000);
        check(usual, 500, 1000);
        check(usual, 501, 1500);
        check(usual, 2000, 2500);
        check(usual, 2001, 3000);
        check(usual, 3000, 3000);
        check(Lengths::WHOLE, 1, 3000);
        check(Lengths::WHOLE, 3000, 3000);
        check(Lengths::new(0, 7), 2900, 3000);
    }

    #[test]
    fn silence_up_to_30_s_is_given_in_part() {
        assert_eq!(positions(1), 1 + 74);
        assert_eq!(positions(1000), 500 + 50);
        assert_eq!(positions(2980), 1490);
        assert_eq!(positions(3000), 1500);
    }

    /// CTranslate2 tells what the encoder made from features by their sizes.
    #[test]
    fn no_encoding_has_as_many_positions_as_features_have_bins() {
        for seconds in 1..=30 {
            let positions = positions(Lengths::new(seconds, 1).of(0));
            assert!(![80, 128].contains(&positions), "{seconds} s");
        }
    }

    proptest! {
        #[test]
        fn holds_the_window_and_no_more_than_it_may(
            frames in 1..=WINDOW_FRAMES, margin_s in 0..=30_usize, step_s in 1..=30_usize
        ) {
            let length = Lengths::new(margin_s, step_s).of(frames);
            prop_assert!(frames <= length && length <= WINDOW_FRAMES);
        }
    }
}
