//! Answers with times, what was left out of them, and what only a part of the audio gives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech::engine::fake::FakeEngine;
use halkspeech::engine::{EngineFactory, Quality};
use halkspeech::tokens::Task;
use serde_json::{Value, json};

use crate::helpers::audio::{adts_with_a_damaged_frame, stereo, tone, tones};
use crate::helpers::engine::{listen, say, say_at};
use crate::helpers::{MODEL, MULTILINGUAL, Setup, TestApp, form, header, text};

async fn saying_two_sentences() -> TestApp {
    let segments = [(0.0, " Good morning.", 0.9), (1.0, " Hello.", 1.5)];
    let engine = FakeEngine::factory(move |_, _| Ok(vec![say_at(&segments)]));
    TestApp::start_with(Setup {
        engine,
        ..Setup::default()
    })
    .await
}

/// An engine that takes every window for silence, and writes something for it.
fn hearing_silence() -> EngineFactory {
    FakeEngine::factory(|_, _| {
        let mut generation = say(" Thank you.");
        generation.quality = Quality {
            avg_logprob: -2.0,
            no_speech_prob: 0.9,
            ..generation.quality
        };
        Ok(vec![generation])
    })
}

fn two_seconds() -> Vec<u8> {
    tones(&[(500.0, Duration::from_secs(2))])
}

