//! The messages of the two sockets, as far as a feeder needs them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::record::LiveEvent;
use crate::cli::web_socket::Route;

/// Samples per second of the audio that is sent.
pub const SAMPLE_RATE_HZ: usize = 16_000;
/// Audio before the speech that belongs to a turn, in milliseconds.
pub const PREFIX_PADDING_MS: u64 = 300;

/// A message of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// How early the server commits words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum DelayFlag {
    /// A partial text every 0.3 s
    Minimal,
    /// A partial text every 0.6 s
    Low,
    /// A partial text every second
    Medium,
    /// A partial text every 2 s
    High,
    /// Text at the end of each turn
    XHigh,
}

/// How turns end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TurnDetectionFlag {
    /// By silence
    Silence,
    /// By silence whose length depends on the text
    Semantic,
    /// With the recording
    Off,
}

/// The options of every session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSetup {
    /// The socket.
    pub route: Route,
    /// The model.
    pub model: String,
    /// How early words are committed; none: the server's default.
    pub delay: Option<DelayFlag>,
    /// How turns end.
    pub turn_detection: TurnDetectionFlag,
    /// The silence that ends a turn, in milliseconds.
    pub silence_ms: u64,
}

/// Reads the messages of one session.
#[derive(Debug)]
pub struct MessageReader {
    route: Route,
    /// Turns of the simple stream that are complete.
    turns: u64,
}

impl DelayFlag {
    /// Its name on the command line and in OpenAI's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
        }
    }

    /// Milliseconds between two partial texts; none: there are none.
    fn step_ms(self) -> Option<&'static str> {
        match self {
            Self::Minimal => Some("300"),
            Self::Low => Some("600"),
            Self::Medium => Some("1000"),
            Self::High => Some("2000"),
            Self::XHigh => None,
        }
    }
}

impl SessionSetup {
    /// The query of the socket's URL.
    pub fn query(&self, language: Option<&str>) -> Vec<(&'static str, String)> {
        let mut query = vec![("model", self.model.clone())];
        match self.route {
            Route::Realtime => query.push(("intent", "transcription".to_owned())),
            Route::Stream => {
                query.extend(language.map(|language| ("language", language.to_owned())));
                query.push(("sample_rate", SAMPLE_RATE_HZ.to_string()));
                let detects_turns = self.turn_detection != TurnDetectionFlag::Off;
                query.push(("enable_vad", detects_turns.to_string()));
                let step_ms = self.delay.and_then(DelayFlag::step_ms);
                query.extend(step_ms.map(|ms| ("chunk_ms", ms.to_owned())));
            }
        }
        query
    }

    /// The messages before the audio.
    pub fn opening(&self, language: Option<&str>) -> Option<ClientMessage> {
        if self.route == Route::Stream {
            return None;
        }
        let mut transcription = json!({ "model": self.model });
        if let Some(language) = language {
            transcription["language"] = language.into();
        }
        if let Some(delay) = self.delay {
            transcription["delay"] = delay.name().into();
        }
        let turn_detection = match self.turn_detection {
            TurnDetectionFlag::Off => Value::Null,
            TurnDetectionFlag::Semantic => json!({ "type": "semantic_vad" }),
            TurnDetectionFlag::Silence => json!({
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": PREFIX_PADDING_MS,
                "silence_duration_ms": self.silence_ms,
            }),
        };
        let update = json!({
            "type": "session.update",
            "session": {
                "type": "transcription",
                "audio": { "input": {
                    "format": { "type": "audio/pcm", "rate": SAMPLE_RATE_HZ },
                    "transcription": transcription,
                    "turn_detection": turn_detection,
                } },
            },
        });
        Some(ClientMessage::Text(update.to_string()))
    }

    /// The message of a frame of audio.
    pub fn audio(&self, samples: &[i16]) -> ClientMessage {
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        match self.route {
            Route::Stream => ClientMessage::Binary(bytes),
            Route::Realtime => {
                let audio = BASE64_STANDARD.encode(bytes);
                let append = json!({ "type": "input_audio_buffer.append", "audio": audio });
                ClientMessage::Text(append.to_string())
            }
        }
    }

