//! OpenAI's realtime protocol for transcription, in its present form and that of its beta.

pub mod client_event;
pub mod server_event;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;

use super::close::CloseReason;
use super::configuration::{Configuration, SessionForm};
use super::field_reader::Object;
use super::protocol::{BufferState, EventTime, Protocol, Reply, Request};
use crate::format::Logprob;
use crate::http::HttpSettings;
use crate::http::error::{ApiError, LiveError};
use crate::http::request_id::RequestId;
use crate::live::{ItemId, SessionEvent, TurnDetection, TurnError};
use client_event::ClientEvent;
use server_event::{
    EventError, EventWriter, Item, LanguageCode, Null, ServerEvent, TurnErrorObject, Usage,
};

/// The longest time of a session, as at OpenAI.
pub const MAX_DURATION: Duration = Duration::from_secs(60 * 60);

/// A session as its client sees it.
#[derive(Debug)]
pub struct Realtime {
    id: SessionId,
    form: SessionForm,
    configuration: Configuration,
    settings: HttpSettings,
    request_id: RequestId,
    writer: EventWriter,
}

/// The identification of a session.
#[derive(Clone, Debug)]
pub struct SessionId {
    /// `sess_…`
    pub id: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

impl Realtime {
    /// A session that begins with this configuration.
    pub fn new(
        id: SessionId,
        form: SessionForm,
        configuration: Configuration,
        settings: HttpSettings,
        request_id: RequestId,
    ) -> Self {
        Self {
            id,
            form,
            configuration,
            settings,
            request_id,
            writer: EventWriter::default(),
        }
    }

    fn session(&self) -> Object {
        session_object(&self.id, &self.configuration, self.form)
    }

    fn update(
        &mut self,
        session: &Object,
        form: SessionForm,
        buffer: BufferState,
    ) -> Result<Reply, LiveError> {
        let mut configuration = self.configuration.clone();
        configuration.update(session, form, &self.settings)?;
        let has_audio = match self.configuration.turn_detection.policy() {
            TurnDetection::Off => buffer.has_audio,
            // The silence after a turn is in the buffer too.
            _ => buffer.is_in_turn,
        };
        if configuration.format != self.configuration.format && has_audio {
            let param = match form {
                SessionForm::Nested => "session.audio.input.format",
                SessionForm::Flat => "session.input_audio_format",
            };
            return Err(LiveError::Field {
                code: "invalid_value",
                param: param.to_owned(),
                message: format!(
                    "'{param}' cannot be changed while the buffer contains audio: commit or clear it first."
                ),
            });
        }
        self.configuration = configuration;
        if form == SessionForm::Flat {
            self.form = form;
        }
        let session = self.session();
        let event = match self.form {
            SessionForm::Nested => ServerEvent::SessionUpdated { session },
            SessionForm::Flat => ServerEvent::TranscriptionSessionUpdated { session },
        };
        Ok(Reply {
            events: vec![self.writer.write(&event)],
            request: Some(Request::Configure),
        })
    }

    fn handle(&mut self, event: ClientEvent, buffer: BufferState) -> Result<Reply, LiveError> {
        match event {
            ClientEvent::UpdateSession(session, form) => self.update(&session, form, buffer),
            ClientEvent::Append(audio) => Ok(Reply::request(Request::Audio(audio))),
            ClientEvent::Commit if !buffer.has_audio => Err(LiveError::Field {
                code: "input_audio_buffer_commit_empty",
                param: String::new(),
                message: "The buffer is empty: no audio has come since the last turn.".to_owned(),
            }),
            ClientEvent::Commit => Ok(Reply::request(Request::Commit)),
            ClientEvent::Clear => Ok(Reply::request(Request::Clear)),
        }
    }

    fn error_event(&mut self, error: &ApiError, event_id: Option<&str>) -> String {
        error.log();
        let object = error.object(&self.request_id);
        let param = object.param.as_deref().filter(|param| !param.is_empty());
        self.writer.write(&ServerEvent::Error {
            error: EventError {
                r#type: object.r#type,
                code: object.code,
                message: &object.message,
                param,
                event_id,
            },
        })
    }

    fn committed_events(&mut self, item: ItemId, previous: Option<ItemId>) -> Vec<String> {
        let (id, previous) = (item_id(item), previous.map(item_id));
        let (item_id, previous_item_id) = (id.as_str(), previous.as_deref());
        let item = Item::new(item_id);
        let committed = ServerEvent::Committed {
            previous_item_id,
            item_id,
        };
        let items = match self.form {
            SessionForm::Nested => vec![
                ServerEvent::ItemAdded {
                    previous_item_id,
                    item,
                },
                ServerEvent::ItemDone {
                    previous_item_id,
                    item,
                },
            ],
            SessionForm::Flat => vec![ServerEvent::ItemCreated {
                previous_item_id,
                item,
            }],
        };
        let events = std::iter::once(committed).chain(items);
        events.map(|event| self.writer.write(&event)).collect()
    }
}

impl Protocol for Realtime {
    fn name(&self) -> &'static str {
        "realtime"
    }