#[tokio::test]
async fn verbose_json_has_the_segments() {
    let app = saying_two_sentences().await;

    let query = [("model", MODEL), ("response_format", "verbose_json")];
    let answer = app.raw(two_seconds(), &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    let mut body: Value = answer.json().await.unwrap();
    let segments = body["segments"].take();
    assert_eq!(body["text"], "Good morning. Hello.");
    assert_eq!(body["task"], "transcribe");
    // The model knows no other.
    assert_eq!(body["language"], "english");
    assert_eq!(body["duration"], 2.0);
    assert_eq!(body["usage"], json!({ "type": "duration", "seconds": 2 }));
    let expected = [(0.0, 0.9, " Good morning."), (1.0, 1.5, " Hello.")];
    let segments = segments.as_array().unwrap();
    assert_eq!(segments.len(), expected.len());
    for (id, (segment, (start, end, text))) in segments.iter().zip(expected).enumerate() {
        assert_eq!(segment["id"], id, "{segment}");
        assert_eq!(segment["seek"], 0, "{segment}");
        assert_eq!(segment["start"], start, "{segment}");
        assert_eq!(segment["end"], end, "{segment}");
        assert_eq!(segment["text"], text, "{segment}");
        assert!(!segment["tokens"].as_array().unwrap().is_empty());
        for number in [
            "temperature",
            "avg_logprob",
            "compression_ratio",
            "no_speech_prob",
        ] {
            assert!(segment[number].is_f64(), "{number} of {segment}");
        }
    }
}

#[tokio::test]
async fn subtitles_have_a_cue_a_segment() {
    let app = saying_two_sentences().await;
    let cases = [
        (
            "srt",
            "text/plain; charset=utf-8",
            "1\n00:00:00,000 --> 00:00:00,900\nGood morning.\n\n\
             2\n00:00:01,000 --> 00:00:01,500\nHello.\n\n",
        ),
        (
            "vtt",
            "text/vtt",
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.900\nGood morning.\n\n\
             00:00:01.000 --> 00:00:01.500\nHello.\n\n",
        ),
    ];

    for (format, content_type, expected) in cases {
        let query = [("model", MODEL), ("response_format", format)];
        let answer = app.raw(two_seconds(), &query).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{format}");
        assert!(
            header(&answer, "content-type").starts_with(content_type),
            "{format}"
        );
        assert_eq!(answer.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_translation_asks_for_english() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let engine = FakeEngine::factory(move |_, inputs| {
        notes.lock().unwrap().push(inputs[0].prompt.task);
        Ok(listen(inputs))
    });
    let app = TestApp::start_with(Setup {
        engine,
        ..Setup::default()
    })
    .await;

    let fields = [
        ("model", MULTILINGUAL),
        ("language", "de"),
        ("response_format", "verbose_json"),
    ];
    let request = app.post("/v1/audio/translations");
    let request = request.multipart(form(tone(500.0), &fields));
    let answer = request.send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(*seen.lock().unwrap(), [Task::Translate]);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["task"], "translate");
    assert_eq!(body["language"], "english");
}

#[tokio::test]
async fn nothing_is_written_for_what_the_model_takes_for_silence() {
    let app = TestApp::start_with(Setup {
        engine: hearing_silence(),
        ..Setup::default()
    })
    .await;

    let plain = app.text_of(tone(500.0)).await;
    let query = [
        ("model", MODEL),
        ("response_format", "verbose_json"),
        ("include[]", "dropped"),
    ];
    let answer = app.raw(tone(500.0), &query).send().await.unwrap();
    let explained: Value = answer.json().await.unwrap();

    assert_eq!(plain, "");
    assert_eq!(explained["text"], "");
    assert_eq!(explained["segments"], json!([]));
    let dropped =
        json!([{ "start": 0.0, "end": 0.5, "reason": "no_speech", "text": "Thank you." }]);
    assert_eq!(explained["dropped"], dropped);
    let line = "halkspeech_dropped_pieces_total{reason=\"no_speech\"} 2\n";
    let metrics = app.metrics.encode();
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn what_could_not_be_decoded_is_listed_and_counted() {
    let app = TestApp::start().await;

    let query = [
        ("model", MODEL),
        ("response_format", "verbose_json"),
        ("include[]", "dropped"),
    ];
    let file = adts_with_a_damaged_frame(200, 100);
    let answer = app.raw(file, &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    let damaged = json!({ "start": 6.4, "end": 6.46, "reason": "damaged", "text": "" });
    let dropped = body["dropped"].as_array().unwrap();
    assert!(dropped.contains(&damaged), "{body}");
    assert_eq!(body["duration"], 12.8);
    let metrics = app.metrics.encode();
    for line in [
        "halkspeech_dropped_pieces_total{reason=\"damaged\"} 1\n",
        "halkspeech_damaged_audio_seconds_total 0.064",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn the_silence_rule_can_be_switched_off() {
    let app = TestApp::start_with(Setup {
        engine: hearing_silence(),
        ..Setup::default()
    })
    .await;

    let query = [("model", MODEL), ("no_speech_threshold", "none")];
    let answer = app.raw(tone(500.0), &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, "Thank you.");
}

#[tokio::test]
async fn each_channel_is_a_speaker() {
    let app = TestApp::start().await;
    let (left, right) = (300.0, 900.0);
    let said = [
        app.text_of(tone(left)).await,
        app.text_of(tone(right)).await,
    ];
    assert_ne!(said[0], said[1]);

    for format in ["diarized_json", "verbose_json"] {
        let query = [
            ("model", MODEL),
            ("channels", "split"),
            ("response_format", format),
        ];
        let answer = app.raw(stereo(left, right), &query).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{format}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["text"], said.join(" "), "{format}");
        assert_eq!(body["duration"], 0.5, "{format}");
        let segments = body["segments"].as_array().unwrap();
        let heard = segments.iter().map(|segment| {
            let text = segment["text"].as_str().unwrap();
            (segment["speaker"].as_str().unwrap(), text.trim())
        });
        let expected = [("A", said[0].as_str()), ("B", said[1].as_str())];
        assert_eq!(heard.collect::<Vec<_>>(), expected, "{format}");
    }
}

#[tokio::test]
async fn only_the_part_asked_for_is_heard_at_its_own_time() {
    let app = TestApp::start().await;
    let two = Duration::from_secs(2);
    let recording = tones(&[300.0, 600.0, 900.0].map(|pitch| (pitch, two)));
    let middle = app.text_of(tone(600.0)).await;

    let query = [
        ("model", MODEL),
        ("response_format", "verbose_json"),
        ("offset", "2"),
        ("duration", "2"),
    ];
    let answer = app.raw(recording, &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["text"], middle);
    assert_eq!(body["duration"], 6.0);
    assert_eq!(body["segments"][0]["start"], 2.0);
    assert_eq!(body["segments"][0]["end"], 4.0);
}

#[tokio::test]
async fn what_the_model_passed_over_at_the_end_of_a_window_is_heard_again() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let engine = FakeEngine::factory(move |key, inputs| {
        let previous = inputs[0].prompt.previous.clone();
        let (timestamps, frames) = (key.options.timestamps, inputs[0].features.frames);
        notes
            .lock()
            .unwrap()
            .push((timestamps, previous.len(), frames));
        if !timestamps {
            return Ok(vec![say(" Hello.")]);
        }
        // A second stamp, and nothing behind it: the model stops here, and would go on from here.
        let mut generation = say_at(&[(0.0, " Good morning.", 1.0)]);
        generation.tokens.extend(generation.tokens.last().copied());
        Ok(vec![generation])
    });
    let app = TestApp::start_with(Setup {
        engine,
        ..Setup::default()
    })
    .await;

    let five_seconds = tones(&[(500.0, Duration::from_secs(5))]);
    let query = [("model", MODEL), ("response_format", "verbose_json")];
    let answer = app.raw(five_seconds, &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["text"], "Good morning. Hello.");
    let last = &body["segments"][1];
    assert_eq!((&last["start"], &last["end"]), (&json!(1.0), &json!(5.0)));
    let seen = seen.lock().unwrap();
    let [(true, 0, _), (false, previous, frames)] = seen[..] else {
        panic!("{seen:?}")
    };
    assert!(previous > 0, "it continues what was heard");
    assert!(
        (400..410).contains(&frames),
        "four of five seconds are left"
    );
}
