//! Connections on a server whose sessions are scripted.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::live::{ItemId, SessionEvent, TurnError};
use crate::models::{DefaultModel, Store, test_files};
use crate::session::{SessionCommand, SessionConfig, SessionHandle, SessionLink, connect};
use crate::transcribe::TranscribeError;
use halkspeech_whisper::Language;

/// Opens sessions that answer a commit as the script says.
struct Scripted {
    script: Script,
    opened: Mutex<Vec<SessionConfig>>,
    /// Samples of each ended session.
    samples: Arc<Mutex<Vec<usize>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Script {
    Transcribe,
    Fail,
    End,
}

impl OpenSession for Scripted {
    fn open(
        &self,
        _: Caller,
        config: SessionConfig,
    ) -> BoxFuture<'_, Result<SessionHandle, TranscribeError>> {
        self.opened.lock().unwrap().push(config);
        let (handle, link) = connect();
        tokio::spawn(run(self.script, link, Arc::clone(&self.samples)));
        Box::pin(async { Ok(handle) })
    }
}

async fn run(script: Script, mut link: SessionLink, samples: Arc<Mutex<Vec<usize>>>) {
    let item = ItemId(1);
    let mut count = 0;
    while let Some(command) = link.commands.recv().await {
        let events = match command {
            SessionCommand::Audio(chunk) => {
                let is_first = count == 0;
                count += chunk.pcm.len();
                let text = "Merhaba".to_owned();
                is_first
                    .then_some(SessionEvent::Delta { item, text })
                    .into_iter()
                    .collect()
            }
            SessionCommand::Commit => match script {
                Script::End => return,
                Script::Fail => vec![SessionEvent::Failed {
                    item,
                    error: TurnError::Engine("/home/secret".to_owned()),
                }],
                Script::Transcribe => vec![
                    SessionEvent::Committed {
                        item,
                        previous: None,
                    },
                    SessionEvent::Delta {
                        item,
                        text: " dünya.".to_owned(),
                    },
                    SessionEvent::Completed {
                        item,
                        transcript: " Merhaba dünya.".to_owned(),
                        audio: Duration::from_secs(1),
                        language: Language::parse("tr"),
                        logprobs: None,
                    },
                ],
            },
            SessionCommand::Finish => break,
            SessionCommand::Configure(_) | SessionCommand::Clear => Vec::new(),
        };
        for event in events {
            let _gone = link.events.send(event).await;
        }
    }
    samples.lock().unwrap().push(count);
}

/// A running server; it stops when it is dropped.
struct TestServer {
    address: SocketAddr,
    sessions: Arc<Scripted>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
    _models: tempfile::TempDir,
}

