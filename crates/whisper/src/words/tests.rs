//! Words of hand-made alignments.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::segments;
use crate::test_models::load;

fn fixture() -> Vec<Value> {
    let fixture = include_str!("../../fixtures/words_reference.json");
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
fn words_equal_those_of_the_reference() {
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
fn words_without_alignment_share_their_segment() {
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
fn a_segment_without_words_does_not_count_as_speech() {
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

    // A word of twice 0.7 s after the pause.
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

/// Starts and probabilities, valid or invalid, and tokens if they differ from those of the segments.
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
