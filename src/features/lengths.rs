//! How much of its 30 s a window is padded to.
//!
//! Whisper was trained on 30 s, but its encoder takes less, and attention costs the square of the
//! length. Behind the audio the model wants some silence, or it goes on for ever; it may be silence
//! that was encoded before and is joined to the encoding of the window. What is enough was measured
//! (docs/accuracy.md).

use super::WINDOW_FRAMES;

/// Frames of a second.
const FRAMES_A_SECOND: usize = 100;
/// Silence that is encoded with a window, at least, where more is joined to its encoding.
const ENCODED_MARGIN: usize = 300;
/// What lengths are multiples of that need not be shared.
const FINE_STEP: usize = 20;

/// The lengths that windows are padded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Silence behind the audio, at least, in frames.
    margin: usize,
    /// What every length is a multiple of, in frames; windows of one length share batches.
    step: usize,
    silence: Silence,
}

/// How a window comes by the silence behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// All of it is encoded with the window: windows of one length go through the encoder together.
    Encoded,
    /// Most of it is joined to the window's encoding.
    Joined,
}

/// What a window is padded to, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// For the encoder.
    pub encoded: usize,
    /// For the decoder; no less.
    pub shared: usize,
}

impl Lengths {
    /// Every window is padded to 30 s.
    pub const WHOLE: Self = Self {
        margin: 0,
        step: WINDOW_FRAMES,
        silence: Silence::Encoded,
    };

    /// Windows are padded by `margin_s` of silence, up to the next multiple of `step_s`, in seconds.
    #[must_use]
    pub fn new(margin_s: usize, step_s: usize, silence: Silence) -> Self {
        Self {
            margin: margin_s * FRAMES_A_SECOND,
            step: (step_s * FRAMES_A_SECOND).max(1),
            silence,
        }
    }

    /// Silence behind the audio that is encoded with it, at least, in frames.
    #[must_use]
    pub fn encoded_margin(self) -> usize {
        match self.silence {
            Silence::Encoded => self.margin,
            Silence::Joined => self.margin.min(ENCODED_MARGIN),
        }
    }

    /// The length for a window whose audio reaches `frames` frames, for a model of `n_mels` bins.
    #[must_use]
    pub fn of(self, frames: usize, n_mels: usize) -> Length {
        let shared = padded(frames + self.margin, self.step, n_mels);
        // What is padded to all of 30 s is what the model was trained on.
        let encoded = match self.silence {
            Silence::Joined if shared < WINDOW_FRAMES => {
                padded(frames + self.encoded_margin(), FINE_STEP, n_mels).min(shared)
            }
            _ => shared,
        };
        Length { encoded, shared }
    }
}

/// `frames` up to the next multiple of `step`, at most 30 s.
fn padded(frames: usize, step: usize, n_mels: usize) -> usize {
    let length = frames.next_multiple_of(step);
    // The encoder halves the length. CTranslate2 tells its output from features by their sizes.
    let length = if length.div_ceil(2) == n_mels {
        length + step
    } else {
        length
    };
    length.min(WINDOW_FRAMES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(lengths: Lengths, frames: usize, shared: usize) {
        assert_eq!(lengths.of(frames, 80).shared, shared, "{frames} frames");
    }

    #[test]
    fn pads_by_the_margin_up_to_the_next_step() {
        let usual = Lengths::new(5, 5, Silence::Encoded);
        check(usual, 1, 1000);
        check(usual, 500, 1000);
        check(usual, 501, 1500);
        check(usual, 2000, 2500);
        check(usual, 2001, 3000);
        check(usual, 3000, 3000);
        check(Lengths::WHOLE, 1, 3000);
        check(Lengths::WHOLE, 3000, 3000);
        check(Lengths::new(0, 7, Silence::Encoded), 2900, 3000);
    }

    #[test]
    fn no_encoding_has_as_many_frames_as_there_are_bins() {
        let lengths = Lengths {
            margin: 0,
            step: 160,
            silence: Silence::Encoded,
        };
        assert_eq!(lengths.of(100, 80).shared, 320);
        assert_eq!(lengths.of(100, 128).shared, 160);
    }

    #[test]
    fn little_silence_is_encoded_where_more_is_joined() {
        let joined = Lengths::new(3, 5, Silence::Joined);
        let length = |frames| {
            let Length { encoded, shared } = joined.of(frames, 80);
            (encoded, shared)
        };
        assert_eq!(length(505), (820, 1000));
        assert_eq!(length(2100), (2400, 2500));
        assert_eq!(length(2201), (3000, 3000));
        assert_eq!(length(60), (360, 500));
    }

    proptest! {
        #[test]
        fn holds_the_window_and_no_more_than_it_may(
            frames in 1..=WINDOW_FRAMES, margin_s in 0..=30_usize, step_s in 1..=30_usize,
            silence in prop::sample::select(vec![Silence::Encoded, Silence::Joined]),
        ) {
            let length = Lengths::new(margin_s, step_s, silence).of(frames, 80);
            prop_assert!(frames <= length.encoded && length.encoded <= length.shared);
            prop_assert!(length.shared <= WINDOW_FRAMES && length.encoded != 160);
        }
    }
}
