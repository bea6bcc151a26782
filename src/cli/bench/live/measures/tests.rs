//! Sessions with known words and times.

use super::*;
use crate::cli::bench::live::record::LiveEvent;
use crate::cli::bench::live::reference::ReferenceWord;
use crate::cli::web_socket::Route;

/// A word a second, each half a second long.
fn reference(text: &str) -> Reference {
    let words = text.split(' ').enumerate();
    let words = words.map(|(index, word)| ReferenceWord {
        word: word.to_owned(),
        start_s: index as f64,
        end_s: index as f64 + 0.5,
    });
    Reference {
        text: text.to_owned(),
        language: None,
        words: words.collect(),
    }
}

fn delta(text: &str) -> LiveEvent {
    LiveEvent::Delta {
        item: "i".to_owned(),
        text: text.to_owned(),
    }
}

fn completed(text: &str) -> LiveEvent {
    LiveEvent::Completed {
        item: "i".to_owned(),
        text: text.to_owned(),
    }
}

fn measures(route: Route, reference_text: &str, events: &[(f64, LiveEvent)]) -> SessionMeasures {
    let record = SessionRecord {
        lead_s: 1.0,
        events: events.to_vec(),
        ..SessionRecord::default()
    };
    let clip = Clip {
        text: Some("one two six".to_owned()),
        ..Clip::default()
    };
    let reading = TurnReading {
        route,
        silence_s: Some(0.5),
        language: None,
    };
    SessionMeasures::of(&record, &clip, &reference(reference_text), reading)
}

#[test]
fn matched_words_are_late_and_others_are_wrong() {
    let measures = measures(
        Route::Realtime,
        "one two three",
        &[
            (3.0, delta("One")),
            (4.5, delta(" to")),
            (5.0, delta(" three")),
            (6.0, completed("One two three.")),
        ],
    );
    // The words end at 1.5, 2.5 and 3.5 s.
    assert_eq!(measures.word_s, [1.5, 1.5]);
    let errors = |words, errors| WordErrors { words, errors };
    assert_eq!(measures.against_upload.deltas, errors(3, 1));
    assert_eq!(measures.against_upload.completed, errors(3, 0));
    assert_eq!(measures.against_text.upload, errors(3, 1));
    assert_eq!(measures.against_text.deltas, errors(3, 2));
    assert_eq!((measures.turns, measures.turns_that_differ), (1, 1));
    // "two" is covered by the delta with "three".
    assert_eq!(measures.lag_s, [1.5, 2.5, 1.5]);
    // Without events of speech, it begins and ends with the words.
    assert_eq!(
        (measures.first_delta_s, measures.final_s),
        (vec![2.0], vec![2.5])
    );
}

#[test]
fn speech_is_where_the_server_found_it() {
    let item = || "i".to_owned();
    let measures = measures(
        Route::Realtime,
        "one",
        &[
            (
                1.2,
                LiveEvent::SpeechStarted {
                    item: item(),
                    audio_start_s: 0.6,
                },
            ),
            (2.0, delta("one")),
            (
                2.3,
                LiveEvent::SpeechStopped {
                    item: item(),
                    audio_end_s: 2.25,
                },
            ),
            (2.5, completed("one")),
        ],
    );
    let near = |values: &[f64], expected: f64| {
        assert!((values[0] - expected).abs() < 1e-9, "{values:?}");
    };
    near(&measures.first_delta_s, 1.1);
    near(&measures.final_s, 0.75);
}

#[test]
fn an_empty_turn_without_speech_is_the_feeders_own() {
    let measures = measures(Route::Realtime, "one", &[(1.0, completed(""))]);
    assert_eq!(measures.turns, 0);
    assert_eq!(measures.against_upload.completed.errors, 1);
}

#[test]
fn the_simple_streams_first_certain_text_may_be_the_final_one() {
    let measures = measures(Route::Stream, "one two", &[(4.0, completed("one two"))]);
    assert_eq!(measures.word_s, [2.5, 1.5]);
    assert_eq!(measures.committed_words, 2);
    assert_eq!(measures.final_s, [1.5]);
}

#[test]
fn a_growing_lag_is_found_in_a_long_session() {
    let steady = vec![1.0; 100];
    assert_eq!(growth(&steady), Some(0.0));
    let growing: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(growth(&growing), Some(75.0));
    assert_eq!(growth(&steady[..79]), None);
}

#[test]
fn adding_sums_everything() {
    let one = measures(Route::Stream, "one two", &[(4.0, completed("one two"))]);
    let mut two = one.clone();
    two.add(one.clone());
    assert_eq!(two.turns, 2);
    assert_eq!(two.word_s.len(), 2 * one.word_s.len());
    assert_eq!(two.against_text.deltas.words, 6);
}
