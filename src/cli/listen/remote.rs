//! A session of a server, over its simple stream.

use anyhow::{anyhow, bail};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::display::TextUpdate;
use super::flags::{ListenDelay, ListenFlags};
use super::microphone::Microphone;
use super::{Screen, microphone};
use crate::cli::bench::target;
use crate::cli::server_key;
use crate::cli::web_socket::{self, Route, WebSocket};

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Received {
    /// The server takes audio.
    Ready,
    /// The text has changed.
    Update(TextUpdate),
    /// The server reports an error.
    Error(String),
    /// A message of a later version.
    Other,
}

/// Writes what is recorded until the audio ends.
pub async fn listen(flags: &ListenFlags, server: &Url, screen: Screen) -> anyhow::Result<()> {
    let common = &flags.common;
    let key = server_key::find(
        server,
        flags.api_key_file.as_deref(),
        common.config.as_deref(),
    )?;
    let mut microphone = microphone(flags)?;
    let query = query(flags, microphone.rate_hz());
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let url = Route::Stream.url(&target::endpoint(server), &query);
    let socket = web_socket::connect(&url, key.as_ref()).await;
    let socket = socket.map_err(|error| anyhow!("no session at {server}: {error}"))?;
    let (sink, stream) = socket.split();
    let sending = send(sink, &mut microphone);
    let receiving = receive(stream, screen);
    let (sent, received) = tokio::join!(sending, receiving);
    // A session that the server ended is why no more could be sent.
    received.and(sent)
}

fn query(flags: &ListenFlags, rate_hz: u32) -> Vec<(&'static str, String)> {
    let chunk_ms = match flags.delay {
        ListenDelay::Minimal => "300",
        ListenDelay::Low => "600",
        ListenDelay::Medium => "1000",
        ListenDelay::High => "2000",
    };
    let mut query = vec![
        ("sample_rate", rate_hz.to_string()),
        ("enable_vad", "true".to_owned()),
        ("chunk_ms", chunk_ms.to_owned()),
        (
            "model",
            flags.model.clone().unwrap_or("whisper-1".to_owned()),
        ),
    ];
    let language = flags.language.map(|language| language.code().to_owned());
    query.extend(language.map(|language| ("language", language)));
    query.extend(flags.prompt.clone().map(|prompt| ("prompt", prompt)));
    query
}

async fn send(
    mut sink: SplitSink<WebSocket, Message>,
    microphone: &mut Microphone,
) -> anyhow::Result<()> {
    while let Some(bytes) = microphone.next().await? {
        if sink.send(Message::binary(bytes)).await.is_err() {
            bail!("the server ended the session");
        }
    }
    // If the connection is broken, the receiver says so.
    let _broken = sink.send(Message::text(r#"{"type":"audio.done"}"#)).await;
    Ok(())
}

async fn receive(mut stream: SplitStream<WebSocket>, mut screen: Screen) -> anyhow::Result<()> {
    let mut error = None;
    while let Some(message) = stream.next().await {
        match message? {
            Message::Text(text) => match read(&text) {
                Received::Update(update) => screen.show(&update)?,
                Received::Error(message) => error = Some(message),
                Received::Ready | Received::Other => {}
            },
            Message::Close(frame) => {
                let code = web_socket::close_code(frame.as_ref());
                return match error {
                    Some(error) => bail!("the server says: {error}"),
                    None if code == 1000 => Ok(()),
                    None => bail!("the server closed the session with {code}"),
                };
            }
            _ => {}
        }
    }
    bail!("the connection broke")
}

fn read(text: &str) -> Received {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let text = json["text"].as_str().unwrap_or_default();
    match json["type"].as_str() {
        Some("ready") => Received::Ready,
        Some("transcript.partial") => {
            let committed = json["committed"].as_u64().unwrap_or_default() as usize;
            let split = text
                .char_indices()
                .nth(committed)
                .map_or(text.len(), |(at, _)| at);
            let (committed, tail) = text.split_at(split);
            Received::Update(TextUpdate::Partial {
                committed: committed.to_owned(),
                tail: tail.to_owned(),
            })
        }
        Some("transcript.final") => Received::Update(TextUpdate::Final(text.to_owned())),
        Some("error") => Received::Error(text.to_owned()),
        _ => Received::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_messages_of_the_simple_stream() {
        let partial = |committed: &str, tail: &str| {
            Received::Update(TextUpdate::Partial {
                committed: committed.to_owned(),
                tail: tail.to_owned(),
            })
        };
        for (text, expected) in [
            (r#"{"type":"ready","text":""}"#, Received::Ready),
            (
                r#"{"type":"transcript.partial","text":"İşte bu","committed":4}"#,
                partial("İşte", " bu"),
            ),
            (
                r#"{"type":"transcript.partial","text":"İşte"}"#,
                partial("", "İşte"),
            ),
            (
                r#"{"type":"transcript.partial","text":"a","committed":9}"#,
                partial("a", ""),
            ),
            (
                r#"{"type":"transcript.final","text":"İşte bu."}"#,
                Received::Update(TextUpdate::Final("İşte bu.".to_owned())),
            ),
            (
                r#"{"type":"error","text":"no"}"#,
                Received::Error("no".to_owned()),
            ),
            ("<html>", Received::Other),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
