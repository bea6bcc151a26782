//! Speakers told apart by their voices, and the routes that need no text.

mod needs_speakers;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::helpers::audio::{tone, tones};
use crate::helpers::{MODEL, TestApp, TestSetup, check_error, error, form, header, models_dir};

const INVALID: &str = "invalid_request_error";
const NAME: &str = "speaker-diarization";
const COMMAND: &str = "scripts/fetch_models.sh speaker-diarization";
const DIARIZATION: &str = "/v1/audio/diarization";
const TIMESTAMPS: &str = "/v1/audio/speech/timestamps";

/// A server whose folder of models has the fake engine's model and these files as networks.
async fn start(root: &Path, networks: &[&str]) -> TestApp {
    symlink(models_dir().join(MODEL), root.join(MODEL)).unwrap();
    for name in networks {
        fs::create_dir_all(root.join(NAME)).unwrap();
        fs::write(root.join(NAME).join(name), "four").unwrap();
    }
    TestApp::start_with(TestSetup {
        models_dir: root.to_owned(),
        ..TestSetup::default()
    })
    .await
}

const NETWORKS: [&str; 2] = ["segmentation.safetensors", "embedding.safetensors"];

#[tokio::test]
async fn without_the_networks_the_error_has_the_command() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path(), &NETWORKS[..1]).await;
    let diarized = [("response_format", "diarized_json")];

    let transcription = app.form(tone(500.0), &diarized);
    let diarization = app.post(DIARIZATION).multipart(form(tone(500.0), &[]));
    for request in [transcription, diarization] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 404);
        check_error(
            &error(answer).await,
            INVALID,
            None,
            Some("model_not_found"),
            COMMAND,
        );
    }
    let path = format!("/v1/models/{NAME}");
    for request in [
        app.get(&path),
        app.post(&path),
        app.client.delete(app.url(&path)),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 404);
        let param = Some("model");
        check_error(
            &error(answer).await,
            INVALID,
            param,
            Some("model_not_found"),
            COMMAND,
        );
    }
}

#[tokio::test]
async fn the_networks_are_a_model_that_does_not_transcribe() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path(), &NETWORKS).await;

    let list: Value = app
        .get("/v1/models")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let listed = list["data"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.filter(|model| model["id"] == NAME).collect();
    let answer = app.get(&format!("/v1/models/{NAME}")).send().await.unwrap();
    let shown: Value = answer.json().await.unwrap();
    assert_eq!(listed, [&shown]);
    assert_eq!(shown["task"], NAME);
    assert_eq!(shown["size_bytes"], 8);
    assert_eq!(shown["loaded"], false);
    assert_eq!(shown.get("family"), None);
    // It is never the default model.
    assert_eq!(app.text_of(tone(500.0)).await, "band 13");

    for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        let form = form(tone(500.0), &[("model", NAME)]);
        let answer = app.post(path).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{path}");
        let message = "cannot transcribe";
        check_error(
            &error(answer).await,
            INVALID,
            Some("model"),
            Some("invalid_value"),
            message,
        );
    }
    let load = app.post(&format!("/api/ps/{NAME}")).send().await.unwrap();
    assert_eq!(load.status(), 400);

    // Its files are not networks.
    let form = form(tone(500.0), &[("response_format", "diarized_json")]);
    let request = app.post("/v1/audio/transcriptions").multipart(form);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let message = error(answer).await["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("segmentation.safetensors cannot be used"),
        "{message}"
    );
    assert!(
        !message.contains(root.path().to_str().unwrap()),
        "{message}"
    );

    let path = format!("/v1/models/{NAME}");
    let deleted = app.client.delete(app.url(&path)).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    assert!(!root.path().join(NAME).exists());
}

#[tokio::test]
async fn fields_that_contradict_each_other_are_refused() {
    let app = TestApp::start().await;
    let diarized = ("response_format", "diarized_json");
    let name = |name| ("known_speaker_names[]", name);
    let reference = (
        "known_speaker_references[]",
        "data:audio/wav;base64,UklGRg==",
    );
    for (fields, param, message) in [
        (
            &[diarized, ("num_speakers", "2"), ("min_speakers", "1")][..],
            "num_speakers",
            "'num_speakers' is not supported with min_speakers.",
        ),
        (
            &[diarized, ("num_speakers", "2"), ("max_speakers", "2")],
            "num_speakers",
            "'num_speakers' is not supported with max_speakers.",
        ),
        (
            &[diarized, ("min_speakers", "3"), ("max_speakers", "2")],
            "min_speakers",
            "'min_speakers' must be at most max_speakers (got 3 and 2).",
        ),
        (
            &[
                diarized,
                ("max_speakers", "1"),
                name("Ann"),
                name("Bob"),
                reference,
                reference,
            ],
            "known_speaker_names",
            "'known_speaker_names' has more items than max_speakers allows (2 and 1).",
        ),
        (
            &[
                diarized,
                ("num_speakers", "1"),
                name("Ann,Bob"),
                reference,
                reference,
            ],
            "known_speaker_names",
            "'known_speaker_names' has more items than num_speakers allows (2 and 1).",
        ),
        (
            &[diarized, name("Ann"), name("Ann"), reference, reference],
            "known_speaker_names",
            "'known_speaker_names' has a name twice.",
        ),
        (
            &[diarized, name("Ann"), name("Bob"), reference],
            "known_speaker_references",
            "'known_speaker_references' needs one item for each of known_speaker_names (got 1 and 2).",
        ),
        (
            &[diarized, reference],
            "known_speaker_references",
            "(got 1 and 0).",
        ),
        (
            &[("num_speakers", "2")],
            "num_speakers",
            "'num_speakers' requires response_format=diarized_json, diarize=true or \
             speaker_labels=true.",
        ),
        (
            &[name("Ann"), reference],
            "known_speaker_names",
            "'known_speaker_names' requires response_format=diarized_json",
        ),
        (
            &[diarized, ("channels", "split"), ("max_speakers", "2")],
            "max_speakers",
            "'max_speakers' is not supported with channels=split, where a channel is a speaker.",
        ),
        (
            &[
                ("response_format", "verbose_json"),
                ("channels", "split"),
                ("diarize", "true"),
            ],
            "diarize",
            "'diarize' is not supported with channels=split",
        ),
        (
            &[("diarize", "true")],
            "diarize",
            "'diarize' requires response_format=verbose_json or diarized_json (got json).",
        ),
        (
            &[("speaker_labels", "true"), ("response_format", "text")],
            "speaker_labels",
            "'speaker_labels' requires response_format=srt or vtt (got text).",
        ),
        (
            &[
                ("diarize", "true"),
                ("response_format", "verbose_json"),
                ("stream", "true"),
            ],
            "diarize",
            "'diarize' is not supported with stream=true; diarized_json can be streamed.",
        ),
    ] {
        let answer = app.form(tone(500.0), fields).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{fields:?}");
        let error = error(answer).await;
        check_error(&error, INVALID, Some(param), Some("invalid_value"), message);
    }
}

