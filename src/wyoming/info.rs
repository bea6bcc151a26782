//! Describes the models to clients.

use serde_json::{Value, json};

use super::WyomingServer;
use crate::models::StoredModel;

const WHISPER_URL: &str = "https://github.com/openai/whisper";

/// The data of the event `info`; the default model comes first, because clients use the first.
pub fn info(server: &WyomingServer) -> Value {
    let default = server.aliases.default_model(&*server.catalog);
    let stored = server.catalog.list();
    let (first, rest): (Vec<_>, Vec<_>) = stored.iter().partition(|model| model.id == default);
    let models: Vec<Value> = first
        .into_iter()
        .chain(rest)
        .map(|model| describe(model))
        .collect();
    json!({
        "asr": [{
            "name": "halkspeech",
            "description": "HalkSpeech, speech to text with Whisper",
            "attribution": { "name": "HalkSpeech", "url": "" },
            "installed": true,
            "version": env!("CARGO_PKG_VERSION"),
            "models": models,
            "supports_transcript_streaming": true,
            // The client says when an utterance ends.
            "requires_external_vad": true,
            "prefers_auto_gain_enabled": true,
            // Whisper was trained on noisy speech.
            "prefers_noise_reduction_enabled": false,
        }],
        "tts": [], "handle": [], "intent": [], "wake": [], "mic": [], "snd": [],
    })
}

fn describe(model: &StoredModel) -> Value {
    let (author, url) = match model.id.owner() {
        Some(owner) => (
            owner,
            format!("https://huggingface.co/{}", model.id.repository()),
        ),
        None => ("OpenAI", WHISPER_URL.to_owned()),
    };
    json!({
        "name": model.id.as_str(),
        "description": format!("Whisper {}", model.shape.family()),
        "attribution": { "name": author, "url": url },
        "installed": true,
        "version": Value::Null,
        "languages": &model.languages[..],
    })
}
