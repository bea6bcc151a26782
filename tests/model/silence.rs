//! Audio without speech has an empty text, and speech next to silence keeps its words.

use serde_json::{Value, json};

use super::server::Server;
use super::speech::wav;

const MODELS: [&str; 2] = ["base", "tiny.en"];

/// White noise of a tenth of full scale, always the same.
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

async fn check_text_is_empty(server: &Server, model: &str, name: &str, audio: Vec<u8>) {
    let query = [("model", model), ("response_format", "verbose_json")];
    let answer = server.transcription(&query, audio).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{name}");
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["text"], "", "{name}, {model}");
    assert_eq!(body["segments"], json!([]), "{name}, {model}");
}

#[tokio::test]
async fn the_text_of_silence_and_noise_is_empty() {
    let server = Server::with_model("base");

    for model in MODELS {
        for (name, pcm) in [
            ("half a second of silence", vec![0; 16_000]),
            ("silence longer than a window", vec![0; 32_000 * 40]),
            ("white noise", noise(10)),
        ] {
            check_text_is_empty(&server, model, name, wav(&pcm)).await;
        }
    }
}

mod needs_recordings {
    use std::fs;

    use super::super::server::Server;
    use super::super::speech::{clips, recordings, words};
    use super::{MODELS, check_text_is_empty};

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn the_text_of_recordings_without_speech_is_empty() {
        let folder = recordings();
        let server = Server::with_model("base");

        let mut checked = 0;
        for kind in ["edge-silence", "edge-noise", "edge-music"] {
            for (file, _) in clips(&folder, "", kind) {
                let name = file.display().to_string();
                for model in MODELS {
                    let audio = fs::read(&file).unwrap();
                    check_text_is_empty(&server, model, &name, audio).await;
                }
                checked += 1;
            }
        }
        assert!(checked >= 13, "only {checked} files");
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn speech_around_silence_keeps_its_words() {
        let folder = recordings();
        let server = Server::with_model("base");

        let clips = clips(&folder, "en", "edge-speech-silence");
        assert!(clips.len() >= 3, "only {} files", clips.len());
        for (file, reference) in clips {
            let audio = fs::read(&file).unwrap();
            for model in MODELS {
                // A repeated sentence looks like a repetition loop, which would be sampled again.
                let query = [("model", model), ("compression_ratio_threshold", "10")];
                let text = server.text(&query, audio.clone()).await;
                assert_eq!(
                    words(&text),
                    words(&reference),
                    "{}, {model}",
                    file.display()
                );
            }
        }
    }
}
