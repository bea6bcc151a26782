//! Cuts spans of speech that are longer than a limit.

use std::ops::Range;
use std::time::Duration;

use super::{FRAME_SAMPLES, VadOptions};
use crate::samples_in;

/// Silence at which a long span may be cut, in frames: 0.1 s.
const CUT_FRAMES: usize = 3;

/// Cuts the spans that are longer than `longest`: in the last silence of at least 0.1 s before the limit, which is
/// left out, or else at the limit. `probabilities` are those of the frames of the recording.
#[must_use]
pub fn cut_long_spans(
    spans: Vec<Range<usize>>,
    probabilities: &[f32],
    options: &VadOptions,
    longest: Duration,
) -> Vec<Range<usize>> {
    let longest = samples_in(longest).max(FRAME_SAMPLES);
    let mut cut = Vec::with_capacity(spans.len());
    for mut span in spans {
        while span.len() > longest {
            let limit = span.start + longest;
            let silence = last_silence(probabilities, span.start..limit, options);
            let silence = silence.unwrap_or(limit..limit);
            cut.push(span.start..silence.start);
            span.start = silence.end.min(span.end);
        }
        if !span.is_empty() {
            cut.push(span);
        }
    }
    cut
}

/// The last silence that is long enough and begins within these samples, but not at their start.
fn last_silence(
    probabilities: &[f32],
    within: Range<usize>,
    options: &VadOptions,
) -> Option<Range<usize>> {
    let is_silent = |frame: usize| {
        let probability = probabilities.get(frame);
        probability.is_some_and(|probability| *probability < options.silence_threshold())
    };
    let first = within.start.div_ceil(FRAME_SAMPLES) + 1;
    let last = within.end / FRAME_SAMPLES;
    let begins = |frame: &usize| is_silent(*frame) && !is_silent(frame - 1);
    let length = |frame: usize| (frame..).take_while(|frame| is_silent(*frame)).count();
    let mut starts = (first..last).rev().filter(begins);
    let start = starts.find(|frame| length(*frame) >= CUT_FRAMES)?;
    Some(start * FRAME_SAMPLES..(start + length(start)) * FRAME_SAMPLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One frame a character, `#` is speech; the spans and the limit are in frames.
    #[track_caller]
    fn check(frames: &str, span: Range<usize>, longest: u32, expected: &[(usize, usize)]) {
        let probabilities = frames
            .chars()
            .map(|frame| f32::from(u8::from(frame == '#')));
        let probabilities: Vec<f32> = probabilities.collect();
        let longest = Duration::from_millis(32) * longest;
        let span = span.start * FRAME_SAMPLES..span.end * FRAME_SAMPLES;
        let spans = std::iter::once(span).collect();
        let cut = cut_long_spans(spans, &probabilities, &VadOptions::default(), longest);
        let cut = cut.into_iter().map(|span| {
            assert!(span.start < span.end);
            (span.start / FRAME_SAMPLES, span.end / FRAME_SAMPLES)
        });
        assert_eq!(cut.collect::<Vec<_>>(), expected, "{frames}");
    }

    #[test]
    fn short_spans_stay() {
        check("####", 0..4, 4, &[(0, 4)]);
        check("####", 0..4, 100, &[(0, 4)]);
    }

    #[test]
    fn long_spans_are_cut_in_the_last_silence() {
        check("##...##....##.##", 0..16, 13, &[(0, 7), (11, 16)]);
        check("##...##....##.##", 0..16, 6, &[(0, 2), (5, 7), (11, 16)]);
        // Too short a silence.
        check("###..####", 0..9, 6, &[(0, 6), (6, 9)]);
    }

    #[test]
    fn without_silence_they_are_cut_at_the_limit() {
        check("##########", 0..10, 4, &[(0, 4), (4, 8), (8, 10)]);
        // Padding before the speech is no silence within it.
        check("....######", 0..10, 8, &[(0, 8), (8, 10)]);
    }
}