async fn serve_with(script: Script, places: usize) -> TestServer {
    let models = tempfile::tempdir().unwrap();
    for name in ["alpha", "base"] {
        test_files::lay_out(&models.path().join(name), &test_files::Fixture::default());
    }
    let store = Store::new(models.path().to_owned(), models.path().join("none"));
    let base = ModelId::parse("base").unwrap();
    let sessions = Arc::new(Scripted {
        script,
        opened: Mutex::default(),
        samples: Arc::default(),
    });
    let left = AtomicUsize::new(places);
    let take_place = move |_: Caller| {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        taken.is_ok().then(|| -> Box<dyn Send> { Box::new(()) })
    };
    let server = WyomingServer {
        sessions: Arc::clone(&sessions) as Arc<dyn OpenSession>,
        take_place: Box::new(take_place),
        catalog: Arc::new(Catalog::open(store)),
        aliases: Aliases::new(DefaultModel::Configured(base), []),
        default_options: Box::new(|_| TranscriptionOptions::default()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopping = async {
        let _dropped = stopped.await;
    };
    TestServer {
        address,
        sessions,
        stop: Some(stop),
        task: tokio::spawn(serve(listener, Arc::new(server), stopping)),
        _models: models,
    }
}

fn event(kind: &str, data: &Value, payload: &[u8]) -> Vec<u8> {
    let header = json!({ "type": kind, "data": data, "payload_length": payload.len() });
    let mut bytes = format!("{header}\n").into_bytes();
    bytes.extend(payload);
    bytes
}

fn samples(count: usize) -> Vec<u8> {
    let format = json!({ "rate": 16_000, "width": 2, "channels": 1, "timestamp": null });
    event("audio-chunk", &format, &vec![0; count * 2])
}

fn start() -> Vec<u8> {
    event(
        "audio-start",
        &json!({ "rate": 16_000, "width": 2, "channels": 1 }),
        &[],
    )
}

fn stop() -> Vec<u8> {
    event("audio-stop", &json!({}), &[])
}

/// Sends `bytes`, says that no more follow, and reads the events of the answer: types and data.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<(String, Value)> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A server that closes while it is sent more resets the connection.
    let _reset = async {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await
    }
    .await;
    parsed(&answer)
}

fn parsed(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let header: Value = serde_json::from_slice(&bytes[..end]).unwrap();
        let length = header["data_length"].as_u64().unwrap_or_default() as usize;
        let data = &bytes[end + 1..][..length];
        let data = if data.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(data).unwrap()
        };
        events.push((header["type"].as_str().unwrap().to_owned(), data));
        bytes = &bytes[end + 1 + length..];
    }
    events
}

fn kinds(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(kind, _)| kind.as_str()).collect()
}

const TRANSCRIPT: [&str; 5] = [
    "transcript-start",
    "transcript-chunk",
    "transcript-chunk",
    "transcript",
    "transcript-stop",
];

#[tokio::test]
async fn describes_the_models_with_the_default_one_first() {
    let server = serve_with(Script::Transcribe, 1).await;

    let events = exchange(server.address, &event("describe", &json!({}), &[])).await;

    let [(kind, info)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(kind, "info");
    let program = &info["asr"][0];
    assert_eq!(program["supports_transcript_streaming"], true);
    let models = program["models"].as_array().unwrap();
    let names: Vec<_> = models.iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["base", "alpha"]);
    // The fixture's vocabulary is that of an English-only model.
    assert_eq!(models[0]["languages"], json!(["en"]));
    assert_eq!(models[0]["installed"], true);
}

#[tokio::test]
async fn an_utterance_is_a_session_of_one_turn() {
    let server = serve_with(Script::Transcribe, 1).await;
    let request = json!({ "name": "alpha", "language": "en", "transcript_names": ["Ayşe"] });
    let request = event("transcribe", &request, &[]);

    let bytes = [request, start(), samples(8_000), samples(321), stop()].concat();
    let events = exchange(server.address, &bytes).await;

    assert_eq!(kinds(&events), TRANSCRIPT);
    assert_eq!(events[1].1, json!({ "text": "Merhaba" }));
    assert_eq!(
        events[3].1,
        json!({ "text": "Merhaba dünya.", "language": "tr" })
    );
    let opened = server.sessions.opened.lock().unwrap();
    let [config] = &opened[..] else {
        panic!("{opened:?}");
    };
    assert_eq!(config.model.as_str(), "alpha");
    assert_eq!(config.transcription.language, Some(Language::ENGLISH));
    assert_eq!(config.transcription.hotwords.as_deref(), Some("Ayşe"));
    assert_eq!(
        config.policy.turn_detection,
        crate::live::TurnDetection::Off
    );
    assert_eq!(*server.sessions.samples.lock().unwrap(), [8_321]);
}

#[tokio::test]
async fn a_connection_has_any_number_of_utterances() {
    let server = serve_with(Script::Transcribe, 2).await;
    let utterance = [start(), samples(100), stop()].concat();
    let ping = event("ping", &json!({ "text": "x" }), &[]);
    let silent = [start(), stop()].concat();

    let bytes = [utterance.clone(), ping, silent, utterance].concat();
    let events = exchange(server.address, &bytes).await;

    let silence = [
        "transcript-start",
        "transcript-chunk",
        "transcript",
        "transcript-stop",
    ];
    let expected = [&TRANSCRIPT[..], &["pong"], &silence, &TRANSCRIPT].concat();
    assert_eq!(kinds(&events), expected);
    assert_eq!(events[8].1, json!({ "text": "" }));
}

