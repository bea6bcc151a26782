//! What the two protocols have in common: a message of the client becomes a request, an event of the session becomes
//! messages.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;

use super::audio_input::AudioInput;
use super::close::CloseReason;
use super::configuration::Configuration;
use crate::http::error::ApiError;
use crate::live::SessionEvent;

/// What a message of the client asks for.
#[derive(Debug)]
pub enum Request {
    /// Audio follows.
    Audio(AudioInput),
    /// The configuration has changed.
    Configure,
    /// The turn ends.
    Commit,
    /// The audio that was not committed is dropped.
    Clear,
    /// No more audio follows; the connection is closed after the last text.
    Finish,
}

/// The reply to a message, and what it asks for.
#[derive(Debug, Default)]
pub struct Reply {
    /// Events for the client.
    pub events: Vec<String>,
    /// What the session has to do.
    pub request: Option<Request>,
}

/// The audio that the session has got, for rules about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferState {
    /// Whether audio has come since the last turn.
    pub has_audio: bool,
    /// Whether someone speaks, as far as the detector has got.
    pub is_in_turn: bool,
}

/// When an event of a session came.
#[derive(Clone, Copy, Debug)]
pub struct EventTime {
    /// Now.
    pub now: Instant,
    /// Time since the audio came that the event is about: for the text of a turn its end, else the newest.
    pub latency: Duration,
    /// Length of all audio so far.
    pub audio: Duration,
}

/// A protocol of a socket, without its connection.
pub trait Protocol: Send {
    /// Its name in metrics and traces.
    fn name(&self) -> &'static str;

    /// The first event.
    fn greeting(&mut self) -> String;

    /// Reads a text message.
    fn read_text(&mut self, message: &Utf8Bytes, buffer: BufferState) -> Reply;

    /// Reads a binary message.
    ///
    /// # Errors
    /// The protocol has none.
    fn read_binary(&mut self, message: Bytes) -> Result<Reply, CloseReason>;

    /// The messages for an event of the session.
    fn write_event(&mut self, event: &SessionEvent, time: EventTime) -> Vec<String>;

    /// The message for an error.
    fn write_error(&mut self, error: &ApiError) -> String;

    /// The last message before the connection is closed because all is done.
    fn farewell(&mut self) -> Option<String> {
        None
    }

    /// The configuration of the session.
    fn configuration(&self) -> &Configuration;

    /// The longest time of a connection, and how it ends.
    fn limit(&self) -> (Duration, CloseReason);
}

impl Reply {
    /// Only an event.
    pub fn event(event: String) -> Self {
        Self {
            events: vec![event],
            request: None,
        }
    }

    /// Only a request.
    pub fn request(request: Request) -> Self {
        Self {
            events: Vec::new(),
            request: Some(request),
        }
    }
}
