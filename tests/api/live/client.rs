//! A client of a socket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::helpers::TestApp;

pub struct LiveClient {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The answer to the upgrade.
    pub response: Response<Option<Vec<u8>>>,
}

/// A refused upgrade.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub error: Value,
    pub retry_after: Option<String>,
}

impl LiveClient {
    pub async fn connect(app: &TestApp, path: &str) -> Self {
        Self::connect_with(app, path, &[]).await.unwrap()
    }

    pub async fn connect_with(
        app: &TestApp,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let url = format!("ws://{}{path}", app.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_static(name);
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, response)) => Ok(Self { socket, response }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                let retry_after = response.headers().get("retry-after");
                Err(Refused {
                    status: response.status().as_u16(),
                    error: body["error"].clone(),
                    retry_after: retry_after.map(|value| value.to_str().unwrap().to_owned()),
                })
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn send(&mut self, event: Value) {
        self.send_text(&event.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next text message.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next event, which is of this type.
    #[track_caller]
    pub fn event(&mut self, kind: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let event = self.message().await;
            assert_eq!(event["type"], kind, "{event} at {at}");
            event
        }
    }

    /// The code and the reason with which the server closes; skips other messages.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn append(bytes: &[u8]) -> Value {
    json!({ "type": "input_audio_buffer.append", "audio": base64(bytes) })
}
