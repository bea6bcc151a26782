//! The events of clients.

use halkspeech_whisper::Language;
use serde_json::{Map, Value};

use super::audio::AudioFormat;
use super::error::ConnectionError;
use super::wire::WireEvent;

/// Most names and terms of a request, and their longest length in characters, as of an upload's `keywords`.
const MAX_WORDS: usize = 1_000;
const MAX_WORD_CHARS: usize = 200;

/// An event of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// Wants to know the models.
    Describe,
    /// Wants an answer with the same text.
    Ping(Option<String>),
    /// The options of the next utterance.
    Transcribe(TranscribeRequest),
    /// An utterance begins.
    AudioStart(AudioFormat),
    /// Its next samples.
    AudioChunk(AudioFormat, Vec<u8>),
    /// It has ended.
    AudioStop,
    /// An event of another service, or a later version.
    Other,
}

/// The options of an utterance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscribeRequest {
    /// The model's name.
    pub model: Option<String>,
    /// The language spoken.
    pub language: Option<Language>,
    /// Names and terms to expect, the more important ones first.
    pub hotwords: Vec<String>,
}

impl ClientEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// [`ConnectionError::Field`].
    pub fn read(event: WireEvent) -> Result<Self, ConnectionError> {
        let WireEvent {
            kind,
            data,
            payload,
        } = event;
        Ok(match kind.as_str() {
            "describe" => Self::Describe,
            "ping" => Self::Ping(data.get("text").and_then(Value::as_str).map(str::to_owned)),
            "transcribe" => Self::Transcribe(TranscribeRequest::read(&data)?),
            "audio-start" => Self::AudioStart(AudioFormat::read(&kind, &data)?),
            "audio-chunk" => Self::AudioChunk(AudioFormat::read(&kind, &data)?, payload),
            "audio-stop" => Self::AudioStop,
            _ => Self::Other,
        })
    }
}

impl TranscribeRequest {
    fn read(data: &Map<String, Value>) -> Result<Self, ConnectionError> {
        let text = |name: &'static str| match data.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(invalid(name, "a text")),
        };
        let language = text("language")?.map(|text| {
            let language = Language::parse(text);
            language.ok_or(invalid(
                "language",
                "a language that Whisper knows, such as tr",
            ))
        });
        let mut hotwords = words(data, "transcript_names")?;
        hotwords.extend(words(data, "transcript_terms")?);
        Ok(Self {
            model: text("name")?.map(str::to_owned),
            language: language.transpose()?,
            hotwords,
        })
    }
}

fn words(data: &Map<String, Value>, field: &'static str) -> Result<Vec<String>, ConnectionError> {
    let expected = "a list of at most 1000 texts of at most 200 characters";
    let items = match data.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_WORDS => items,
        Some(_) => return Err(invalid(field, expected)),
    };
    let word = |item: &Value| match item.as_str() {
        Some(word) if word.chars().count() <= MAX_WORD_CHARS => Ok(word.trim().to_owned()),
        _ => Err(invalid(field, expected)),
    };
    let mut words = items.iter().map(word).collect::<Result<Vec<_>, _>>()?;
    words.retain(|word| !word.is_empty());
    Ok(words)
}

fn invalid(field: &'static str, expected: &'static str) -> ConnectionError {
    ConnectionError::Field {
        event: "transcribe".to_owned(),
        field,
        expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, data: &Value) -> Result<ClientEvent, String> {
        let event = WireEvent {
            kind: kind.to_owned(),
            data: data.as_object().unwrap().clone(),
            payload: Vec::new(),
        };
        ClientEvent::read(event).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_the_options_of_an_utterance() {
        let data = json!({
            "name": "base",
            "language": "tr-TR",
            "transcript_names": ["Ayşe", " "],
            "transcript_terms": ["kombi"],
            "context": {"id": 1},
            "vad_sensitivity": "relaxed",
        });
        let expected = TranscribeRequest {
            model: Some("base".to_owned()),
            language: Language::parse("tr"),
            hotwords: vec!["Ayşe".to_owned(), "kombi".to_owned()],
        };
        assert_eq!(
            read("transcribe", &data),
            Ok(ClientEvent::Transcribe(expected))
        );
        let empty = Ok(ClientEvent::Transcribe(TranscribeRequest::default()));
        for data in [
            json!({}),
            json!({"name": null, "language": "", "transcript_names": null}),
        ] {
            assert_eq!(read("transcribe", &data), empty, "{data}");
        }
    }

    #[test]
    fn an_error_names_the_field() {
        for (data, field) in [
            (json!({"name": 1}), "name"),
            (json!({"language": "klingon"}), "language"),
            (json!({"transcript_names": "a"}), "transcript_names"),
            (json!({"transcript_terms": [1]}), "transcript_terms"),
            (
                json!({"transcript_terms": ["x".repeat(201)]}),
                "transcript_terms",
            ),
        ] {
            let error = read("transcribe", &data).unwrap_err();
            assert!(
                error.starts_with(&format!("transcribe: '{field}' must be")),
                "{error}"
            );
        }
    }

    #[test]
    fn events_of_other_services_are_skipped() {
        for kind in ["select-program", "synthesize", "detect"] {
            assert_eq!(read(kind, &json!({})), Ok(ClientEvent::Other));
        }
        assert_eq!(
            read("ping", &json!({"text": "a"})),
            Ok(ClientEvent::Ping(Some("a".to_owned())))
        );
    }
}
