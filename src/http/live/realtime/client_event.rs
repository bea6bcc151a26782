//! The events of a realtime client.

use std::borrow::Cow;
use std::fmt;

use axum::extract::ws::Utf8Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use super::super::audio_input::AudioInput;
use super::super::configuration::SessionForm;
use super::super::field_reader::Object;
use crate::http::error::LiveError;

/// Longest event with a session, in bytes: as JSON in memory it takes many times as much.
const MAX_SESSION_BYTES: usize = 256 * 1024;
/// Longest `event_id`, in bytes; a longer one is not repeated.
const MAX_EVENT_ID_BYTES: usize = 512;

/// An event.
#[derive(Debug)]
pub enum ClientEvent {
    /// `session.update`, or `transcription_session.update` in the flat form.
    UpdateSession(Object, SessionForm),
    /// `input_audio_buffer.append`
    Append(AudioInput),
    /// `input_audio_buffer.commit`
    Commit,
    /// `input_audio_buffer.clear`
    Clear,
}

/// The types of events, as an error lists them.
const TYPES: &str = "session.update, transcription_session.update, input_audio_buffer.append, \
    input_audio_buffer.commit or input_audio_buffer.clear; this server only transcribes";

/// The fields of an event that are texts; the session is read in a second pass.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    r#type: JsonText<'a>,
    #[serde(borrow, default)]
    event_id: JsonText<'a>,
    #[serde(borrow, default)]
    audio: JsonText<'a>,
}

#[derive(Deserialize)]
struct SessionEnvelope {
    #[serde(default)]
    session: Value,
}

/// A text inside the message where it has no escapes.
#[derive(Default)]
enum JsonText<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    /// Any other value.
    Other,
}

/// Reads an event, and its `event_id` even if the rest is invalid.
pub fn parse(message: &Utf8Bytes) -> (Option<String>, Result<ClientEvent, LiveError>) {
    let envelope = match serde_json::from_str::<Envelope<'_>>(message.as_str()) {
        Ok(envelope) => envelope,
        Err(error) => return (None, Err(LiveError::MalformedJson(error.to_string()))),
    };
    let event_id = match envelope.event_id {
        JsonText::Text(id) if id.len() <= MAX_EVENT_ID_BYTES => Some(id.into_owned()),
        _ => None,
    };
    let event = match envelope.r#type {
        JsonText::Text(kind) => parse_event(message, &kind, envelope.audio),
        JsonText::Missing => Err(LiveError::missing("type")),
        JsonText::Other => Err(LiveError::invalid_value("type".to_owned(), "", TYPES)),
    };
    (event_id, event)
}

fn parse_event(
    message: &Utf8Bytes,
    kind: &str,
    audio: JsonText<'_>,
) -> Result<ClientEvent, LiveError> {
    match kind {
        "session.update" => parse_session(message, SessionForm::Nested),
        "transcription_session.update" => parse_session(message, SessionForm::Flat),
        "input_audio_buffer.append" => {
            let audio = match audio {
                JsonText::Text(audio) => AudioInput::base64(message, audio).ok(),
                JsonText::Missing => return Err(LiveError::missing("audio")),
                JsonText::Other => None,
            };
            // Audio is never repeated, so the message does not show the value.
            let error = || LiveError::Field {
                code: "invalid_value",
                param: "audio".to_owned(),
                message: "Invalid value for 'audio'. Expected a string of base64.".to_owned(),
            };
            audio.map(ClientEvent::Append).ok_or_else(error)
        }
        "input_audio_buffer.commit" => Ok(ClientEvent::Commit),
        "input_audio_buffer.clear" => Ok(ClientEvent::Clear),
        kind => {
            let value = Value::from(kind).to_string();
            Err(LiveError::invalid_value("type".to_owned(), &value, TYPES))
        }
    }
}

fn parse_session(message: &Utf8Bytes, form: SessionForm) -> Result<ClientEvent, LiveError> {
    if message.len() > MAX_SESSION_BYTES {
        return Err(LiveError::Field {
            code: "invalid_value",
            param: "session".to_owned(),
            message: format!("The event is longer than the limit of {MAX_SESSION_BYTES} bytes."),
        });
    }
    let envelope = serde_json::from_str::<SessionEnvelope>(message.as_str());
    match envelope.map(|envelope| envelope.session) {
        Ok(Value::Object(session)) => Ok(ClientEvent::UpdateSession(session, form)),
        Ok(Value::Null) => Err(LiveError::missing("session")),
        Ok(other) => {
            let param = "session".to_owned();
            let value = other.to_string();
            Err(LiveError::invalid_value(param, &value, "an object"))
        }
        Err(error) => Err(LiveError::MalformedJson(error.to_string())),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonTextVisitor)
    }
}

