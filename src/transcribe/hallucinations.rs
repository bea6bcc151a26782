//! Detects hallucinated text.

use std::ops::Range;

use crate::transcript::{DropReason, DroppedSpan, Segment};
use halkspeech_whisper::Word;

/// Punctuation, which is ignored when a segment is scored.
const PUNCTUATION: &str = "\"'“¿([{-\"'.。,，!！?？:：”)]}、";
/// Maximum number of words by which a segment is scored.
const MAX_SCORED_WORDS: usize = 8;
/// Length of the model's input, in seconds.
const WINDOW_S: f64 = 30.0;
/// Text this close to an edge of the window, in seconds, may be an artifact of the edge.
const EDGE_S: f64 = 2.0;

/// Whether a segment with these words is probably hallucinated: most of its first eight words are
/// improbable, too short or too long to be spoken (faster-whisper's `is_segment_anomaly`).
pub fn is_improbable(words: &[Word]) -> bool {
    if words.is_empty() {
        return false;
    }
    let scored = words
        .iter()
        .filter(|word| !PUNCTUATION.contains(&word.text))
        .take(MAX_SCORED_WORDS);
    let (count, score) = scored.fold((0.0, 0.0), |(count, score), word| {
        (count + 1.0, score + anomaly_score(word))
    });
    score >= 3.0 || score + 0.01 >= count
}

/// Removes the improbable segments of a window that are between silences of more than `threshold_s`
/// seconds, between other improbable segments, or at the window's edges; returns the kept and the
/// dropped ones. Segments without words are kept.
///
/// Times are seconds of the recording: `window` is what was transcribed, `last_speech_s` the end
/// of the last word before it.
///
/// The rule is that of faster-whisper's `hallucination_silence_threshold`. There the first such
/// segment ends the window, and the next window begins at its start; here each window is transcribed
/// once, so only the improbable segments are dropped, and later segments are compared with the last
/// speech before them. A silence at the start of a window is not transcribed again either.
pub fn drop_hallucinations(
    segments: Vec<Segment>,
    window: Range<f64>,
    last_speech_s: f64,
    threshold_s: f64,
) -> (Vec<Segment>, Vec<DroppedSpan>) {
    // Without its silences, a window may span more of the recording than its own length.
    let window_end_s = window.end.max(window.start + WINDOW_S);
    let after = followers(&segments, window.end);
    let mut speech_end_s = last_speech_s;
    let (mut kept, mut dropped) = (Vec::with_capacity(segments.len()), Vec::new());
    for (segment, next) in segments.into_iter().zip(after) {
        if !segment.words.is_empty() {
            let silence_before = segment.start_s - speech_end_s > threshold_s
                || segment.start_s < threshold_s
                || segment.start_s - window.start < EDGE_S;
            let silence_after = next.start_s - segment.end_s > threshold_s
                || next.is_improbable
                || window_end_s - segment.end_s < EDGE_S;
            if silence_before && silence_after && is_improbable(&segment.words) {
                dropped.push(DroppedSpan {
                    start_s: segment.start_s,
                    end_s: segment.end_s,
                    reason: DropReason::Hallucination,
                    text: segment.text,
                });
                continue;
            }
            speech_end_s = segment.end_s;
        }
        kept.push(segment);
    }
    (kept, dropped)
}

/// The next segment with words, or the end of the window.
#[derive(Clone, Copy)]
struct Follower {
    start_s: f64,
    is_improbable: bool,
}

/// The follower of each of `segments`.
fn followers(segments: &[Segment], window_end_s: f64) -> Vec<Follower> {
    let mut next = Follower {
        start_s: window_end_s,
        is_improbable: false,
    };
    let mut followers = vec![next; segments.len()];
    for (follower, segment) in followers.iter_mut().zip(segments).rev() {
        *follower = next;
        if let Some(word) = segment.words.first() {
            next = Follower {
                start_s: word.start_s,
                is_improbable: is_improbable(&segment.words),
            };
        }
    }
    followers
}

/// 0 for a normal word; a word with 1 or more is improbable (faster-whisper's `word_anomaly_score`).
fn anomaly_score(word: &Word) -> f64 {
    let duration_s = word.end_s - word.start_s;
    let improbable = if word.probability < 0.15 { 1.0 } else { 0.0 };
    let too_short = (0.133 - duration_s).max(0.0) * 15.0;
    let too_long = (duration_s - 2.0).max(0.0);
    improbable + too_short + too_long
}

#[cfg(test)]
mod tests;
