//! The simple stream: binary samples in, partial and final texts out.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Query;
use axum::extract::ws::Utf8Bytes;
use axum::http::Uri;
use serde::Serialize;
use serde_json::Value;

use super::audio::{AudioFormat, Encoding};
use super::audio_input::AudioInput;
use super::close::CloseReason;
use super::configuration::Configuration;
use super::field_reader::Object;
use super::protocol::{BufferState, EventTime, Protocol, Reply, Request};
use super::realtime::{MAX_DURATION, turn_error};
use super::turn_detection::TurnDetectionField;
use crate::http::HttpSettings;
use crate::http::error::{ApiError, LiveError};
use crate::http::parameters::{Expected, parse_boolean, parse_integer};
use crate::http::request_id::RequestId;
use crate::live::{Delay, ItemId, SessionEvent};

/// The longest time of a stream without turn detection, in minutes.
const MAX_MINUTES_OF_A_TURN: u64 = 30;
/// Longest interval that a parameter may name, in milliseconds.
const MAX_INTERVAL_MS: usize = 60_000;

/// The parameters in the query.
#[derive(Debug)]
pub struct SimpleParameters {
    /// What the session is opened with.
    pub configuration: Configuration,
    /// Whether silence ends a turn.
    detects_turns: bool,
    /// Shortest time between two partial texts.
    interval: Duration,
}

/// A stream as its client sees it.
#[derive(Debug)]
pub struct Simple {
    parameters: SimpleParameters,
    request_id: RequestId,
    last_partial: Option<Instant>,
    /// The last turn that has its final text; they have them in order, from one on.
    finished: ItemId,
}

/// A message; every field is always there.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    text: &'a str,
    /// Characters of the text that do not change any more; only of a partial text.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<usize>,
    latency_ms: u64,
    audio_duration_ms: u64,
}

impl SimpleParameters {
    /// Reads the query; `fixed` is the session of a client secret.
    ///
    /// # Errors
    /// [`ApiError`] that names the parameter.
    pub fn read(uri: &Uri, fixed: Object, settings: &HttpSettings) -> Result<Self, ApiError> {
        let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::MalformedQuery(error.body_text()))?;
        let mut rate_hz = 16_000;
        let mut interval_ms = 300;
        let mut detects_turns = false;
        let mut transcription = Object::new();
        for (name, value) in fields {
            if value.trim().is_empty() {
                continue;
            }
            match name.as_str() {
                "sample_rate" => {
                    rate_hz = read("sample_rate", &value, |text| {
                        parse_integer(text, 4_000..=384_000)
                    })?;
                }
                "chunk_ms" => {
                    interval_ms = read("chunk_ms", &value, |text| {
                        parse_integer(text, 0..=MAX_INTERVAL_MS)
                    })?;
                }
                // The first partial text needs more speech than any client asks for.
                "min_chunk_ms" => {
                    read("min_chunk_ms", &value, |text| {
                        parse_integer(text, 0..=MAX_INTERVAL_MS)
                    })?;
                }
                "enable_vad" => detects_turns = read("enable_vad", &value, parse_boolean)?,
                "model" | "language" | "prompt" => {
                    transcription.insert(name, Value::String(value));
                }
                _ if settings.reject_unknown_fields => return Err(ApiError::UnknownField { name }),
                _ => {}
            }
        }
        let format = AudioFormat {
            encoding: Encoding::Pcm16,
            rate_hz: rate_hz as u32,
        };
        if !format.is_supported() {
            return Err(ApiError::InvalidValue {
                param: "sample_rate",
                value: rate_hz.to_string(),
                expected: "a rate that recorders use, such as 16000 or 48000".to_owned(),
            });
        }
        let mut configuration = Configuration::default();
        configuration.fix(fixed, settings)?;
        configuration.ignore_speakers();
        let text = |name: &str| transcription.get(name).and_then(Value::as_str);
        for name in ["model", "language", "prompt"] {
            if let Some(value) = text(name) {
                configuration.set_text(name, value, settings)?;
            }
        }
        configuration.format = format;
        configuration.delay = Some(delay(interval_ms));
        configuration.turn_detection = if detects_turns {
            TurnDetectionField::default()
        } else {
            TurnDetectionField::Off
        };
        Ok(Self {
            configuration,
            detects_turns,
            interval: Duration::from_millis(interval_ms as u64),
        })
    }
}

impl Simple {
    /// A stream with these parameters.
    pub fn new(parameters: SimpleParameters, request_id: RequestId) -> Self {
        Self {
            parameters,
            request_id,
            last_partial: None,
            finished: ItemId(0),
        }
    }

    fn finish(&mut self, item: ItemId) {
        self.last_partial = None;
        self.finished = item;
    }

