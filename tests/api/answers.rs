//! Responses to valid requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech::models::ModelId;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::{Language, Task};
use serde_json::{Value, json};

use crate::helpers::audio::{tone, tones};
use crate::helpers::engine::{loudest_bands, text_generation, tokens};
use crate::helpers::{MODEL, MULTILINGUAL, TRANSCRIPTIONS, TestApp, TestSetup, header, text};

/// The text of [`tone`] at 500 Hz.
const TEXT: &str = "band 13";

#[tokio::test]
async fn a_form_gets_json() {
    let app = TestApp::start().await;

    let answer = app
        .form(tone(500.0), &[("model", MODEL)])
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    let body: Value = answer.json().await.unwrap();
    let usage = json!({ "type": "duration", "seconds": 1 });
    let languages = json!([{ "code": "en" }]);
    assert_eq!(
        body,
        json!({ "text": TEXT, "languages": languages, "usage": usage })
    );
}

#[tokio::test]
async fn a_form_gets_plain_text() {
    let app = TestApp::start().await;

    let fields = [("model", MODEL), ("response_format", "text")];
    let answer = app.form(tone(500.0), &fields).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), format!("{TEXT}\n"));
}

#[tokio::test]
async fn a_bare_body_is_transcribed_whatever_its_content_type() {
    let app = TestApp::start().await;
    // The fourth is the default of `curl --data-binary`.
    let types = [
        "audio/mpeg",
        "video/mp4",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ];

    for content_type in types.map(Some).into_iter().chain([None]) {
        let request = app
            .post(TRANSCRIPTIONS)
            .query(&[("model", MODEL)])
            .body(tone(500.0));
        let request = match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        };
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 200, "{content_type:?}");
        assert_eq!(text(answer).await, TEXT);
    }
}

#[tokio::test]
async fn parameters_of_a_bare_body_are_in_the_query() {
    let app = TestApp::start().await;

    let query = [
        ("model", MODEL),
        ("response_format", "text"),
        ("language", "en-US"),
    ];
    let answer = app.raw(tone(500.0), &query).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), format!("{TEXT}\n"));
}

#[tokio::test]
async fn a_form_field_takes_precedence_over_the_query() {
    let app = TestApp::start().await;

    let query = [("model", MODEL), ("response_format", "json")];
    let request = app
        .form(tone(500.0), &[("response_format", "text")])
        .query(&query);
    let answer = request.send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), format!("{TEXT}\n"));
}

#[tokio::test]
async fn openai_names_are_aliases_of_the_default_model() {
    let app = TestApp::start().await;

    for name in [
        "whisper-1",
        "Whisper-1",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "gpt-4o-mini-transcribe-2025-12-15",
    ] {
        let answer = app.form(tone(500.0), &[("model", name)]).send();
        let answer = answer.await.unwrap();

        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(text(answer).await, TEXT);
    }
    assert_eq!(app.responses(200), 6, "all use the default model");
}

#[tokio::test]
async fn a_request_without_a_model_uses_the_default_one() {
    let app = TestApp::start().await;

    for request in [
        app.form(tone(500.0), &[]),
        app.form(tone(500.0), &[("model", "")]),
        app.raw(tone(500.0), &[]),
    ] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 200);
        assert_eq!(text(answer).await, TEXT);
    }
    assert_eq!(app.responses(200), 3, "all are the default model");
}

#[tokio::test]
async fn a_name_resolves_to_the_most_similar_model_on_disk() {
    let alias = |name: &str, id| (name.to_owned(), ModelId::parse(id).unwrap());
    let app = TestApp::start_with(TestSetup {
        aliases: vec![alias("Fast", "tiny.en"), alias("tiny.en", "base")],
        ..TestSetup::default()
    })
    .await;

    for (name, id) in [
        ("base", MULTILINGUAL),
        ("whisper-base", MULTILINGUAL),
        ("openai/whisper-base", MULTILINGUAL),
        ("BASE", MULTILINGUAL),
        ("fast", MODEL),
        // A model on disk takes precedence over an alias.
        (MODEL, MODEL),
    ] {
        let before = app.responses_for_model(200, id);
        let answer = app.raw(tone(500.0), &[("model", name)]).send();

        assert_eq!(answer.await.unwrap().status(), 200, "{name}");
        assert_eq!(app.responses_for_model(200, id), before + 1, "{name}");
    }
}

