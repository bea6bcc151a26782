//! Connects to the sockets of a server's live sessions.

use std::time::Duration;

use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::config::Secret;

/// Longest time until a connection is upgraded.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a socket.
pub type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The sockets of live sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// OpenAI's realtime socket.
    Realtime,
    /// The simple stream.
    Stream,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// The status, or `connect`.
    pub kind: String,
    /// The server's message, or the network's error.
    pub message: String,
}

impl Route {
    /// The URL of the socket with this query; `transcriptions` is that of the server's transcriptions endpoint.
    #[must_use]
    pub fn url(self, transcriptions: &Url, query: &[(&str, &str)]) -> Url {
        let path = transcriptions.path().trim_end_matches('/');
        let prefix = path.strip_suffix("/audio/transcriptions");
        let prefix = prefix.or_else(|| path.strip_suffix("/audio/translations"));
        let prefix = prefix.unwrap_or(path);
        let path = match self {
            Self::Realtime => format!("{prefix}/realtime"),
            Self::Stream => format!("{prefix}/audio/transcriptions/stream"),
        };
        let mut url = transcriptions.clone();
        url.set_path(&path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let scheme = match url.scheme() {
            "https" => "wss",
            _ => "ws",
        };
        // Both are schemes of the web, between which a URL may change.
        let _changed = url.set_scheme(scheme);
        url
    }
}

/// Opens a connection; `key` is sent as `Authorization: Bearer`.
///
/// # Errors
/// [`ConnectError`] if the server cannot be reached or refuses the session.
pub async fn connect(url: &Url, key: Option<&Secret>) -> Result<WebSocket, ConnectError> {
    let mut request = url.as_str().into_client_request().map_err(refused)?;
    if let Some(key) = key {
        let value = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        let value = value.map_err(|_| ConnectError {
            kind: "connect".to_owned(),
            message: "the key contains characters that no header may have".to_owned(),
        })?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let connecting = tokio_tungstenite::connect_async(request);
    match time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(refused(error)),
        Err(_) => Err(ConnectError {
            kind: "connect".to_owned(),
            message: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }),
    }
}

fn refused(error: Error) -> ConnectError {
    match error {
        Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let message = json["error"]["message"].as_str();
            ConnectError {
                kind: response.status().as_u16().to_string(),
                message: message.unwrap_or("the session was refused").to_owned(),
            }
        }
        error => ConnectError {
            kind: "connect".to_owned(),
            message: error.to_string(),
        },
    }
}

/// The code of a close frame; 1005 if it has none.
#[must_use]
pub fn close_code(frame: Option<&tungstenite::protocol::CloseFrame>) -> u16 {
    frame.map_or(1005, |frame| frame.code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_beside_the_transcriptions() {
        for (server, route, expected) in [
            (
                "http://box:8000/v1/audio/transcriptions",
                Route::Realtime,
                "ws://box:8000/v1/realtime?model=whisper-1&a=1+2",
            ),
            (
                "https://box/asr/v1/audio/translations",
                Route::Stream,
                "wss://box/asr/v1/audio/transcriptions/stream?model=whisper-1&a=1+2",
            ),
        ] {
            let server = server.parse().unwrap();
            let url = route.url(&server, &[("model", "whisper-1"), ("a", "1 2")]);
            assert_eq!(url.as_str(), expected);
        }
    }
}
