//! Connections on a server whose sessions are scripted.

mod server;

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
use server::*;

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