#[tokio::test]
async fn empty_and_unknown_fields_change_nothing() {
    let app = TestApp::start().await;

    let fields = [
        ("model", MODEL),
        ("model", ""),
        ("language", "None"),
        ("language", "und"),
        ("language", "auto"),
        ("language", ""),
        ("prompt", ""),
        ("response_format", ""),
        ("temperature", ""),
        ("stream", "False"),
        ("stream", "off"),
        ("timestamp_granularities[0]", "segment"),
        ("response_format", "JSON"),
        ("colour", "red"),
    ];
    let answer = app.form(tone(500.0), &fields).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(text(answer).await, TEXT);
}

#[tokio::test]
async fn parameters_reach_the_engine() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&recorded);
    let engine = FakeEngine::factory(move |key, inputs| {
        let prompt = inputs[0].prompt.clone();
        recorder.lock().unwrap().push((key.options.clone(), prompt));
        Ok(loudest_bands(inputs))
    });
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await;

    let fields = [
        ("model", MULTILINGUAL),
        ("language", "Turkish"),
        ("prompt", "merhaba"),
        ("temperature", "0.5"),
    ];
    let answer = app.form(tone(500.0), &fields).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let recorded = recorded.lock().unwrap();
    let [(options, prompt)] = &recorded[..] else {
        panic!("{} batches", recorded.len())
    };
    assert_eq!(options.beam_size.get(), 2);
    assert!((options.temperature - 0.5).abs() < f32::EPSILON);
    assert_eq!(prompt.language, Language::parse("tr"));
    assert_eq!(prompt.task, Task::Transcribe);
    assert!(!prompt.previous.is_empty());
}

#[tokio::test]
async fn windows_of_long_audio_are_in_order() {
    let app = TestApp::start().await;
    let pitches = [300.0, 600.0, 900.0, 1_200.0];
    let mut expected = Vec::new();
    for pitch in pitches {
        expected.push(app.text_of(tone(pitch)).await);
    }

    // A window is cut somewhere in its last 6 s, so each holds mostly its own pitch.
    let quarter = Duration::from_millis(22_500);
    let long = tones(&pitches.map(|pitch| (pitch, quarter)));
    let answer = app.raw(long, &[("model", MODEL)]).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["usage"]["seconds"], 90);
    let transcript = body["text"].as_str().unwrap();
    let bands: Vec<u32> = transcript
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(bands.len() >= 3, "{transcript}");
    assert!(bands.is_sorted(), "{transcript}");
    assert!(
        transcript.starts_with(&expected[0]) && transcript.ends_with(&expected[3]),
        "{transcript}"
    );
}

#[tokio::test]
async fn a_window_continues_the_previous_text_only_on_request() {
    let minute = tones(&[300.0, 600.0].map(|pitch| (pitch, Duration::from_secs(30))));
    for (value, continues) in [("true", true), ("false", false)] {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let recorder = Arc::clone(&recorded);
        let engine = FakeEngine::factory(move |_, inputs| {
            let previous = inputs.iter().map(|input| input.prompt.previous.clone());
            recorder.lock().unwrap().extend(previous);
            Ok(loudest_bands(inputs))
        });
        let app = TestApp::start_with(TestSetup {
            engine,
            ..TestSetup::default()
        })
        .await;

        let first = app.text_of(tone(300.0)).await;
        let query = [("model", MODEL), ("condition_on_previous_text", value)];
        let answer = app.raw(minute.clone(), &query).send().await.unwrap();

        assert_eq!(answer.status(), 200);
        let recorded = recorded.lock().unwrap();
        assert!(recorded.len() >= 3, "{} windows", recorded.len());
        assert_eq!(recorded[1], [0; 0], "the first window has no prompt");
        let expected = if continues {
            tokens(&format!(" {first}"))
        } else {
            Vec::new()
        };
        assert_eq!(recorded[2], expected, "{value}");
    }
}

#[tokio::test]
async fn headers_show_the_timings() {
    let app = TestApp::start_with(TestSetup {
        max_concurrent_requests: 7,
        ..TestSetup::default()
    })
    .await;

    let answer = app
        .form(tone(500.0), &[("model", MODEL)])
        .send()
        .await
        .unwrap();

    for name in ["openai-processing-ms", "x-queue-ms", "x-inference-ms"] {
        assert!(header(&answer, name).parse::<u64>().is_ok(), "{name}");
    }
    assert_eq!(header(&answer, "x-batch-size"), "1");
    assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "7");
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "7");
}

#[tokio::test]
async fn text_in_other_scripts_is_unchanged() {
    let engine = FakeEngine::factory(|_, _| Ok(vec![text_generation(" Şimdi \u{1F642} да")]));
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await;

    let answer = app
        .form(tone(500.0), &[("model", MODEL)])
        .send()
        .await
        .unwrap();

    assert_eq!(text(answer).await, "Şimdi \u{1F642} да");
}
