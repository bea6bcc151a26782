//! Voice activity detection.
//!
//! A network computes a speech probability per 32 ms frame; two thresholds and minimum durations turn
//! the probabilities into spans. Both follow the Silero reference implementation.

use std::ops::Range;
use std::time::Duration;

mod silero;
mod spans;
mod long_spans;
mod stream;
mod turns;

pub use long_spans::cut_long_spans;
pub use silero::{FRAME_SAMPLES, Silero};
pub use spans::{NextSpan, SpanTracker};
pub use stream::StreamDetector;
pub use turns::{TurnEdge, TurnOptions, TurnTracker};

/// How spans of speech are derived from the probabilities. The defaults are those of `VadOptions` in
/// faster-whisper 1.2.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VadOptions {
    /// Speech starts at a frame of at least this probability, 0 to 1. Lower it for quiet speech,
    /// raise it if noise is detected as speech.
    pub threshold: f32,
    /// Speech ends once the probability is below this; none: 0.15 less than `threshold`, at least 0.01.
    pub neg_threshold: Option<f32>,
    /// Spans of this duration or shorter are dropped; zero keeps all.
    pub min_speech: Duration,
    /// Silence shorter than this does not end a span.
    pub min_silence: Duration,
    /// Maximum duration of speech in one window, clamped to 3 to 30 s. Spans themselves are not
    /// shortened: longer ones are cut when windows are formed.
    pub max_speech: Duration,
    /// Silence kept on each side of a span; closer neighbours split the silence between them.
    pub speech_pad: Duration,
}

impl VadOptions {
    /// Speech ends once the probability is below this.
    pub fn silence_threshold(&self) -> f32 {
        let default = (self.threshold - 0.15).max(0.01);
        self.neg_threshold.unwrap_or(default)
    }
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            neg_threshold: None,
            min_speech: Duration::ZERO,
            min_silence: Duration::from_secs(2),
            max_speech: Duration::from_secs(30),
            speech_pad: Duration::from_millis(400),
        }
    }
}

/// Computes the padded spans of speech in a recording of `samples` samples, in order and without
/// overlap, from the probabilities of its frames.
///
/// Equivalent to the reference's `get_speech_timestamps` without `max_speech_duration_s`.
pub fn spans(probabilities: &[f32], samples: usize, options: &VadOptions) -> Vec<Range<usize>> {
    let mut tracker = SpanTracker::new(samples, options);
    probabilities
        .iter()
        .for_each(|probability| tracker.push(*probability));
    let mut spans = Vec::new();
    while let NextSpan::Complete(span) = tracker.next_span() {
        spans.push(span);
        tracker.pop();
    }
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame a character: `#` is speech, `+` is between the thresholds, `.` is silence.
    #[track_caller]
    fn check(frames: &str, options: &VadOptions, expected: &[(usize, usize)]) {
        let probabilities: Vec<f32> = frames
            .chars()
            .map(|frame| match frame {
                '#' => 0.5,
                '+' => 0.36,
                _ => 0.34,
            })
            .collect();
        let samples = probabilities.len() * FRAME_SAMPLES;
        let found: Vec<_> = spans(&probabilities, samples, options)
            .into_iter()
            .map(|span| (span.start / FRAME_SAMPLES, span.end / FRAME_SAMPLES))
            .collect();
        assert_eq!(found, expected, "{frames}");
    }

    fn frames(count: u32) -> Duration {
        Duration::from_millis(32) * count
    }

    fn options(min_speech: u32, min_silence: u32, speech_pad: u32) -> VadOptions {
        VadOptions {
            min_speech: frames(min_speech),
            min_silence: frames(min_silence),
            speech_pad: frames(speech_pad),
            ..VadOptions::default()
        }
    }

    #[test]
    fn speech_starts_and_ends_at_different_thresholds() {
        let options = options(0, 0, 0);
        check("", &options, &[]);
        check("..++..", &options, &[]);
        check("..##+.", &options, &[(2, 5)]);
        check("+#+#++.#", &options, &[(1, 6), (7, 8)]);
    }

    #[test]
    fn the_end_of_speech_may_have_a_threshold_of_its_own() {
        let mut options = options(0, 0, 0);
        options.neg_threshold = Some(0.4);
        check("..##+.", &options, &[(2, 4)]);
        options.neg_threshold = Some(0.1);
        check("..##+.", &options, &[(2, 6)]);
    }

    #[test]
    fn keeps_short_silence_and_drops_short_speech() {
        // As in the reference, the frame that ends a silence is included.
        check("##...##....##", &options(0, 3, 0), &[(0, 7), (11, 13)]);
        check("##...###...##", &options(2, 2, 0), &[(5, 8)]);
        // The end of the recording always ends the span.
        check(".##..", &options(0, 3, 0), &[(1, 5)]);
    }

    #[test]
    fn neighbours_split_the_silence_between_them() {
        check("..##....####....", &options(0, 0, 1), &[(1, 5), (7, 13)]);
        check("..##....####....", &options(0, 0, 9), &[(0, 6), (6, 16)]);
    }

    #[test]
    fn ignores_frames_past_the_end_of_the_recording() {
        let options = VadOptions::default();
        assert_eq!(spans(&[0.9; 9], 1_000, &options), vec![0..1_000; 1]);
        assert!(spans(&[0.9; 9], 0, &options).is_empty());
        assert!(spans(&[0.9], 1_000, &options).is_empty(), "still open");
    }

    proptest! {
        /// Whatever follows, the reported state of the next span stays true.
        #[test]
        fn the_state_of_the_next_span_is_never_contradicted(
            runs in prop::collection::vec((0.0_f32..1.0, 1..8_usize), 0..40),
            missing in 0..FRAME_SAMPLES,
            (min_speech, min_silence, speech_pad) in (0..6_u32, 0..6_u32, 0..6_u32),
        ) {
            let options = options(min_speech, min_silence, speech_pad);
            let probabilities: Vec<f32> = runs
                .iter()
                .flat_map(|(probability, frames)| vec![*probability; *frames])
                .collect();
            let samples = (probabilities.len() * FRAME_SAMPLES).saturating_sub(missing);
            let mut expected = spans(&probabilities, samples, &options).into_iter().peekable();
            let mut tracker = SpanTracker::new(samples, &options);
            for probability in probabilities {
                tracker.push(probability);
                while let NextSpan::Complete(span) = tracker.next_span() {
                    prop_assert_eq!(Some(span), expected.next());
                    tracker.pop();
                }
                let next = expected.peek();
                match tracker.next_span() {
                    NextSpan::Partial(span) => prop_assert!(
                        next.is_some_and(|next| next.start == span.start && next.end >= span.end)
                    ),
                    NextSpan::NotBefore(sample) => {
                        prop_assert!(next.is_none_or(|next| next.start >= sample));
                    }
                    _ => prop_assert_eq!(next, None),
                }
            }
            prop_assert_eq!(tracker.next_span(), NextSpan::End);
        }
    }
}
