//! Several loaded models, and memory released by unloading.

use std::fs;
use std::os::unix::fs::symlink;

use futures_util::future::join_all;
use serde_json::Value;

use super::server::Server;
use super::speech::{SENTENCE, models_dir, sample, words};

#[tokio::test]
async fn two_models_run_concurrently() {
    let settings = [("WHISPER__MODEL", "tiny.en"), ("PRELOAD_MODELS", "base")];
    let server = Server::start(&settings);

    let models = ["tiny.en", "base"].repeat(3);
    let transcribe = async |model| server.text(&[("model", model)], sample()).await;
    let texts = models.iter().map(|&model| transcribe(model));

    for text in join_all(texts).await {
        assert_eq!(words(&text), words(SENTENCE));
    }
    let loaded: Value = server.get("/api/ps").await.json().await.unwrap();
    assert_eq!(loaded["models"], serde_json::json!(["base", "tiny.en"]));
}

#[tokio::test]
async fn unloading_releases_the_memory_of_the_weights() {
    let settings = [("WHISPER__MODEL", "base"), ("WHISPER__NUM_WORKERS", "1")];
    let server = Server::start(&settings);
    let text = server.text(&[("model", "base")], sample()).await;
    assert_eq!(words(&text), words(SENTENCE));
    let loaded: Value = server.get("/api/ps").await.json().await.unwrap();
    let weights = loaded["details"][0]["memory_bytes"].as_u64().unwrap();
    let before = server.resident_bytes();

    let unload = server.client.delete(server.url("/api/ps/base"));
    assert_eq!(unload.send().await.unwrap().status(), 204);

    let after = server.resident_bytes();
    assert!(
        before - after >= weights * 8 / 10,
        "{before} bytes before, {after} after; the weights are {weights}"
    );
    let text = server.text(&[("model", "base")], sample()).await;
    assert_eq!(words(&text), words(SENTENCE), "it is loaded again");
}

#[tokio::test]
async fn a_long_recording_releases_its_memory() {
    // 40 minutes: 154 MB of PCM.
    const SAMPLES: usize = 40 * 60 * 8_000;
    let server = Server::start(&[("WHISPER__MODEL", "tiny.en")]);
    server.text(&[("model", "tiny.en")], sample()).await;
    let before = server.resident_bytes();

    let silence = pcm_u8_wav(8_000, &vec![0x80; SAMPLES]);
    let text = server.text(&[("model", "tiny.en")], silence).await;

    assert_eq!(text.trim(), "");
    let after = server.resident_bytes();
    assert!(
        after < before + (80 << 20),
        "{before} bytes before, {after} after"
    );
}

/// A mono WAV file of 8-bit samples.
fn pcm_u8_wav(rate_hz: u32, samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(rate_hz.to_le_bytes());
    wav.extend(rate_hz.to_le_bytes());
    wav.extend(b"\x01\0\x08\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples);
    wav
}

#[tokio::test]
async fn loading_fails_if_the_vocabulary_does_not_match_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.en");
    fs::create_dir(&model).unwrap();
    for file in fs::read_dir(models_dir().join("tiny.en")).unwrap() {
        let file = file.unwrap();
        symlink(file.path(), model.join(file.file_name())).unwrap();
    }
    fs::remove_file(model.join("vocabulary.txt")).unwrap();
    fs::write(model.join("vocabulary.txt"), "").unwrap();
    let server = Server::start(&[
        ("MODELS_DIR", folder.path().to_str().unwrap()),
        ("WHISPER__MODEL", "tiny.en"),
        ("WHISPER__PRELOAD_MODEL", "false"),
    ]);

    let query = [("model", "tiny.en")];
    let answer = server.transcription(&query, sample()).send().await.unwrap();

    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("could not be loaded"), "{message}");
}

#[tokio::test]
async fn a_server_without_its_default_model_starts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let server = Server::start(&[("MODELS_DIR", folder), ("HF_HUB_CACHE", folder)]);

    let ready: Value = server.get("/ready").await.json().await.unwrap();
    assert_eq!(ready["default_model"], "missing");
    let answer = server
        .transcription(&[("model", "whisper-1")], sample())
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 404);
    let body: Value = answer.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("POST /v1/models/"), "{message}");
}

#[tokio::test]
async fn settings_of_one_model_apply() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    std::fs::write(
        &file,
        "[models.\"tiny.en\"]\nmodel_ttl = 0\nnum_workers = 3\n",
    )
    .unwrap();
    let settings = [("WHISPER__MODEL", "base"), ("WHISPER__NUM_WORKERS", "1")];
    let arguments = ["serve", "--config", file.to_str().unwrap()];
    let mut server = Server::start_with(&arguments, &settings);

    let text = server.text(&[("model", "tiny.en")], sample()).await;

    assert_eq!(words(&text), words(SENTENCE));
    server.until_logged("model.id=tiny.en engines=3");
    server.until_logged("model unloaded model.id=tiny.en");
    let loaded: Value = server.get("/api/ps").await.json().await.unwrap();
    assert_eq!(loaded["models"], serde_json::json!(["base"]));
    assert_eq!(loaded["details"][0]["engines"], 1);
}
