//! Splits a window's tokens into timed segments.

use super::Vocabulary;

/// Time stamps per second: one for each encoder position.
const TIMESTAMPS_PER_S: f64 = 50.0;

/// Tokens with their time in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedTokens {
    /// Start, in seconds of the window.
    pub start_s: f64,
    /// End, in seconds of the window; not before the start.
    pub end_s: f64,
    /// Text and time stamp tokens, without other special tokens.
    pub tokens: Vec<u32>,
}

/// A window's tokens, split at their time stamps.
///
/// Together, the parts contain all text tokens of the window, in order. They do not overlap, and may have
/// no text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segments {
    /// The parts with an end time stamp.
    pub finished: Vec<TimedTokens>,
    /// The text after the last pair of time stamps, if the model generated no end for it; it ends with the
    /// window.
    pub unfinished: Option<TimedTokens>,
    /// Position from which the reference transcribes again: the end of the last finished part. `None` if
    /// the window was transcribed to its end. 0 if nothing is finished.
    pub transcribed_until_s: Option<f64>,
}

/// Splits the tokens generated for a window of `duration_s` seconds by the rules of faster-whisper's
/// `_split_segments_by_timestamps`: between two consecutive time stamps; a single time stamp at the end
/// closes the last segment; without any pair, the whole window is one segment, up to the last time stamp.
///
/// Unlike in the reference, times are clamped to the window and to their order.
pub fn segments(vocabulary: &Vocabulary, tokens: &[u32], duration_s: f64) -> Segments {
    let time_s = |id| timestamp_s(vocabulary, id);
    let is_text = |id| id < vocabulary.eot();
    let tokens: Vec<u32> = tokens
        .iter()
        .copied()
        .filter(|&id| is_text(id) || time_s(id).is_some())
        .collect();
    let duration_s = duration_s.max(0.0);
    let Some(&last) = tokens.last() else {
        return Segments::default();
    };

    let mut cuts: Vec<usize> = (1..tokens.len())
        .filter(|&at| time_s(tokens[at - 1]).is_some() && time_s(tokens[at]).is_some())
        .collect();
    let Some(&last_pair) = cuts.last() else {
        let stamp_s = tokens.iter().rev().find_map(|&id| time_s(id));
        let end_s = stamp_s.filter(|&s| s > 0.0).unwrap_or(duration_s);
        return Segments {
            finished: vec![TimedTokens {
                start_s: 0.0,
                end_s: end_s.min(duration_s),
                tokens,
            }],
            ..Segments::default()
        };
    };
    let closed = time_s(last).is_some() && last_pair + 1 < tokens.len();
    if closed {
        cuts.push(tokens.len());
    }

    let mut finished: Vec<TimedTokens> = Vec::with_capacity(cuts.len());
    let (mut from, mut now_s) = (0, 0.0);
    for to in cuts {
        let part = &tokens[from..to];
        let stamp_s = |id: Option<&u32>| id.and_then(|&id| time_s(id)).unwrap_or(0.0);
        let start_s = stamp_s(part.first()).min(duration_s).max(now_s);
        let end_s = stamp_s(part.last()).min(duration_s).max(start_s);
        finished.push(TimedTokens {
            start_s,
            end_s,
            tokens: part.to_vec(),
        });
        (from, now_s) = (to, end_s);
    }
    let rest = &tokens[from..];
    let start_s = rest.first().and_then(|&id| time_s(id)).unwrap_or(0.0);
    let unfinished = rest.iter().any(|&id| is_text(id)).then(|| TimedTokens {
        start_s: start_s.min(duration_s).max(now_s),
        end_s: duration_s,
        tokens: rest.to_vec(),
    });
    Segments {
        finished,
        unfinished,
        transcribed_until_s: (!closed).then_some(now_s),
    }
}

