//! Speakers told apart by their voices, and the routes that need no text.

mod fields;
mod timestamps;
mod needs_speakers;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::helpers::audio::tone;
use crate::helpers::{
    MODEL, TestApp, TestSetup, check_error, error, form, json_of, models_dir, raw,
};

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
async fn without_the_networks_the_request_is_refused_before_the_upload() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path(), &[]).await;
    for path in [
        DIARIZATION,
        "/v1/audio/transcriptions?response_format=diarized_json",
        "/v1/audio/transcriptions?response_format=srt&speaker_labels=true",
    ] {
        let headers = ["Content-Length: 1000000", "Expect: 100-continue"];
        let mut connection = raw::begin_at(&app, path, &headers).await;
        let answer = raw::read_until(&mut connection, "}}").await;

        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains(COMMAND), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_networks_are_a_model_that_does_not_transcribe() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path(), &NETWORKS).await;

    let list = json_of(app.get("/v1/models")).await;
    let listed = list["data"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.filter(|model| model["id"] == NAME).collect();
    let shown = json_of(app.get(&format!("/v1/models/{NAME}"))).await;
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
async fn the_language_has_a_probability() {
    let app = TestApp::start().await;
    let form = form(tone(500.0), &[("model", MODEL)]);
    let found = json_of(app.post("/v1/audio/language").multipart(form)).await;
    let expected = json!({ "duration": 0.5, "languages": [{ "code": "en", "probability": 1.0 }] });
    assert_eq!(found, expected);
}
