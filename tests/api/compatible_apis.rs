//! The APIs of whisper-asr-webservice and of whisper.cpp's server.

use halkspeech_whisper::engine::LanguageDetection;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::{Language, Task};
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

use crate::helpers::audio::{stereo, tone};
use crate::helpers::engine::{loudest_bands, text_generation};
use crate::helpers::{MULTILINGUAL, TestApp, TestSetup, check_error, error, header, text};

const INVALID: &str = "invalid_request_error";
/// The text of [`tone`] at 500 Hz.
const TEXT: &str = "band 13";
/// Bytes before the samples of a WAV file.
const HEAD_BYTES: usize = 44;

/// A form as Bazarr sends it: the file alone, without a type.
fn asr(app: &TestApp, query: &[(&str, &str)], file: Vec<u8>) -> RequestBuilder {
    let form = Form::new().part("audio_file", Part::bytes(file).file_name("audio_file"));
    app.post("/asr").query(query).multipart(form)
}

async fn body(request: RequestBuilder) -> (String, String) {
    let answer: Response = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = header(&answer, "content-type").to_owned();
    (kind, answer.text().await.unwrap())
}

#[tokio::test]
async fn asr_supports_each_output_format() {
    let app = TestApp::start().await;
    let plain = "text/plain; charset=utf-8";

    for (output, kind, expected) in [
        (None, plain, "band 13\n"),
        (Some("txt"), plain, "band 13\n"),
        (
            Some("srt"),
            plain,
            "1\n00:00:00,000 --> 00:00:00,500\nband 13\n\n",
        ),
        (
            Some("vtt"),
            plain,
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nband 13\n\n",
        ),
        (Some("tsv"), plain, "start\tend\ttext\n0\t500\tband 13\n"),
    ] {
        let query: Vec<_> = output.iter().map(|output| ("output", *output)).collect();
        let answer = body(asr(&app, &query, tone(500.0))).await;
        assert_eq!(answer, (kind.to_owned(), expected.to_owned()), "{output:?}");
    }

    let query = [
        ("output", "json"),
        ("encode", "true"),
        ("task", "transcribe"),
    ];
    let (kind, answer) = body(asr(&app, &query, tone(500.0))).await;
    assert_eq!(kind, "application/json");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["text"], &answer["language"]),
        (&json!(TEXT), &json!("en"))
    );
    let segment = &answer["segments"][0];
    assert_eq!(
        (&segment["start"], &segment["end"]),
        (&json!(0.0), &json!(0.5))
    );
    assert!(segment["text"].as_str().unwrap().contains(TEXT));
    assert!(segment.get("words").is_none());
    assert_eq!(answer.get("usage"), None, "the original API has none");
}

#[tokio::test]
async fn asr_accepts_raw_samples() {
    let app = TestApp::start().await;
    let samples = tone(500.0)[HEAD_BYTES..].to_vec();
    let query = [
        ("output", "srt"),
        ("encode", "false"),
        ("language", "en"),
        ("task", "transcribe"),
    ];

    let (_, of_samples) = body(asr(&app, &query, samples.clone())).await;
    // Some clients send `encode=false` with a WAV file.
    let (_, of_file) = body(asr(&app, &query, tone(500.0))).await;
    let (_, of_body) = body(app.post("/asr").query(&query).body(samples.clone())).await;

    assert_eq!(of_samples, "1\n00:00:00,000 --> 00:00:00,500\nband 13\n\n");
    assert_eq!(of_file, of_samples);
    assert_eq!(of_body, of_samples);
    // Without `encode=false` the samples are not a valid file.
    let answer = asr(&app, &[], samples).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let nothing = asr(&app, &query, Vec::new()).send().await.unwrap();
    assert_eq!(nothing.status(), 400);
    check_error(
        &error(nothing).await,
        INVALID,
        Some("file"),
        Some("invalid_value"),
        "empty",
    );
}

#[tokio::test]
async fn asr_parameters_reach_the_engine() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&recorded);
    let engine = FakeEngine::factory(move |_, inputs| {
        recorder.lock().unwrap().push(inputs[0].prompt.clone());
        Ok(loudest_bands(inputs))
    });
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await;

    let query = [
        ("model", MULTILINGUAL),
        ("task", "translate"),
        ("language", "tr"),
        ("initial_prompt", "merhaba"),
        ("video_name", "film.mkv"),
        ("diarize", ""),
    ];
    body(asr(&app, &query, tone(500.0))).await;
    let form = Form::new().part("file", Part::bytes(tone(500.0)));
    let form = form.text("model", MULTILINGUAL).text("translate", "true");
    body(
        app.post("/inference")
            .multipart(form.text("language", "tr")),
    )
    .await;

    let recorded = recorded.lock().unwrap();
    let [asr, inference] = &recorded[..] else {
        panic!("{} batches", recorded.len())
    };
    for prompt in [asr, inference] {
        assert_eq!(prompt.task, Task::Translate);
        assert_eq!(prompt.language, Language::parse("tr"));
    }
    assert!(!asr.previous.is_empty() && inference.previous.is_empty());
}