/// The time of a time stamp token; `None` for other tokens.
fn timestamp_s(vocabulary: &Vocabulary, id: u32) -> Option<f64> {
    let position = id.checked_sub(vocabulary.timestamp_begin())?;
    // Ids past the last time stamp have no string.
    let exists = !vocabulary.token(id).is_empty();
    exists.then(|| f64::from(position) / TIMESTAMPS_PER_S)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::test_models::load;

    fn text_of(tokens: &[u32]) -> Vec<u32> {
        let eot = load("base").eot();
        tokens.iter().copied().filter(|&id| id < eot).collect()
    }

    /// Start, end and tokens of each part, the unfinished one last.
    fn parts(cut: &Segments) -> Vec<(f64, f64, &[u32])> {
        let all = cut.finished.iter().chain(&cut.unfinished);
        all.map(|part| (part.start_s, part.end_s, &part.tokens[..]))
            .collect()
    }

    #[track_caller]
    fn check(tokens: &[u32], duration_s: f64, expected: &[(f64, f64, &[u32])]) {
        let cut = segments(load("base"), tokens, duration_s);
        assert_eq!(parts(&cut), expected, "{tokens:?}");
    }

    #[test]
    fn splits_like_the_reference() {
        let fixture = include_str!("../fixtures/words_reference.json");
        let fixture: Value = serde_json::from_str(fixture).unwrap();
        let cases = ["cuts", "clips"].map(|kind| fixture[kind].as_array().unwrap());
        for case in cases.into_iter().flatten() {
            let ids = case["tokens"].as_array().unwrap();
            let ids: Vec<u32> = ids.iter().map(|id| id.as_u64().unwrap() as u32).collect();

            let duration_s = case["duration"].as_f64().unwrap();

            let cut = segments(load("base"), &ids, duration_s);

            // The reference has an empty segment for a window without tokens, and does not clamp time stamps
            // to the window.
            let expected = case["segments"].as_array().unwrap().iter();
            let expected: Vec<(f64, f64, u64)> = expected
                .map(|s| {
                    (
                        s[0].as_f64().unwrap(),
                        s[1].as_f64().unwrap(),
                        s[2].as_u64().unwrap(),
                    )
                })
                .map(|(start_s, end_s, tokens)| (start_s, end_s.min(duration_s), tokens))
                .filter(|&(.., tokens)| tokens > 0)
                .collect();
            let found: Vec<(f64, f64, u64)> = cut
                .finished
                .iter()
                .map(|part| (part.start_s, part.end_s, part.tokens.len() as u64))
                .collect();
            assert_eq!(found, expected, "{ids:?}");
            assert_eq!(
                cut.transcribed_until_s,
                case["heard_until"].as_f64(),
                "{ids:?}"
            );
        }
    }

    #[test]
    fn keeps_the_text_that_the_reference_would_transcribe_again() {
        // " Hello" at 0 to 2 s, then " world" from 2.4 s on.
        let ids = [50364, 2425, 50464, 50484, 1002];
        check(&ids, 7.5, &[(0.0, 2.0, &ids[..3]), (2.4, 7.5, &ids[3..])]);
        check(&ids[..4], 7.5, &[(0.0, 2.0, &ids[..3])]);
    }

    #[test]
    fn drops_special_tokens() {
        check(
            &[50258, 50268, 50359, 50364, 2425, 50464, 50257, 60_000],
            30.0,
            &[(0.0, 2.0, &[50364, 2425, 50464])],
        );
    }

    #[test]
    fn clamps_times_to_the_window_and_their_order() {
        // 5 s, then back to 3 s, then on to 30 s in a window of 10 s.
        check(
            &[50614, 2425, 50514, 50464, 1002, 51864],
            10.0,
            &[
                (5.0, 5.0, &[50614, 2425, 50514]),
                (5.0, 10.0, &[50464, 1002, 51864]),
            ],
        );
        check(&[2425, 51864], f64::NAN, &[(0.0, 0.0, &[2425, 51864])]);
    }

    proptest! {
        #[test]
        fn splitting_any_tokens_keeps_all_text(
            ids in prop::collection::vec(any_id(), 0..60),
            duration_s in prop_oneof![9 => 0.0..31.0, 1 => any::<f64>()],
            model in prop_oneof![Just("base"), Just("tiny.en")],
        ) {
            let vocabulary = load(model);
            let cut = segments(vocabulary, &ids, duration_s);

            let eot = vocabulary.eot();
            let text = |ids: &[u32]| -> Vec<u32> {
                ids.iter().copied().filter(|&id| id < eot).collect()
            };
            let mut now_s = 0.0;
            let mut found = Vec::new();
            for (start_s, end_s, tokens) in parts(&cut) {
                prop_assert!(now_s <= start_s && start_s <= end_s);
                prop_assert!(end_s <= duration_s.max(0.0));
                now_s = end_s;
                found.extend(text(tokens));
            }
            prop_assert_eq!(found, text(&ids));
            prop_assert!(cut.transcribed_until_s.is_none_or(|s| (0.0..=duration_s.max(0.0)).contains(&s)));
        }

        #[test]
        fn text_alone_is_one_segment(ids in prop::collection::vec(0..50_257_u32, 1..30)) {
            check(&text_of(&ids), 12.0, &[(0.0, 12.0, &ids)]);
        }
    }

    fn any_id() -> impl Strategy<Value = u32> {
        prop_oneof![
            4 => 0..50_256_u32,
            4 => 50_363..51_864_u32,
            1 => 50_256..52_000_u32,
            1 => any::<u32>()
        ]
    }
}
