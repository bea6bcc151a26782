//! How much of its 30 s a window is padded to.
//!
//! Whisper was trained on 30 s, but its encoder takes less, and attention costs the square of the
//! length. Right behind the audio the model wants some silence, or it goes on for ever: what is
//! enough was measured (docs/accuracy.md).

use super::WINDOW_FRAMES;

/// Frames of a second.
const FRAMES_A_SECOND: usize = 100;

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

    /// The length for a window whose audio reaches `frames` frames, for a model of `n_mels` bins.
    #[must_use]
    pub fn of(self, frames: usize, n_mels: usize) -> usize {
        let length = (frames + self.margin).next_multiple_of(self.step);
        // The encoder halves the length. CTranslate2 tells its output from features by their sizes.
        let length = if length.div_ceil(2) == n_mels {
            length + self.step
        } else {
            length
        };
        length.min(WINDOW_FRAMES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(lengths: Lengths, frames: usize, length: usize) {
        assert_eq!(lengths.of(frames, 80), length, "{frames} frames");
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
    fn no_encoding_has_as_many_frames_as_there_are_bins() {
        let lengths = Lengths {
            margin: 0,
            step: 160,
        };
        assert_eq!(lengths.of(100, 80), 320);
        assert_eq!(lengths.of(100, 128), 160);
    }

    proptest! {
        #[test]
        fn holds_the_window_and_no_more_than_it_may(
            frames in 1..=WINDOW_FRAMES, margin_s in 0..=30_usize, step_s in 1..=30_usize
        ) {
            let length = Lengths::new(margin_s, step_s).of(frames, 80);
            prop_assert!(frames <= length && length <= WINDOW_FRAMES);
        }
    }
}
