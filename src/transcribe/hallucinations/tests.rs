//! Which segments are dropped, and which words are improbable.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const SURE: f32 = 0.9;
const UNSURE: f32 = 0.05;

fn word(text: &str, start_s: f64, end_s: f64, probability: f32) -> Word {
    Word {
        text: text.to_owned(),
        start_s,
        end_s,
        probability,
    }
}

/// A segment of two words of one probability.
fn segment(start_s: f64, end_s: f64, probability: f32) -> Segment {
    let middle_s = (start_s + end_s) / 2.0;
    let words = vec![
        word(" a", start_s, middle_s, probability),
        word(" b", middle_s, end_s, probability),
    ];
    without_words(start_s, end_s, words)
}

fn without_words(start_s: f64, end_s: f64, words: Vec<Word>) -> Segment {
    Segment {
        start_s,
        end_s,
        text: format!(" from {start_s}"),
        words,
        ..Segment::default()
    }
}

#[test]
fn agrees_with_the_reference() {
    let fixture = include_str!("../../../crates/whisper/fixtures/words_reference.json");
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    let mut improbable_segments = 0;
    for clip in fixture["clips"].as_array().unwrap() {
        for segment in clip["words"].as_array().unwrap() {
            let words: Vec<Word> = segment["words"]
                .as_array()
                .unwrap()
                .iter()
                .map(|w| {
                    let number = |at: usize| w[at].as_f64().unwrap();
                    let text = w[0].as_str().unwrap();
                    word(text, number(1), number(2), number(3) as f32)
                })
                .collect();

            let improbable = is_improbable(&words);

            assert_eq!(
                segment["improbable"], improbable,
                "{} {words:?}",
                clip["clip"]
            );
            improbable_segments += usize::from(improbable);
        }
    }
    assert!(improbable_segments >= 2, "the fixture has noise and music");
}

#[test]
fn judges_words_by_probability_and_length() {
    for (words, expected) in [
        (vec![], false),
        (vec![word(" Yes.", 0.0, 0.4, SURE)], false),
        (vec![word(" Yes.", 0.0, 0.4, UNSURE)], true),
        (vec![word(" Yes.", 0.0, 0.05, SURE)], true),
        (vec![word(" Yes.", 0.0, 2.9, SURE)], false),
        (vec![word(" Yes.", 0.0, 3.0, SURE)], true),
        // One of two words is not enough; punctuation does not count.
        (
            vec![word(" a", 0.0, 0.4, UNSURE), word(" b", 0.4, 0.8, SURE)],
            false,
        ),
        (
            vec![word(" a", 0.0, 0.4, UNSURE), word("-", 0.4, 0.8, SURE)],
            true,
        ),
        (vec![word(".", 0.0, 0.4, SURE)], true),
        // A long first word makes the segment improbable, a ninth word is not scored.
        (
            vec![word(" a", 0.0, 5.0, SURE), word(" b", 5.0, 5.4, SURE)],
            true,
        ),
        // Three improbable words are too many, two of eight are not.
        (
            [
                vec![word(" a", 0.0, 0.4, SURE); 5],
                vec![word(" b", 0.0, 0.4, UNSURE); 3],
            ]
            .concat(),
            true,
        ),
        (
            [
                vec![word(" a", 0.0, 0.4, SURE); 6],
                vec![word(" b", 0.0, 0.4, UNSURE); 2],
            ]
            .concat(),
            false,
        ),
        (
            [
                vec![word(" a", 0.0, 0.4, SURE); 8],
                vec![word(" b", 0.0, 9.0, SURE)],
            ]
            .concat(),
            false,
        ),
    ] {
        assert_eq!(is_improbable(&words), expected, "{words:?}");
    }
}

/// The starts of what is dropped with a threshold of 2 s from a window of `window`.
#[track_caller]
fn check(window: Range<f64>, last_speech_s: f64, segments: &[Segment], expected: &[f64]) {
    let (kept, dropped) = drop_hallucinations(segments.to_vec(), window, last_speech_s, 2.0);

    let starts: Vec<f64> = dropped.iter().map(|span| span.start_s).collect();
    assert_eq!(starts, expected);
    let remain = segments.iter().filter(|s| !expected.contains(&s.start_s));
    assert!(kept.iter().eq(remain));
}

