//! Where nobody speaks nothing is written, and speech beside silence keeps its words.

use std::fs;

use serde_json::{Value, json};

use super::server::Server;
use super::speech::{clips, recordings, wav, words};

const MODELS: [&str; 2] = ["base", "tiny.en"];

/// So many seconds of white noise, a tenth of full scale; always the same.
fn noise(seconds: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let sample = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((state >> 48) as u16).cast_signed() / 10).to_le_bytes()
    };
    (0..16_000 * seconds).flat_map(sample).collect()
}

async fn check_nothing_is_written(server: &Server, model: &str, name: &str, audio: Vec<u8>) {
    let query = [("model", model), ("response_format", "verbose_json")];
    let answer = server.transcription(&query, audio).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["text"], "", "{name}, {model}");
    assert_eq!(body["segments"], json!([]), "{name}, {model}");
}

#[tokio::test]
async fn nothing_is_written_for_silence_and_noise() {
    let server = Server::with_model("base");

    for model in MODELS {
        for (name, pcm) in [
            ("a moment of silence", vec![0; 16_000]),
            ("silence over a window", vec![0; 32_000 * 40]),
            ("white noise", noise(10)),
        ] {
            check_nothing_is_written(&server, model, name, wav(&pcm)).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_written_for_recordings_without_speech() {
    let Some(folder) = recordings() else { return };
    let server = Server::with_model("base");

    let mut heard = 0;
    for kind in ["edge-silence", "edge-noise", "edge-music"] {
        for (file, _) in clips(&folder, "", kind) {
            let name = file.display().to_string();
            for model in MODELS {
                let audio = fs::read(&file).unwrap();
                check_nothing_is_written(&server, model, &name, audio).await;
            }
            heard += 1;
        }
    }
    assert!(heard >= 13, "only {heard} files");
}

#[tokio::test]
async fn speech_around_silence_keeps_its_words() {
    let Some(folder) = recordings() else { return };
    let server = Server::with_model("base");

    let clips = clips(&folder, "en", "edge-speech-silence");
    assert!(clips.len() >= 3, "only {} files", clips.len());
    for (file, said) in clips {
        let audio = fs::read(&file).unwrap();
        for model in MODELS {
            // A sentence said twice looks like repetition, which would be sampled anew.
            let query = [("model", model), ("compression_ratio_threshold", "10")];
            let text = server.text(&query, audio.clone()).await;
            assert_eq!(words(&text), words(&said), "{}, {model}", file.display());
        }
    }
}
