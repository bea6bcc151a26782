//! The two forms of a session: nested, and the flat one of OpenAI's beta.

use serde_json::{Value, json};

use super::super::audio::{AudioFormat, Encoding};
use super::super::field_reader::Object;

/// A form of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionForm {
    /// `audio.input.…`
    Nested,
    /// `input_audio_…`
    Flat,
}

/// The fields that are shown.
pub(super) struct ShownFields {
    pub(super) format: AudioFormat,
    pub(super) noise_reduction: Value,
    pub(super) transcription: Value,
    pub(super) turn_detection: Value,
    pub(super) include: Value,
}

/// Flat fields, and their names below `audio.input`.
const FIELDS: [(&str, &str); 4] = [
    ("input_audio_format", "format"),
    ("input_audio_noise_reduction", "noise_reduction"),
    ("input_audio_transcription", "transcription"),
    ("turn_detection", "turn_detection"),
];

/// The flat names of formats.
const FORMATS: [(&str, &str, u32); 3] = [
    ("pcm16", "audio/pcm", 24_000),
    ("g711_ulaw", "audio/pcmu", 8_000),
    ("g711_alaw", "audio/pcma", 8_000),
];

impl SessionForm {
    /// The session in the nested form.
    pub fn nested(self, session: &Object) -> Object {
        if self == Self::Nested {
            return session.clone();
        }
        let mut input = Object::new();
        for (flat, name) in FIELDS {
            let Some(value) = session.get(flat) else {
                continue;
            };
            let value = match (name, value) {
                ("format", Value::String(text)) if text.trim().is_empty() => continue,
                ("format", Value::String(text)) => nested_format(text),
                _ => value.clone(),
            };
            input.insert(name.to_owned(), value);
        }
        let mut nested = Object::new();
        for name in ["type", "include"] {
            if let Some(value) = session.get(name) {
                nested.insert(name.to_owned(), value.clone());
            }
        }
        if !input.is_empty() {
            nested.insert("audio".to_owned(), json!({ "input": input }));
        }
        nested
    }

    /// The client's name of a field, from its nested path.
    pub(super) fn name(self, path: &str) -> String {
        let below_input = path.strip_prefix("audio.input.");
        if let (Self::Flat, Some(below)) = (self, below_input) {
            let (first, rest) = below.split_at(below.find('.').unwrap_or(below.len()));
            let flat = FIELDS.iter().find(|(_, name)| *name == first);
            if let Some((flat, name)) = flat {
                let rest = if *name == "format" { "" } else { rest };
                return format!("session.{flat}{rest}");
            }
        }
        format!("session.{path}")
    }

    /// The allowed values of a field whose values have other names in this form.
    pub(super) fn expected(self, path: &str) -> Option<&'static str> {
        let is_format = path.starts_with("audio.input.format");
        (self == Self::Flat && is_format).then_some("pcm16 or g711_ulaw or g711_alaw")
    }

    /// The session as it is shown.
    pub(super) fn shown(self, fields: &ShownFields) -> Object {
        let AudioFormat { encoding, rate_hz } = fields.format;
        let (flat_name, kind, _) = match encoding {
            Encoding::Pcm16 => FORMATS[0],
            Encoding::MuLaw => FORMATS[1],
            Encoding::ALaw => FORMATS[2],
        };
        let shown = match self {
            Self::Nested => json!({
                "type": "transcription",
                "audio": { "input": {
                    "format": { "type": kind, "rate": rate_hz },
                    "noise_reduction": fields.noise_reduction,
                    "transcription": fields.transcription,
                    "turn_detection": fields.turn_detection,
                }},
                "include": fields.include,
            }),
            Self::Flat => json!({
                "input_audio_format": flat_name,
                "input_audio_noise_reduction": fields.noise_reduction,
                "input_audio_transcription": fields.transcription,
                "turn_detection": fields.turn_detection,
                "include": fields.include,
            }),
        };
        match shown {
            Value::Object(shown) => shown,
            _ => Object::new(),
        }
    }
}

fn nested_format(flat: &str) -> Value {
    match FORMATS.iter().find(|(name, _, _)| *name == flat) {
        Some((_, kind, rate_hz)) => json!({ "type": kind, "rate": rate_hz }),
        // Refused by the reader of the nested form, which shows this text.
        None => json!({ "type": flat }),
    }
}