#[tokio::test]
async fn a_page_that_posts_is_told_nothing() {
    let server = serve_with(Script::Transcribe, 1).await;
    let mut bytes = b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    bytes.extend([start(), samples(100), stop()].concat());

    let events = exchange(server.address, &bytes).await;

    assert_eq!(events, []);
    assert!(server.sessions.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_error_names_its_reason_and_closes() {
    let utterance = || [start(), samples(100), stop()].concat();
    let other_format = json!({ "rate": 8_000, "width": 2, "channels": 1 });
    let other_format = event("audio-chunk", &other_format, &[0; 4]);
    let klingon = event("transcribe", &json!({ "language": "klingon" }), &[]);
    let unknown = event("transcribe", &json!({ "name": "a/b/c" }), &[]);
    for (script, places, bytes, code) in [
        (
            Script::Transcribe,
            1,
            [start(), b"x\n".to_vec()].concat(),
            "not_an_event",
        ),
        (
            Script::Transcribe,
            1,
            [klingon, utterance()].concat(),
            "invalid_value",
        ),
        (
            Script::Transcribe,
            1,
            [unknown, utterance()].concat(),
            "model_not_found",
        ),
        (
            Script::Transcribe,
            1,
            [start(), other_format].concat(),
            "invalid_value",
        ),
        (Script::Transcribe, 0, utterance(), "too_many_sessions"),
        (Script::Fail, 1, utterance(), "server_error"),
        (Script::End, 1, utterance(), "server_error"),
    ] {
        let server = serve_with(script, places).await;

        let events = exchange(server.address, &bytes).await;

        let (kind, data) = events.last().unwrap();
        assert_eq!(
            (kind.as_str(), data["code"].as_str()),
            ("error", Some(code)),
            "{data}"
        );
        assert!(!data["text"].as_str().unwrap().contains("secret"), "{data}");
    }
}

#[tokio::test]
async fn a_client_that_sends_all_its_audio_first_gets_the_error() {
    let server = serve_with(Script::Transcribe, 0).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(&[start(), samples(100)].concat())
        .await
        .unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();

    // More than the buffers of a connection hold.
    for _ in 0..32 {
        stream.write_all(&samples(500_000)).await.unwrap();
    }
    stream.write_all(&stop()).await.unwrap();

    let mut answer = first.to_vec();
    stream.read_to_end(&mut answer).await.unwrap();
    let events = parsed(&answer);
    assert_eq!(events[0].1["code"], "too_many_sessions", "{events:?}");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_session() {
    let server = serve_with(Script::Transcribe, 1).await;

    let events = exchange(server.address, &[start(), samples(100)].concat()).await;

    // The session has written a delta at most; its end is that of its commands.
    assert!(!kinds(&events).contains(&"transcript"), "{events:?}");
    let samples = Arc::clone(&server.sessions.samples);
    drop(server.stop);
    server.task.await.unwrap();
    while samples.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_the_server_waits_for_an_utterance_and_for_no_idle_client() {
    let server = serve_with(Script::Transcribe, 1).await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(&[start(), samples(100)].concat())
        .await
        .unwrap();
    let mut first = [0; 1];
    // The first delta: the utterance runs.
    stream.read_exact(&mut first).await.unwrap();

    drop(server.stop);
    stream.write_all(&stop()).await.unwrap();
    let mut answer = first.to_vec();
    stream.read_to_end(&mut answer).await.unwrap();

    assert_eq!(kinds(&parsed(&answer)), TRANSCRIPT);
    server.task.await.unwrap();
}
