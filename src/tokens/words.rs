//! Groups a window's tokens into words with times.

mod clock;
mod pace;
mod split;

use clock::TokenClock;
use pace::Pace;
use split::{merge_punctuation, split};

use super::segments::TimedTokens;
use super::{Language, Vocabulary};

/// Seconds of an encoder frame, the unit of alignments.
const FRAME_S: f64 = 0.02;

/// A word with its time and the punctuation that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word as the model wrote it, with the space in front.
    pub text: String,
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds; not before its start.
    pub end_s: f64,
    /// Mean probability of its tokens.
    pub probability: f32,
}

/// When each text token of a window was spoken, and how sure the model is of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// The text tokens that were aligned: the window's tokens below the end of text.
    pub tokens: Vec<u32>,
    /// When each token begins, in seconds of the window; one more than there are tokens, the last
    /// being where the text ends.
    pub starts_s: Vec<f32>,
    /// Probability of each token.
    pub probabilities: Vec<f32>,
}

/// The words of a segment, and its time as they make it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedWords {
    /// Where the segment begins, in seconds of the window.
    pub start_s: f64,
    /// Where the segment ends, in seconds of the window; not before its start.
    pub end_s: f64,
    /// Its words; their texts, joined, are the segment's text.
    pub words: Vec<Word>,
}

/// The words of each of a window's `segments`, in seconds of the window and in hundredths, none
/// before the one it follows, by the rules of faster-whisper's `add_word_timestamps`.
///
/// `alignment` is that of all text tokens of `segments`; from where the two differ, words share the
/// rest of their segment evenly. `last_speech_s` is the end of the last word before the window: 0 or
/// less. Without a `language`, words are taken to stand apart.
pub fn words(
    vocabulary: &Vocabulary,
    language: Option<Language>,
    segments: &[TimedTokens],
    alignment: &Alignment,
    last_speech_s: f64,
) -> Vec<TimedWords> {
    let texts: Vec<Vec<u32>> = segments
        .iter()
        .map(|segment| text_tokens(vocabulary, &segment.tokens))
        .collect();
    let clock = TokenClock::new(alignment, &texts.concat());
    let mut from = 0;
    let mut timed: Vec<TimedWords> = Vec::with_capacity(segments.len());
    let mut durations_s = Vec::new();
    for (segment, ids) in segments.iter().zip(&texts) {
        let pieces = split(vocabulary, language, ids);
        let (words, aligned) = clock.time(segment, pieces, from);
        durations_s.extend(
            words[..aligned]
                .iter()
                .map(|word| word.end_s - word.start_s),
        );
        from += ids.len();
        timed.push(TimedWords {
            start_s: segment.start_s,
            end_s: segment.end_s,
            words,
        });
    }

    let pace = Pace::of(durations_s);
    pace.shorten_at_sentence_ends(timed.iter_mut().flat_map(|segment| &mut segment.words));
    let mut last_speech_s = last_speech_s;
    for segment in &mut timed {
        segment.words = merge_punctuation(std::mem::take(&mut segment.words));
        pace.settle_edges(segment, last_speech_s);
        if !segment.words.is_empty() {
            last_speech_s = segment.end_s;
        }
    }
    put_in_order(&mut timed);
    timed
}

/// [`Alignment::starts_s`] of `tokens` tokens from the path of their alignment: pairs of a token's
/// index, the end of the text being one more token, and the encoder frame it was heard in. A token
/// begins with the first of its frames.
pub fn times_from_path(path: impl Iterator<Item = (i64, i64)>, tokens: usize) -> Vec<f32> {
    let mut first_frames: Vec<Option<i64>> = vec![None; tokens + 1];
    for (token, frame) in path {
        let known = usize::try_from(token).ok();
        if let Some(first) = known.and_then(|token| first_frames.get_mut(token)) {
            first.get_or_insert(frame);
        }
    }
    let mut latest = 0;
    first_frames
        .into_iter()
        .map(|first| {
            latest = latest.max(first.unwrap_or(0));
            (latest as f64 * FRAME_S) as f32
        })
        .collect()
}

fn text_tokens(vocabulary: &Vocabulary, tokens: &[u32]) -> Vec<u32> {
    let eot = vocabulary.eot();
    tokens.iter().copied().filter(|&id| id < eot).collect()
}

/// Holds segments and words in their order, in hundredths of a second.
fn put_in_order(segments: &mut [TimedWords]) {
    let (mut segment_end_s, mut word_end_s) = (0.0, 0.0);
    for segment in segments {
        let times = (&mut segment.start_s, &mut segment.end_s);
        segment_end_s = hold_after(times, segment_end_s);
        for word in &mut segment.words {
            word_end_s = hold_after((&mut word.start_s, &mut word.end_s), word_end_s);
        }
    }
}

/// Moves a span behind `earliest_s`, as far as it lies before, and returns its end.
fn hold_after((start_s, end_s): (&mut f64, &mut f64), earliest_s: f64) -> f64 {
    *start_s = in_hundredths(*start_s).max(earliest_s);
    *end_s = in_hundredths(*end_s).max(*start_s);
    *end_s
}