#[tokio::test]
async fn a_wrong_name_or_reference_is_refused_without_sending_it_back() {
    let app = TestApp::start().await;
    let long = "x".repeat(65);
    let large = format!(
        "data:audio/wav;base64,{}",
        "A".repeat((1 << 20) / 3 * 4 + 8)
    );
    let huge = format!("data:audio/wav;base64,{}", "A".repeat(1 << 21));
    for (field, value, message) in [
        (
            "known_speaker_names[]",
            long.as_str(),
            "at most 64 characters",
        ),
        (
            "known_speaker_names[]",
            "a\u{7}b",
            "without control characters",
        ),
        (
            "known_speaker_references[]",
            "https://example.org/a.wav",
            "Expected a data URL",
        ),
        (
            "known_speaker_references[]",
            "data:audio/wav;base64,AA?A",
            "Expected a data URL",
        ),
        ("known_speaker_references[]", &large, "at most 1 MiB"),
        (
            "known_speaker_references[]",
            &huge,
            "is longer than the limit of",
        ),
    ] {
        let file = Part::bytes(tone(500.0)).file_name("a.wav");
        let form = Form::new()
            .text("response_format", "diarized_json")
            .text(field, value.to_owned())
            .part("file", file);
        let answer = app.post("/v1/audio/transcriptions").multipart(form);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{field}");
        let error = error(answer).await;
        let param = error["param"].as_str().unwrap().trim_end_matches("[]");
        assert_eq!(param, field.trim_end_matches("[]"));
        let text = error["message"].as_str().unwrap();
        assert!(text.contains(message), "{text}");
        assert!(!text.contains("AA"), "{text}");
    }
}

#[tokio::test]
async fn a_diarization_has_its_own_models() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path(), &NETWORKS).await;
    for (model, status, message) in [
        (MODEL, 400, "transcribes and cannot find speakers"),
        ("owner/none", 404, "is not on this server"),
        // Their files are not networks.
        (NAME, 503, "could not be loaded"),
        (
            "pyannote/speaker-diarization-3.1",
            503,
            "could not be loaded",
        ),
        ("gpt-4o-transcribe-diarize", 503, "could not be loaded"),
    ] {
        let form = form(tone(500.0), &[]).text("model", model);
        let answer = app.post(DIARIZATION).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), status, "{model}");
        let text = error(answer).await["message"].as_str().unwrap().to_owned();
        assert!(text.contains(message), "{text}");
    }
}

#[tokio::test]
async fn a_tone_is_no_speech() {
    let app = TestApp::start().await;

    let form = form(
        tones(&[(500.0, Duration::from_secs(2))]),
        &[("speech_pad_ms", "30")],
    );
    let answer = app.post(TIMESTAMPS).multipart(form).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert!(!header(&answer, "x-ratelimit-limit-requests").is_empty());
    assert_eq!(answer.json::<Value>().await.unwrap(), json!([]));

    for (name, value) in [
        ("threshold", "1.5"),
        ("neg_threshold", "-1"),
        ("speech_pad_ms", "x"),
    ] {
        let query = [(name, value)];
        let request = app.post(TIMESTAMPS).query(&query).body(tone(500.0));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
        assert_eq!(error(answer).await["param"], name);
    }
}

#[tokio::test]
async fn the_limits_of_uploads_apply() {
    let app = TestApp::start_with(TestSetup {
        max_duration: Duration::from_secs(1),
        audio_limit_per_minute_s: std::num::NonZeroU32::new(1),
        ..TestSetup::default()
    })
    .await;
    let long = tones(&[(500.0, Duration::from_secs(2))]);
    let answer = app.post(TIMESTAMPS).body(long).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    check_error(
        &error(answer).await,
        INVALID,
        Some("file"),
        Some("invalid_value"),
        "too long",
    );

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = app.post(TIMESTAMPS).body(tone(500.0)).send().await;
        statuses.push(answer.unwrap().status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn the_language_has_a_probability() {
    let app = TestApp::start().await;
    let form = form(tone(500.0), &[("model", MODEL)]);
    let answer = app
        .post("/v1/audio/language")
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let expected = json!({ "duration": 0.5, "languages": [{ "code": "en", "probability": 1.0 }] });
    assert_eq!(answer.json::<Value>().await.unwrap(), expected);
}
