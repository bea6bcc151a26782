//! Sessions on a test server with scripted events.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message as ServerMessage, WebSocket as ServerSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::cli::bench::live::protocol::TurnDetectionFlag;

/// What a test server does, and what it has received.
struct Server {
    script: Script,
    head: Mutex<Option<(String, Option<String>)>>,
    audio: Mutex<Vec<u8>>,
    texts: Mutex<Vec<Value>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Script {
    /// A turn that ends with the commit.
    Realtime,
    /// A turn that ends with the audio.
    Stream,
    /// No session.
    Refuse,
    /// A close frame with the first audio.
    Break,
    /// No final text.
    Silent,
}

async fn serve(script: Script) -> (Arc<Server>, SocketAddr) {
    let server = Arc::new(Server {
        script,
        head: Mutex::default(),
        audio: Mutex::default(),
        texts: Mutex::default(),
    });
    let router = Router::new()
        .route("/v1/realtime", get(open))
        .route("/v1/audio/transcriptions/stream", get(open))
        .with_state(Arc::clone(&server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    (server, address)
}

async fn open(
    State(server): State<Arc<Server>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let key = headers.get("authorization");
    let key = key.map(|key| key.to_str().unwrap().to_owned());
    *server.head.lock().unwrap() = Some((uri.to_string(), key));
    if server.script == Script::Refuse {
        let error = json!({ "error": { "message": "Too many sessions." } });
        return (StatusCode::TOO_MANY_REQUESTS, error.to_string()).into_response();
    }
    upgrade.on_upgrade(move |socket| run(server, socket))
}

async fn run(server: Arc<Server>, mut socket: ServerSocket) {
    if server.script == Script::Stream {
        send(&mut socket, &[json!({ "type": "ready" })]).await;
    }
    while let Some(Ok(message)) = socket.recv().await {
        let events = match message {
            ServerMessage::Binary(bytes) => {
                server.audio.lock().unwrap().extend(bytes);
                vec![json!({ "type": "transcript.partial", "text": "a b", "committed": 1 })]
            }
            ServerMessage::Text(text) => {
                let json: Value = serde_json::from_str(&text).unwrap();
                let events = answer(&server, &json);
                server.texts.lock().unwrap().push(json);
                events
            }
            _ => Vec::new(),
        };
        let is_first_audio = !server.audio.lock().unwrap().is_empty();
        if server.script == Script::Break && is_first_audio {
            let frame = CloseFrame {
                code: 1011,
                reason: "engine".into(),
            };
            let _gone = socket.send(ServerMessage::Close(Some(frame))).await;
            return;
        }
        let is_over = events
            .iter()
            .any(|event| event["type"] == "transcript.final");
        send(&mut socket, &events).await;
        if is_over {
            let frame = CloseFrame {
                code: 1000,
                reason: "".into(),
            };
            socket
                .send(ServerMessage::Close(Some(frame)))
                .await
                .unwrap();
        }
    }
}

/// The events that follow a text.
fn answer(server: &Server, json: &Value) -> Vec<Value> {
    const TRANSCRIPTION: &str = "conversation.item.input_audio_transcription";
    match json["type"].as_str().unwrap() {
        "session.update" => vec![json!({ "type": "session.updated" })],
        "input_audio_buffer.append" => {
            let audio = json["audio"].as_str().unwrap();
            let bytes = BASE64_STANDARD.decode(audio).unwrap();
            server.audio.lock().unwrap().extend(bytes);
            Vec::new()
        }
        "input_audio_buffer.commit" if server.script == Script::Realtime => vec![
            json!({ "type": format!("{TRANSCRIPTION}.delta"), "item_id": "i", "delta": "a" }),
            json!({ "type": "input_audio_buffer.committed", "item_id": "i" }),
        ],
        "input_audio_buffer.clear" if server.script == Script::Realtime => vec![
            json!({ "type": "input_audio_buffer.cleared" }),
            json!({ "type": "rate_limits.updated" }),
            json!({ "type": format!("{TRANSCRIPTION}.completed"), "item_id": "i", "transcript": "a" }),
        ],
        "audio.done" => vec![json!({ "type": "transcript.final", "text": "a b." })],
        _ => Vec::new(),
    }
}

async fn send(socket: &mut ServerSocket, events: &[Value]) {
    for event in events {
        let text = ServerMessage::Text(event.to_string().into());
        // The client may have gone.
        let _gone = socket.send(text).await;
    }
}

async fn play(address: SocketAddr, route: Route, timeout: Duration) -> SessionRecord {
    let player = Player {
        transcriptions: format!("http://{address}/v1/audio/transcriptions")
            .parse()
            .unwrap(),
        key: Some(Secret::new("k")),
        setup: SessionSetup {
            route,
            model: "base".to_owned(),
            delay: None,
            turn_detection: TurnDetectionFlag::Silence,
            silence_ms: 500,
        },
        frame: Duration::from_millis(20),
        timeout,
    };
    let track = Track {
        clip: 3,
        language: Some("tr"),
        lead: Duration::from_millis(5),
        pcm: &[7; 800],
        tail: Duration::from_millis(10),
    };
    player.play(&track).await
}

const MINUTE: Duration = Duration::from_secs(60);

/// 5 ms of silence, the clip, 10 ms of silence.
fn audio() -> Vec<u8> {
    let samples = [vec![0_i16; 80], vec![7; 800], vec![0; 160]].concat();
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}

fn count(record: &SessionRecord, kind: &str) -> u64 {
    record.event_counts.get(kind).copied().unwrap_or_default()
}

#[tokio::test]
async fn plays_a_turn_over_the_realtime_socket() {
    let (server, address) = serve(Script::Realtime).await;

    let record = play(address, Route::Realtime, MINUTE).await;

    assert_eq!(record.failure, None);
    assert_eq!(
        (record.clip, record.lead_s, record.close_code),
        (3, 0.005, Some(1000))
    );
    let events: Vec<_> = record
        .events
        .iter()
        .map(|(_, event)| event.clone())
        .collect();
    let (item, text) = (|| "i".to_owned(), || "a".to_owned());
    let expected = [
        LiveEvent::Delta {
            item: item(),
            text: text(),
        },
        LiveEvent::Committed { item: item() },
        LiveEvent::Cleared,
        LiveEvent::Completed {
            item: item(),
            text: text(),
        },
    ];
    assert_eq!(events, expected);
    assert_eq!(count(&record, "rate_limits.updated"), 1);
    assert_eq!(count(&record, "session.updated"), 1);
    // The frames are sent when they have been spoken.
    assert!(record.events[0].0 >= 0.065, "{record:?}");
    assert!(*server.audio.lock().unwrap() == audio());
    let head = server.head.lock().unwrap().clone().unwrap();
    assert_eq!(head.0, "/v1/realtime?model=base&intent=transcription");
    assert_eq!(head.1.as_deref(), Some("Bearer k"));
    let texts = server.texts.lock().unwrap();
    assert_eq!(texts[0]["type"], "session.update");
    // 65 ms are four frames of 20 ms.
    assert_eq!(texts.len(), 1 + 4 + 2);
}

#[tokio::test]
async fn plays_a_turn_over_the_simple_stream() {
    let (server, address) = serve(Script::Stream).await;

    let record = play(address, Route::Stream, MINUTE).await;

    assert_eq!(
        (record.failure.clone(), record.close_code),
        (None, Some(1000))
    );
    assert_eq!(count(&record, "transcript.partial"), 4);
    assert_eq!(record.events.len(), 5);
    assert!(*server.audio.lock().unwrap() == audio());
    let head = server.head.lock().unwrap().clone().unwrap();
    assert!(
        head.0
            .ends_with("/stream?model=base&language=tr&sample_rate=16000&enable_vad=true")
    );
}

#[tokio::test]
async fn says_why_a_session_failed() {
    let moment = Duration::from_millis(50);
    let timed_out = "a text was missing when the timeout passed";
    for (script, timeout, kind, message) in [
        (Script::Refuse, MINUTE, "429", "Too many sessions."),
        (Script::Break, MINUTE, "close 1011", "engine"),
        (Script::Silent, moment, "timeout", timed_out),
    ] {
        let (_server, address) = serve(script).await;

        let record = play(address, Route::Realtime, timeout).await;

        let expected = Some((kind.to_owned(), message.to_owned()));
        assert_eq!(record.failure, expected);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let record = play(address, Route::Stream, MINUTE).await;
    assert_eq!(record.failure.unwrap().0, "connect");
}