    /// The messages after the audio. On the realtime socket the commit ends an open turn, and the answer to the
    /// clear says that all audio has been processed.
    pub fn closing(&self) -> Vec<ClientMessage> {
        let texts = match self.route {
            Route::Stream => &[r#"{"type":"audio.done"}"#][..],
            Route::Realtime => &[
                r#"{"type":"input_audio_buffer.commit"}"#,
                r#"{"type":"input_audio_buffer.clear"}"#,
            ],
        };
        let message = |text: &&str| ClientMessage::Text((*text).to_owned());
        texts.iter().map(message).collect()
    }
}

impl MessageReader {
    /// A reader of a new session's messages.
    pub fn new(route: Route) -> Self {
        Self { route, turns: 0 }
    }

    /// The type of a message, and its event if it matters.
    pub fn read(&mut self, text: &str) -> (String, Option<LiveEvent>) {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(kind) = json["type"].as_str() else {
            return ("not an event".to_owned(), None);
        };
        let event = match self.route {
            Route::Realtime => realtime_event(kind, &json),
            Route::Stream => self.stream_event(kind, &json),
        };
        (kind.to_owned(), event)
    }

    fn stream_event(&mut self, kind: &str, json: &Value) -> Option<LiveEvent> {
        let text = text_at(&json["text"]);
        let item = self.turns.to_string();
        Some(match kind {
            "ready" => LiveEvent::Ready,
            "transcript.partial" => LiveEvent::Partial {
                item,
                committed: json["committed"].as_u64().unwrap_or_default() as usize,
                text,
            },
            "transcript.final" => {
                self.turns += 1;
                LiveEvent::Completed { item, text }
            }
            "error" => LiveEvent::Error {
                code: error_code(json),
                message: error_message(json),
            },
            _ => return None,
        })
    }
}

fn realtime_event(kind: &str, json: &Value) -> Option<LiveEvent> {
    const TRANSCRIPTION: &str = "conversation.item.input_audio_transcription.";
    let item = text_at(&json["item_id"]);
    let seconds = |name: &str| json[name].as_f64().unwrap_or_default() / 1e3;
    if let Some(kind) = kind.strip_prefix(TRANSCRIPTION) {
        return Some(match kind {
            "delta" => LiveEvent::Delta {
                item,
                text: text_at(&json["delta"]),
            },
            "completed" => LiveEvent::Completed {
                item,
                text: text_at(&json["transcript"]),
            },
            "failed" => LiveEvent::Failed {
                item,
                code: error_code(json),
                message: error_message(json),
            },
            _ => return None,
        });
    }
    Some(match kind {
        "session.updated" => LiveEvent::Ready,
        "input_audio_buffer.speech_started" => LiveEvent::SpeechStarted {
            item,
            audio_start_s: seconds("audio_start_ms"),
        },
        "input_audio_buffer.speech_stopped" => LiveEvent::SpeechStopped {
            item,
            audio_end_s: seconds("audio_end_ms"),
        },
        "input_audio_buffer.committed" => LiveEvent::Committed { item },
        "input_audio_buffer.cleared" => LiveEvent::Cleared,
        // The last turn has ended right before the feeder's commit.
        "error" if error_code(json) == "input_audio_buffer_commit_empty" => return None,
        "error" => LiveEvent::Error {
            code: error_code(json),
            message: error_message(json),
        },
        _ => return None,
    })
}

fn text_at(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The code of an error, or its type.
fn error_code(json: &Value) -> String {
    let error = &json["error"];
    let code = error["code"].as_str().filter(|code| !code.is_empty());
    let code = code.or_else(|| error["type"].as_str());
    code.unwrap_or("error").to_owned()
}

fn error_message(json: &Value) -> String {
    let message = json["error"]["message"].as_str();
    let message = message.or_else(|| json["message"].as_str());
    message
        .or_else(|| json["text"].as_str())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
