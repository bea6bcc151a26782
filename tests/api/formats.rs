//! Responses with times, dropped text, and transcripts of a part of the audio.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech_whisper::Task;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{EngineFactory, Quality};
use serde_json::{Value, json};

use crate::helpers::audio::{adts_with_a_damaged_frame, stereo, tone, tones};
use crate::helpers::engine::{loudest_bands, text_generation, timed_generation};
use crate::helpers::{MODEL, MULTILINGUAL, TestApp, TestSetup, form, header, text};

async fn app_with_two_segments() -> TestApp {
    let segments = [(0.0, " Good morning.", 0.9), (1.0, " Hello.", 1.5)];
    let engine = FakeEngine::factory(move |_, _| Ok(vec![timed_generation(&segments)]));
    TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await
}

/// An engine that reports every window as silence, with text.
fn silence_engine() -> EngineFactory {
    FakeEngine::factory(|_, _| {
        let mut generation = text_generation(" Thank you.");
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
    let app = app_with_two_segments().await;

    let query = [("model", MODEL), ("response_format", "verbose_json")];
    let answer = app.raw(two_seconds(), &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    let mut body: Value = answer.json().await.unwrap();
    let segments = body["segments"].take();
    assert_eq!(body["text"], "Good morning. Hello.");
    assert_eq!(body["task"], "transcribe");
    // The model supports no other language.
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
async fn subtitles_have_one_cue_per_segment() {
    let app = app_with_two_segments().await;
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
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&recorded);
    let engine = FakeEngine::factory(move |_, inputs| {
        recorder.lock().unwrap().push(inputs[0].prompt.task);
        Ok(loudest_bands(inputs))
    });
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
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
    assert_eq!(*recorded.lock().unwrap(), [Task::Translate]);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["task"], "translate");
    assert_eq!(body["language"], "english");
}

#[tokio::test]
async fn windows_that_the_model_takes_for_silence_have_no_text() {
    let app = TestApp::start_with(TestSetup {
        engine: silence_engine(),
        ..TestSetup::default()
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
async fn damaged_audio_is_listed_and_counted() {
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
    let damaged = json!({ "start": 6.4, "end": 6.464, "reason": "damaged", "text": "" });
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
    let app = TestApp::start_with(TestSetup {
        engine: silence_engine(),
        ..TestSetup::default()
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
    let texts = [
        app.text_of(tone(left)).await,
        app.text_of(tone(right)).await,
    ];
    assert_ne!(texts[0], texts[1]);

    for format in ["diarized_json", "verbose_json"] {
        let query = [
            ("model", MODEL),
            ("channels", "split"),
            ("response_format", format),
        ];
        let answer = app.raw(stereo(left, right), &query).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{format}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["text"], texts.join(" "), "{format}");
        assert_eq!(body["duration"], 0.5, "{format}");
        let segments = body["segments"].as_array().unwrap();
        let speakers = segments.iter().map(|segment| {
            let text = segment["text"].as_str().unwrap();
            (segment["speaker"].as_str().unwrap(), text.trim())
        });
        let expected = [("A", texts[0].as_str()), ("B", texts[1].as_str())];
        assert_eq!(speakers.collect::<Vec<_>>(), expected, "{format}");
    }
}

#[tokio::test]
async fn only_the_requested_part_is_transcribed_at_its_own_time() {
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
async fn skipped_audio_at_the_end_of_a_window_is_transcribed_again() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&recorded);
    let engine = FakeEngine::factory(move |key, inputs| {
        let previous = inputs[0].prompt.previous.clone();
        let (timestamps, frames) = (key.options.timestamps, inputs[0].features.frames);
        recorder
            .lock()
            .unwrap()
            .push((timestamps, previous.len(), frames));
        if !timestamps {
            return Ok(vec![text_generation(" Hello.")]);
        }
        // A second timestamp without text after it: the model stops there and would continue from there.
        let mut generation = timed_generation(&[(0.0, " Good morning.", 1.0)]);
        generation.tokens.extend(generation.tokens.last().copied());
        Ok(vec![generation])
    });
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
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
    let recorded = recorded.lock().unwrap();
    let [(true, 0, _), (false, previous, frames)] = recorded[..] else {
        panic!("{recorded:?}")
    };
    assert!(previous > 0, "the prompt is the text so far");
    assert!((400..410).contains(&frames), "four of five seconds remain");
}