#[test]
fn drops_improbable_segments_between_silences() {
    let at = segment;
    // Silence on both sides, on one side, on none.
    let window = || 100.0..130.0;
    let before = at(105.0, 106.0, SURE);
    for (start_s, next_s, expected) in [
        (110.0, 120.0, &[110.0][..]),
        (110.0, 112.0, &[]),
        (107.0, 120.0, &[]),
        (107.0, 109.0, &[]),
    ] {
        let doubtful = at(start_s, start_s + 1.0, UNSURE);
        let next = at(next_s, next_s + 1.0, SURE);
        check(window(), 99.0, &[before.clone(), doubtful, next], expected);
        // Probable segments are kept wherever they are.
        let next = at(next_s, next_s + 1.0, SURE);
        check(
            window(),
            99.0,
            &[before.clone(), at(start_s, start_s + 1.0, SURE), next],
            &[],
        );
    }
}

#[test]
fn considers_the_edges_of_the_window_and_of_the_recording() {
    let at = segment;
    for (window, last_speech_s, segments, expected) in [
        // Consecutive improbable segments are dropped without a silence between them.
        (
            100.0..130.0,
            99.0,
            vec![
                at(110.0, 111.0, UNSURE),
                at(111.0, 112.0, UNSURE),
                at(115.0, 116.0, SURE),
            ],
            &[110.0, 111.0][..],
        ),
        // At the window's start, even directly after speech.
        (
            100.0..130.0,
            100.0,
            vec![at(101.0, 102.0, UNSURE)],
            &[101.0],
        ),
        // At the window's end, though no silence follows.
        (
            100.0..130.0,
            100.0,
            vec![at(103.0, 104.0, SURE), at(128.0, 129.5, UNSURE)],
            &[128.0],
        ),
        // The end of a short window is the end of speech, not of the model's input.
        (
            100.0..106.0,
            100.0,
            vec![at(102.5, 102.9, SURE), at(105.0, 105.8, UNSURE)],
            &[],
        ),
        // Short speech that fills its window.
        (0.0..1.4, 0.0, vec![at(0.2, 1.2, UNSURE)], &[]),
        // The same in ten seconds of noise.
        (0.0..10.0, 0.0, vec![at(0.2, 1.2, UNSURE)], &[0.2]),
        // A silence is measured from the end of speech.
        (
            100.0..130.0,
            99.0,
            vec![at(106.0, 109.5, SURE), at(110.0, 111.0, UNSURE)],
            &[],
        ),
        // A window whose silences were removed ends later than the model's 30 s.
        (
            100.0..150.0,
            99.0,
            vec![
                at(103.0, 104.0, SURE),
                at(130.0, 131.0, UNSURE),
                at(132.0, 133.0, SURE),
            ],
            &[],
        ),
        // A segment without words is neither scored nor speech.
        (
            100.0..130.0,
            99.0,
            vec![
                without_words(103.0, 109.0, Vec::new()),
                at(110.0, 111.0, UNSURE),
            ],
            &[110.0],
        ),
    ] {
        check(window, last_speech_s, &segments, expected);
    }
}

#[test]
fn a_recording_is_silent_before_it_begins() {
    let segments = || {
        vec![
            segment(1.0, 3.5, SURE),
            segment(4.0, 5.0, UNSURE),
            segment(20.0, 21.0, SURE),
        ]
    };
    for (threshold_s, expected) in [(3.0, 0), (4.5, 1)] {
        let (_, dropped) = drop_hallucinations(segments(), 0.0..30.0, 0.0, threshold_s);
        assert_eq!(dropped.len(), expected, "{threshold_s} s");
    }
}

#[test]
fn returns_dropped_segments_with_their_reason() {
    let (_, dropped) = drop_hallucinations(vec![segment(5.0, 6.0, UNSURE)], 0.0..30.0, 0.0, 2.0);

    let expected = DroppedSpan {
        start_s: 5.0,
        end_s: 6.0,
        reason: DropReason::Hallucination,
        text: " from 5".to_owned(),
    };
    assert_eq!(dropped, [expected]);
}

proptest! {
    #[test]
    fn every_segment_is_kept_or_dropped(
        spans in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f32>(), 0..3_u8), 0..10),
        (start_s, end_s, last_s, threshold_s) in any::<(f64, f64, f64, f64)>(),
    ) {
        let segments: Vec<Segment> = spans
            .into_iter()
            .map(|(start_s, end_s, probability, words)| {
                let mut segment = segment(start_s, end_s, probability);
                segment.words.truncate(words.into());
                segment
            })
            .collect();
        let count = segments.len();
        let wordless = segments.iter().filter(|s| s.words.is_empty()).count();

        let (kept, dropped) = drop_hallucinations(segments, start_s..end_s, last_s, threshold_s);

        prop_assert_eq!(kept.len() + dropped.len(), count);
        prop_assert_eq!(kept.iter().filter(|s| s.words.is_empty()).count(), wordless);
    }
}