#[tokio::test]
async fn detect_language_returns_the_language_and_its_confidence() {
    let engine = FakeEngine::factory(|_, inputs| {
        let language = Language::parse("tr").unwrap();
        let generations = inputs.iter().map(|_| {
            let mut generation = text_generation(" merhaba");
            generation.language = Some(LanguageDetection {
                language,
                probability: 0.75,
            });
            generation
        });
        Ok(generations.collect())
    });
    let app = TestApp::start_with(TestSetup {
        engine,
        ..TestSetup::default()
    })
    .await;
    let samples = tone(500.0)[HEAD_BYTES..].to_vec();
    let form = Form::new().part("audio_file", Part::bytes(samples));
    let query = [("encode", "false"), ("model", MULTILINGUAL)];

    let request = app.post("/detect-language").query(&query).multipart(form);
    let (kind, answer) = body(request).await;

    assert_eq!(kind, "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({ "detected_language": "turkish", "language_code": "tr", "confidence": 0.75 })
    );
}

#[tokio::test]
async fn inference_answers_as_whisper_cpp_does() {
    let app = TestApp::start().await;
    let send = |fields: &[(&'static str, &'static str)]| {
        let form = Form::new().part("file", Part::bytes(tone(500.0)).file_name("a.wav"));
        let add =
            |form: Form, (name, value): &(&'static str, &'static str)| form.text(*name, *value);
        app.post("/inference")
            .multipart(fields.iter().fold(form, add))
    };
    let whisper_cpp_defaults = [
        ("temperature", "0.0"),
        ("temperature_inc", "0.2"),
        ("no_timestamps", "false"),
        ("max_len", "0"),
    ];

    let (kind, answer) = body(send(&whisper_cpp_defaults)).await;
    assert_eq!(kind, "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({ "text": TEXT })
    );
    let (_, same) = body(send(&[("response_format", "json")])).await;
    assert_eq!(same, answer);
    let (_, text) = body(send(&[("response_format", "text")])).await;
    assert_eq!(text, "band 13\n");
    let (_, srt) = body(send(&[("response_format", "srt")])).await;
    assert!(srt.starts_with("1\n00:00:00,000 --> "), "{srt}");
    let (_, verbose) = body(send(&[("response_format", "verbose_json")])).await;
    let verbose: Value = serde_json::from_str(&verbose).unwrap();
    assert_eq!(
        (&verbose["text"], &verbose["task"]),
        (&json!(TEXT), &json!("transcribe"))
    );
}

#[tokio::test]
async fn errors_name_the_field_of_the_api() {
    let app = TestApp::start().await;
    let file = |name: &'static str| Form::new().part(name, Part::bytes(tone(500.0)));
    let invalid = Some("invalid_value");
    let missing = Some("missing_required_parameter");
    for (path, query, form, param, code) in [
        (
            "/asr",
            ("output", "docx"),
            file("audio_file"),
            "output",
            invalid,
        ),
        (
            "/asr",
            ("task", "sing"),
            file("audio_file"),
            "task",
            invalid,
        ),
        (
            "/asr",
            ("encode", "maybe"),
            file("audio_file"),
            "encode",
            invalid,
        ),
        (
            "/asr",
            ("language", "klingon"),
            file("audio_file"),
            "language",
            invalid,
        ),
        (
            "/asr",
            ("output", "txt"),
            file("file"),
            "audio_file",
            missing,
        ),
        (
            "/detect-language",
            ("encode", "true"),
            file("file"),
            "audio_file",
            missing,
        ),
        (
            "/inference",
            ("offset_t", "-1"),
            file("file"),
            "offset_t",
            invalid,
        ),
        (
            "/inference",
            ("temperature_inc", "2"),
            file("file"),
            "temperature_inc",
            invalid,
        ),
        (
            "/inference",
            ("language", "en"),
            file("audio_file"),
            "file",
            missing,
        ),
    ] {
        let request = app.post(path).query(&[query]).multipart(form);
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 400, "{path} {query:?}");
        check_error(&error(answer).await, INVALID, Some(param), code, param);
    }
}

#[tokio::test]
async fn the_same_limits_apply() {
    let mut setup = TestSetup {
        max_concurrent_requests: 3,
        ..TestSetup::default()
    };
    setup.settings.max_upload_bytes = 1_000;
    let app = TestApp::start_with(setup).await;
    for path in ["/asr", "/detect-language", "/inference"] {
        let answer = app
            .post(path)
            .body(stereo(500.0, 600.0))
            .send()
            .await
            .unwrap();

        assert_eq!(answer.status(), 413, "{path}");
        assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "3");
    }
    let answer = app.post("/asr").query(&[("model", "no/such")]).body("x");
    assert_eq!(answer.send().await.unwrap().status(), 404);
    let app = TestApp::start().await;
    let bare = app
        .post("/inference")
        .body(tone(500.0))
        .send()
        .await
        .unwrap();
    assert_eq!(text(bare).await, TEXT);
}