struct JsonTextVisitor;

impl<'de> Visitor<'de> for JsonTextVisitor {
    type Value = JsonText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonText::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonText::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(JsonText::Missing)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(JsonText::Other)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(JsonText::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(JsonText::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(JsonText::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(JsonText::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(JsonText::Other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::error::ApiError;
    use crate::http::request_id::RequestId;

    fn parse_text(text: &str) -> (Option<String>, Result<ClientEvent, LiveError>) {
        parse(&Utf8Bytes::from(text))
    }

    #[track_caller]
    fn check_error(text: &str, code: &str, param: Option<&str>, message: &str) {
        let error = ApiError::from(parse_text(text).1.unwrap_err());
        let error = error.object(&RequestId::default());
        assert_eq!(error.r#type, "invalid_request_error", "{text}");
        assert_eq!(error.code, Some(code), "{text}");
        assert_eq!(error.param.as_deref(), param, "{text}");
        assert!(error.message.contains(message), "{}", error.message);
    }

    #[test]
    fn reads_every_event() {
        let (id, event) = parse_text(
            r#"{"event_id":"event_7","type":"session.update","session":{"type":"transcription"},"new":1}"#,
        );
        assert_eq!(id.as_deref(), Some("event_7"));
        let Ok(ClientEvent::UpdateSession(session, SessionForm::Nested)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(Value::Object(session), json!({ "type": "transcription" }));

        let (id, event) = parse_text(r#"{"type":"transcription_session.update","session":{}}"#);
        assert_eq!(id, None);
        assert!(matches!(
            event,
            Ok(ClientEvent::UpdateSession(_, SessionForm::Flat))
        ));
        let (_, event) = parse_text(r#"{"type":"input_audio_buffer.commit","event_id":null}"#);
        assert!(matches!(event, Ok(ClientEvent::Commit)));
        let (_, event) = parse_text(r#"{"type":"input_audio_buffer.clear","event_id":5}"#);
        assert!(matches!(event, Ok(ClientEvent::Clear)));
    }

    #[test]
    fn reads_audio_with_and_without_escapes() {
        for text in [
            r#"{"type":"input_audio_buffer.append","audio":"+/8="}"#,
            r#"{"audio":"+\/8","type":"input_audio_buffer.append"}"#,
            r#"{"audio":"\u002b\/8=","type":"input_audio_buffer.append"}"#,
        ] {
            let Ok(ClientEvent::Append(mut audio)) = parse_text(text).1 else {
                panic!("{text}");
            };
            assert_eq!(&audio.next_piece(100).unwrap()[..], [0xfb, 0xff], "{text}");
            assert_eq!(audio.next_piece(100), None);
        }
    }

    #[test]
    fn an_error_names_the_field() {
        check_error("{", "invalid_json", None, "Invalid JSON: EOF");
        check_error("7", "invalid_json", None, "Invalid JSON");
        check_error("{}", "missing_required_parameter", Some("type"), "'type'");
        check_error(
            r#"{"type":[{}]}"#,
            "invalid_value",
            Some("type"),
            "Expected session.update",
        );
        check_error(
            r#"{"type":"response.create"}"#,
            "invalid_value",
            Some("type"),
            "'type': \"response.create\". Expected session.update",
        );
        let append = r#"{"type":"input_audio_buffer.append""#;
        for (rest, code) in [
            ("}", "missing_required_parameter"),
            (r#","audio":null}"#, "missing_required_parameter"),
            (r#","audio":7.5}"#, "invalid_value"),
            (r#","audio":"A"}"#, "invalid_value"),
            (r#","audio":"AB*D"}"#, "invalid_value"),
        ] {
            check_error(&format!("{append}{rest}"), code, Some("audio"), "'audio'");
        }
        let update = r#"{"type":"session.update""#;
        let missing = "missing_required_parameter";
        check_error(
            &format!("{update}}}"),
            missing,
            Some("session"),
            "'session'",
        );
        let list = format!("{update},\"session\":[]}}");
        check_error(&list, "invalid_value", Some("session"), "an object");
        let long = format!(
            "{update},\"session\":[{}0]}}",
            "0,".repeat(MAX_SESSION_BYTES)
        );
        check_error(&long, "invalid_value", Some("session"), "longer than");
    }
}
