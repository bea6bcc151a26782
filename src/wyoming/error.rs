//! Why a connection ends.

use crate::live::TurnError;
use crate::models::ModelError;
use crate::transcribe::TranscribeError;

/// Why a connection ends before its client closes it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The client is gone, or does not read.
    #[error("connection is broken")]
    Gone,
    /// Nothing came for too long.
    #[error("no event within {0} s")]
    Idle(u64),
    /// A line is not an event; nothing behind it can be understood.
    #[error("a line is not an event: {0}")]
    NotAnEvent(String),
    /// A part of an event is longer than its limit.
    #[error("{part} of an event is longer than {limit} bytes")]
    TooLong {
        /// The part.
        part: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A field has a value that is not allowed.
    #[error("{event}: '{field}' must be {expected}")]
    Field {
        /// The event's type.
        event: String,
        /// The field.
        field: &'static str,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// The name is no model's.
    #[error("transcribe: there is no model {0:?}")]
    UnknownModel(String),
    /// The utterance is too long.
    #[error("the audio is longer than {0} min")]
    AudioTooLong(u64),
    /// There is no place for a session.
    #[error("there are too many live sessions")]
    NoPlace,
    /// The session cannot be opened.
    #[error(transparent)]
    Session(#[from] TranscribeError),
    /// The session ended without a text.
    #[error("the session cannot continue")]
    SessionEnded,
    /// The utterance has no text.
    #[error(transparent)]
    Turn(#[from] TurnError),
}

impl ConnectionError {
    /// The code in the event that tells the client; `None` if it is told nothing.
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Gone | Self::Idle(_) => return None,
            Self::NotAnEvent(_) => "not_an_event",
            Self::TooLong { .. } => "too_long",
            Self::Field { .. } => "invalid_value",
            Self::UnknownModel(_)
            | Self::Session(TranscribeError::Model(ModelError::NotFound(_))) => "model_not_found",
            Self::AudioTooLong(_) => "audio_too_long",
            Self::NoPlace => "too_many_sessions",
            Self::Session(TranscribeError::UnknownLanguage { .. }) => "unsupported_language",
            Self::Session(_) | Self::SessionEnded | Self::Turn(_) => "server_error",
        })
    }

    /// The text for the client: without what only the log may show.
    pub fn text(&self) -> String {
        match self {
            Self::Session(TranscribeError::Model(ModelError::NotFound(model))) => {
                format!("model {model} is not on this server")
            }
            Self::Session(TranscribeError::UnknownLanguage { .. }) => self.to_string(),
            Self::Session(_) | Self::Turn(_) => "the audio cannot be transcribed now".to_owned(),
            _ => self.to_string(),
        }
    }
}