    fn greeting(&mut self) -> String {
        let session = self.session();
        let event = match self.form {
            SessionForm::Nested => ServerEvent::SessionCreated { session },
            SessionForm::Flat => ServerEvent::TranscriptionSessionCreated { session },
        };
        self.writer.write(&event)
    }

    fn read_text(&mut self, message: &Utf8Bytes, buffer: BufferState) -> Reply {
        let (event_id, event) = client_event::parse(message);
        match event.and_then(|event| self.handle(event, buffer)) {
            Ok(reply) => reply,
            Err(error) => Reply::event(self.error_event(&error.into(), event_id.as_deref())),
        }
    }

    fn read_binary(&mut self, _: Bytes) -> Result<Reply, CloseReason> {
        Err(CloseReason::Binary)
    }

    fn write_event(&mut self, event: &SessionEvent, _: EventTime) -> Vec<String> {
        let writer = &mut self.writer;
        let event = match event {
            SessionEvent::Partial { .. } => return Vec::new(),
            SessionEvent::Committed { item, previous } => {
                return self.committed_events(*item, *previous);
            }
            SessionEvent::SpeechStarted { item, audio_start } => {
                writer.write(&ServerEvent::SpeechStarted {
                    audio_start_ms: milliseconds(*audio_start),
                    item_id: &item_id(*item),
                })
            }
            SessionEvent::SpeechStopped { item, audio_end } => {
                writer.write(&ServerEvent::SpeechStopped {
                    audio_end_ms: milliseconds(*audio_end),
                    item_id: &item_id(*item),
                })
            }
            SessionEvent::Delta { item, text } => writer.write(&ServerEvent::Delta {
                item_id: &item_id(*item),
                content_index: 0,
                delta: text,
                logprobs: Null,
            }),
            SessionEvent::Segment {
                item,
                index,
                start,
                end,
                speaker,
                text,
            } => writer.write(&ServerEvent::Segment {
                item_id: &item_id(*item),
                content_index: 0,
                id: format!("seg_{}_{index}", item.0),
                start: milliseconds(*start) as f64 / 1000.0,
                end: milliseconds(*end) as f64 / 1000.0,
                speaker: speaker.label(),
                text,
            }),
            SessionEvent::Completed {
                item,
                transcript,
                audio,
                language,
                logprobs,
            } => writer.write(&ServerEvent::Completed {
                item_id: &item_id(*item),
                content_index: 0,
                transcript,
                usage: Usage::of_ms(milliseconds(*audio)),
                logprobs: logprobs.as_deref().map(Logprob::list),
                languages: language
                    .iter()
                    .map(|language| LanguageCode {
                        code: language.code(),
                    })
                    .collect(),
            }),
            SessionEvent::Failed { item, error } => writer.write(&ServerEvent::Failed {
                item_id: &item_id(*item),
                content_index: 0,
                error: turn_error(error),
            }),
            SessionEvent::Cleared => writer.write(&ServerEvent::Cleared {}),
        };
        vec![event]
    }

    fn write_error(&mut self, error: &ApiError) -> String {
        self.error_event(error, None)
    }

    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn limit(&self) -> (Duration, CloseReason) {
        (MAX_DURATION, CloseReason::Expired)
    }
}

/// A session as events and responses show it.
pub fn session_object(id: &SessionId, configuration: &Configuration, form: SessionForm) -> Object {
    let mut session = configuration.to_json(form);
    session.insert("object".into(), "realtime.transcription_session".into());
    session.insert("id".into(), id.id.clone().into());
    session.insert("expires_at".into(), id.expires_at.into());
    session
}

/// The message of a turn's error for its client; what the engine said is for the log.
pub fn turn_error(error: &TurnError) -> TurnErrorObject<'static> {
    let (kind, code, message) = match error {
        TurnError::Engine(_) => (
            "server_error",
            "transcription_failed",
            "The model failed on this audio.",
        ),
        TurnError::Overloaded => (
            "rate_limit_exceeded",
            "rate_limit_exceeded",
            "The server is overloaded.",
        ),
        TurnError::ModelGone => (
            "server_error",
            "model_unloaded",
            "The model has been unloaded.",
        ),
    };
    TurnErrorObject {
        r#type: kind,
        code,
        message,
        param: Null,
    }
}

fn item_id(item: ItemId) -> String {
    format!("item_{}", item.0)
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests;
