//! The events that a realtime client gets.

use serde::Serialize;

use super::super::field_reader::Object;
use crate::format::Logprob;

/// An event; its fields are in the order of OpenAI's documentation.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum ServerEvent<'a> {
    /// The connection is open.
    #[serde(rename = "session.created")]
    SessionCreated { session: Object },
    /// The session has changed.
    #[serde(rename = "session.updated")]
    SessionUpdated { session: Object },
    /// The same in the flat form.
    #[serde(rename = "transcription_session.created")]
    TranscriptionSessionCreated { session: Object },
    /// The same in the flat form.
    #[serde(rename = "transcription_session.updated")]
    TranscriptionSessionUpdated { session: Object },
    /// Speech has begun.
    #[serde(rename = "input_audio_buffer.speech_started")]
    SpeechStarted {
        audio_start_ms: u64,
        item_id: &'a str,
    },
    /// Speech has ended.
    #[serde(rename = "input_audio_buffer.speech_stopped")]
    SpeechStopped { audio_end_ms: u64, item_id: &'a str },
    /// The audio of a turn is complete.
    #[serde(rename = "input_audio_buffer.committed")]
    Committed {
        previous_item_id: Option<&'a str>,
        item_id: &'a str,
    },
    /// The audio that was not committed has been dropped.
    #[serde(rename = "input_audio_buffer.cleared")]
    Cleared {},
    /// The turn as an item of the conversation.
    #[serde(rename = "conversation.item.added")]
    ItemAdded {
        previous_item_id: Option<&'a str>,
        item: Item<'a>,
    },
    /// The same fields.
    #[serde(rename = "conversation.item.done")]
    ItemDone {
        previous_item_id: Option<&'a str>,
        item: Item<'a>,
    },
    /// The beta's event in place of both.
    #[serde(rename = "conversation.item.created")]
    ItemCreated {
        previous_item_id: Option<&'a str>,
        item: Item<'a>,
    },
    /// More text.
    #[serde(rename = "conversation.item.input_audio_transcription.delta")]
    Delta {
        item_id: &'a str,
        content_index: u32,
        delta: &'a str,
        logprobs: Null,
    },
    /// Who speaks in a part of a turn.
    #[serde(rename = "conversation.item.input_audio_transcription.segment")]
    Segment {
        item_id: &'a str,
        content_index: u32,
        id: String,
        start: f64,
        end: f64,
        speaker: &'a str,
        text: &'a str,
    },
    /// The whole text of a turn.
    #[serde(rename = "conversation.item.input_audio_transcription.completed")]
    Completed {
        item_id: &'a str,
        content_index: u32,
        transcript: &'a str,
        usage: Usage,
        logprobs: Option<Vec<Logprob<'a>>>,
        languages: Vec<LanguageCode>,
    },
    /// A turn has no text.
    #[serde(rename = "conversation.item.input_audio_transcription.failed")]
    Failed {
        item_id: &'a str,
        content_index: u32,
        error: TurnErrorObject<'a>,
    },
    /// The client has made a mistake, or the session ends.
    #[serde(rename = "error")]
    Error { error: EventError<'a> },
}

/// Serializes as null.
#[derive(Clone, Copy, Debug)]
pub struct Null;

/// A turn.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Item<'a> {
    id: &'a str,
    object: &'static str,
    r#type: &'static str,
    status: &'static str,
    role: &'static str,
    content: [Content; 1],
}

/// The audio of a turn.
#[derive(Clone, Copy, Debug, Serialize)]
struct Content {
    r#type: &'static str,
    transcript: Null,
}

/// What a text is billed by, for clients that count.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    r#type: &'static str,
    seconds: f64,
}

/// A language, as in the response to an upload.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LanguageCode {
    /// ISO 639-1, or 639-3 where there is none.
    pub code: &'static str,
}

/// Why a turn has no text.
#[derive(Debug, Serialize)]
pub struct TurnErrorObject<'a> {
    /// `server_error` or `rate_limit_exceeded`.
    pub r#type: &'a str,
    /// Machine-readable code.
    pub code: &'a str,
    /// Human-readable message.
    pub message: &'a str,
    /// Always null.
    pub param: Null,
}

/// An error.
#[derive(Debug, Serialize)]
pub struct EventError<'a> {
    /// `invalid_request_error`, `rate_limit_exceeded` or `server_error`.
    pub r#type: &'a str,
    /// Machine-readable code.
    pub code: Option<&'a str>,
    /// Human-readable message.
    pub message: &'a str,
    /// The field.
    pub param: Option<&'a str>,
    /// The client's id of the event with the mistake.
    pub event_id: Option<&'a str>,
}

/// Writes events, each with an id of its own.
#[derive(Debug, Default)]
pub struct EventWriter {
    written: u64,
}

#[derive(Serialize)]
struct Numbered<'a> {
    event_id: String,
    #[serde(flatten)]
    event: &'a ServerEvent<'a>,
}

impl EventWriter {
    /// The event as JSON.
    pub fn write(&mut self, event: &ServerEvent<'_>) -> String {
        self.written += 1;
        let event_id = format!("event_{}", self.written);
        // Strings and numbers always serialize.
        serde_json::to_string(&Numbered { event_id, event }).unwrap_or_default()
    }
}

impl<'a> Item<'a> {
    /// The turn of this id.
    pub fn new(id: &'a str) -> Self {
        Self {
            id,
            object: "realtime.item",
            r#type: "message",
            status: "completed",
            role: "user",
            content: [Content {
                r#type: "input_audio",
                transcript: Null,
            }],
        }
    }
}

impl Usage {
    /// Audio of this many milliseconds.
    pub fn of_ms(ms: u64) -> Self {
        Self {
            r#type: "duration",
            seconds: ms as f64 / 1000.0,
        }
    }
}

impl Serialize for Null {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}