    fn partial(&mut self, committed: &str, tail: &str, time: EventTime) -> Option<String> {
        let is_early = self
            .last_partial
            .is_some_and(|last| time.now < last + self.parameters.interval);
        if is_early {
            return None;
        }
        self.last_partial = Some(time.now);
        Some(write(&Message {
            r#type: "transcript.partial",
            text: &format!("{committed}{tail}"),
            committed: Some(committed.chars().count()),
            latency_ms: milliseconds(time.latency),
            audio_duration_ms: milliseconds(time.audio),
        }))
    }
}

impl Protocol for Simple {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn greeting(&mut self) -> String {
        write(&Message {
            r#type: "ready",
            text: "",
            committed: None,
            latency_ms: 0,
            audio_duration_ms: 0,
        })
    }

    fn read_text(&mut self, message: &Utf8Bytes, _: BufferState) -> Reply {
        let message = serde_json::from_str::<Value>(message.as_str());
        let error = match message {
            Ok(message) if message["type"] == "audio.done" => {
                return Reply::request(Request::Finish);
            }
            Ok(message) => LiveError::invalid_value(
                "type".to_owned(),
                &message["type"].to_string(),
                "audio.done, or binary messages",
            ),
            Err(error) => LiveError::MalformedJson(error.to_string()),
        };
        Reply::event(self.write_error(&error.into()))
    }

    fn read_binary(&mut self, message: Bytes) -> Result<Reply, CloseReason> {
        Ok(Reply::request(if message.is_empty() {
            Request::Finish
        } else {
            Request::Audio(AudioInput::Bytes(message))
        }))
    }

    fn write_event(&mut self, event: &SessionEvent, time: EventTime) -> Vec<String> {
        match event {
            SessionEvent::Partial {
                item,
                committed,
                tail,
            } => {
                // Messages do not name their turn: text of the next turn comes after the final text of this one.
                let is_next = item.0 == self.finished.0 + 1;
                let message = is_next.then(|| self.partial(committed, tail, time));
                message.flatten().into_iter().collect()
            }
            SessionEvent::Completed {
                item,
                transcript,
                audio,
                ..
            } => {
                self.finish(*item);
                vec![write(&Message {
                    r#type: "transcript.final",
                    text: transcript,
                    committed: None,
                    latency_ms: milliseconds(time.latency),
                    audio_duration_ms: milliseconds(*audio),
                })]
            }
            SessionEvent::Failed { item, error } => {
                self.finish(*item);
                vec![error_message(turn_error(error).message)]
            }
            SessionEvent::SpeechStarted { .. }
            | SessionEvent::SpeechStopped { .. }
            | SessionEvent::Delta { .. }
            | SessionEvent::Committed { .. }
            | SessionEvent::Segment { .. }
            | SessionEvent::Cleared => Vec::new(),
        }
    }

    fn write_error(&mut self, error: &ApiError) -> String {
        error.log();
        error_message(&error.object(&self.request_id).message)
    }

    fn farewell(&mut self) -> Option<String> {
        let is_owed = !self.parameters.detects_turns && self.finished == ItemId(0);
        is_owed.then(|| {
            write(&Message {
                r#type: "transcript.final",
                text: "",
                committed: None,
                latency_ms: 0,
                audio_duration_ms: 0,
            })
        })
    }

    fn configuration(&self) -> &Configuration {
        &self.parameters.configuration
    }

    fn limit(&self) -> (Duration, CloseReason) {
        if self.parameters.detects_turns {
            (MAX_DURATION, CloseReason::Expired)
        } else {
            let limit = Duration::from_secs(MAX_MINUTES_OF_A_TURN * 60);
            (limit, CloseReason::StreamTooLong)
        }
    }
}

/// The `delay` whose partial texts come about as often.
fn delay(interval_ms: usize) -> Delay {
    match interval_ms {
        0..=300 => Delay::Minimal,
        301..=600 => Delay::Low,
        601..=1_000 => Delay::Medium,
        _ => Delay::High,
    }
}

fn read<T>(
    param: &'static str,
    value: &str,
    parse: impl FnOnce(&str) -> Result<T, Expected>,
) -> Result<T, ApiError> {
    parse(value).map_err(|Expected(expected)| ApiError::InvalidValue {
        param,
        value: value.to_owned(),
        expected,
    })
}

fn error_message(text: &str) -> String {
    write(&Message {
        r#type: "error",
        text,
        committed: None,
        latency_ms: 0,
        audio_duration_ms: 0,
    })
}

fn write(message: &Message<'_>) -> String {
    // Strings and numbers always serialize.
    serde_json::to_string(message).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests;