fn in_hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::tokens::segments::segments;
    use crate::tokens::test_models::load;

    fn fixture() -> Vec<Value> {
        let fixture = include_str!("../../tests/fixtures/words_reference.json");
        let fixture: Value = serde_json::from_str(fixture).unwrap();
        fixture["clips"].as_array().unwrap().clone()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let all = value.as_array().unwrap().iter();
        all.map(|number| number.as_f64().unwrap()).collect()
    }

    fn ids(value: &Value) -> Vec<u32> {
        numbers(value).into_iter().map(|id| id as u32).collect()
    }

    fn is_near(found: f64, expected: &Value, within: f64) -> bool {
        (found - expected.as_f64().unwrap()).abs() <= within
    }

    /// The words of the finished segments of a clip of the fixture.
    fn words_of(clip: &Value, last_speech_s: f64) -> Vec<TimedWords> {
        let base = load("base");
        let duration_s = clip["duration"].as_f64().unwrap();
        let cut = segments(base, &ids(&clip["tokens"]), duration_s).finished;
        let all: Vec<u32> = cut.iter().flat_map(|part| part.tokens.clone()).collect();
        let frames = numbers(&clip["starts"]);
        let alignment = Alignment {
            tokens: text_tokens(base, &all),
            starts_s: frames
                .iter()
                .map(|&frame| (frame * FRAME_S) as f32)
                .collect(),
            probabilities: numbers(&clip["probabilities"])
                .into_iter()
                .map(|probability| probability as f32)
                .collect(),
        };
        let language = Language::parse(clip["language"].as_str().unwrap());
        words(base, language, &cut, &alignment, last_speech_s)
    }

    #[test]
    fn finds_the_words_of_the_reference() {
        for clip in fixture() {
            let name = &clip["clip"];

            let found = words_of(&clip, clip["last_speech"].as_f64().unwrap());

            let expected = clip["words"].as_array().unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (segment, expected) in found.iter().zip(expected) {
                assert!(
                    is_near(segment.start_s, &expected["start"], 0.006),
                    "{name} {segment:?}"
                );
                assert!(
                    is_near(segment.end_s, &expected["end"], 0.006),
                    "{name} {segment:?}"
                );
                let expected = expected["words"].as_array().unwrap();
                let texts: Vec<&str> = segment.words.iter().map(|w| w.text.as_str()).collect();
                let expected_texts: Vec<&str> =
                    expected.iter().map(|w| w[0].as_str().unwrap()).collect();
                assert_eq!(texts, expected_texts, "{name}");
                for (word, expected) in segment.words.iter().zip(expected) {
                    assert!(
                        is_near(word.start_s, &expected[1], 0.006)
                            && is_near(word.end_s, &expected[2], 0.006)
                            && is_near(word.probability.into(), &expected[3], 0.001),
                        "{name}: {word:?} is not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn reads_the_path_of_an_alignment() {
        let clips = fixture();
        let with_path: Vec<&Value> = clips.iter().filter(|c| !c["path"].is_null()).collect();
        assert_eq!(with_path.len(), 2);
        for clip in with_path {
            let path = clip["path"].as_array().unwrap().iter();
            let path = path.map(|pair| (pair[0].as_i64().unwrap(), pair[1].as_i64().unwrap()));
            let starts = numbers(&clip["starts"]);

            let times = times_from_path(path, starts.len() - 1);

            let expected: Vec<f32> = starts.iter().map(|s| (s * FRAME_S) as f32).collect();
            assert_eq!(times, expected);
        }
    }

    #[test]
    fn fills_the_gaps_of_a_broken_path() {
        for (path, tokens, expected) in [
            (&[][..], 0, &[0.0][..]),
            (&[], 2, &[0.0, 0.0, 0.0]),
            (
                &[(0, 1), (0, 2), (1, 3), (2, 3), (2, 9)],
                2,
                &[0.02, 0.06, 0.06],
            ),
            (&[(0, 5), (2, 10)], 3, &[0.1, 0.1, 0.2, 0.2]),
            (&[(-1, 5), (0, -5), (7, 10)], 1, &[0.0, 0.0]),
        ] {
            let times = times_from_path(path.iter().copied(), tokens);
            assert_eq!(times, expected, "{path:?}");
        }
    }

    #[test]
    fn words_that_were_not_aligned_share_their_segment() {
        let base = load("base");
        // " a b c d" from 2 to 6 s, of which " a b" is aligned.
        let tokens = base.encode(" a b c d");
        assert_eq!(tokens.len(), 4);
        let segment = TimedTokens {
            start_s: 2.0,
            end_s: 6.0,
            tokens: tokens.clone(),
        };
        let alignment = Alignment {
            tokens: tokens[..2].to_vec(),
            starts_s: vec![2.0, 2.5, 3.0],
            probabilities: vec![0.9, 0.8],
        };
        let times = |alignment: &Alignment| -> Vec<(f64, f64)> {
            let found = words(base, None, std::slice::from_ref(&segment), alignment, 0.0);
            assert_eq!((found[0].start_s, found[0].end_s), (2.0, 6.0));
            found[0]
                .words
                .iter()
                .map(|w| (w.start_s, w.end_s))
                .collect()
        };

        let of_another_text = Alignment {
            tokens: [&tokens[..1], &tokens[2..]].concat(),
            starts_s: vec![2.0, 2.5, 3.0, 4.0],
            probabilities: vec![0.9, 0.8, 0.7],
        };
        let of_none = Alignment {
            tokens: Vec::new(),
            starts_s: Vec::new(),
            probabilities: Vec::new(),
        };
        for (alignment, expected) in [
            (&alignment, [(2.0, 2.5), (2.5, 3.0), (3.0, 4.5), (4.5, 6.0)]),
            (&of_none, [(2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0)]),
            (
                &of_another_text,
                [(2.0, 2.5), (2.5, 3.67), (3.67, 4.83), (4.83, 6.0)],
            ),
        ] {
            assert_eq!(times(alignment), expected, "{alignment:?}");
        }
    }

    #[test]
    fn a_segment_without_words_is_no_speech() {
        let base = load("base");
        let tokens = base.encode(" a b");
        let segment = |start_s, end_s, tokens: &[u32]| TimedTokens {
            start_s,
            end_s,
            tokens: tokens.to_vec(),
        };
        let segments = [
            segment(0.0, 0.5, &tokens[..1]),
            segment(10.0, 18.0, &[]),
            segment(19.0, 20.0, &tokens[1..]),
        ];
        let alignment = Alignment {
            tokens: tokens.clone(),
            starts_s: vec![0.0, 0.5, 20.0],
            probabilities: vec![0.9, 0.8],
        };

        let found = words(base, None, &segments, &alignment, 0.0);

        // A word of twice 0.7 s after the long pause.
        let times: Vec<(f64, f64)> = found.iter().map(|s| (s.start_s, s.end_s)).collect();
        assert_eq!(times, [(0.0, 0.5), (10.0, 18.0), (18.6, 20.0)]);
    }

    proptest! {
        #[test]
        fn joined_words_are_the_text_and_in_order(
            ids in prop::collection::vec(any_id(), 0..60),
            language in prop::option::of(prop::sample::select(&Language::ALL[..])),
            aligned in aligned(),
            last_speech_s in prop_oneof![-30.0..30.0, any::<f64>()],
        ) {
            let base = load("base");
            let cut = segments(base, &ids, 30.0);
            let cut: Vec<TimedTokens> = cut.finished.into_iter().chain(cut.unfinished).collect();
            let (starts_s, probabilities, tokens) = aligned;
            let alignment = Alignment {
                tokens: tokens.unwrap_or_else(|| text_tokens(base, &ids)),
                starts_s,
                probabilities,
            };

            let found = words(base, language, &cut, &alignment, last_speech_s);

            prop_assert_eq!(found.len(), cut.len());
            let (mut segment_end_s, mut word_end_s) = (0.0, 0.0);
            for (segment, part) in found.iter().zip(&cut) {
                let text: String = segment.words.iter().map(|w| w.text.as_str()).collect();
                prop_assert_eq!(text, base.decode(&part.tokens));
                prop_assert!(segment_end_s <= segment.start_s && segment.start_s <= segment.end_s);
                segment_end_s = segment.end_s;
                for word in &segment.words {
                    prop_assert!(!word.text.is_empty());
                    prop_assert!(word_end_s <= word.start_s && word.start_s <= word.end_s);
                    word_end_s = word.end_s;
                }
            }
        }

        #[test]
        fn any_path_gives_each_token_a_time(
            path in prop::collection::vec((-2..20_i64, any::<i64>()), 0..50),
            tokens in 0..20_usize,
        ) {
            let times = times_from_path(path.into_iter(), tokens);

            prop_assert_eq!(times.len(), tokens + 1);
            prop_assert!(times.is_sorted() && times[0] >= 0.0);
        }
    }

    fn any_id() -> impl Strategy<Value = u32> {
        prop_oneof![8 => 0..50_257_u32, 2 => 50_364..51_864_u32, 1 => 50_257..52_000_u32]
    }

    /// Starts and probabilities as an engine gives them, or broken ones; tokens if they are not
    /// those of the segments.
    fn aligned() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Option<Vec<u32>>)> {
        let usual = prop::collection::vec(0.0..30.0_f32, 61).prop_map(|mut starts_s| {
            starts_s.sort_by(f32::total_cmp);
            starts_s
        });
        let broken = prop::collection::vec(any::<f32>(), 0..61);
        (
            prop_oneof![usual, broken],
            prop_oneof![
                prop::collection::vec(0.0..=1.0_f32, 60),
                prop::collection::vec(any::<f32>(), 0..61)
            ],
            prop::option::weighted(0.2, prop::collection::vec(0..50_257_u32, 0..60)),
        )
    }
}
