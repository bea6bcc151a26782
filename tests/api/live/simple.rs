//! The simple stream over a socket.

use std::time::Duration;

use halkspeech::live::{ItemId, SessionEvent, TurnDetection};
use halkspeech::session::{SessionCommand, SessionLink};
use serde_json::json;

use super::client::LiveClient;
use super::sessions::app_with_sessions;
use crate::helpers::{MODEL, within_timeout};

const STREAM: &str = "/v1/audio/transcriptions/stream";
const ONE: ItemId = ItemId(1);

fn completed(transcript: &str) -> SessionEvent {
    SessionEvent::Completed {
        item: ONE,
        transcript: transcript.to_owned(),
        audio: Duration::from_millis(200),
        language: None,
        logprobs: None,
    }
}

#[tokio::test]
async fn a_stream_has_partial_texts_and_one_final_text() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let path = format!("{STREAM}?model={MODEL}&language=en&chunk_ms=0");
    let mut client = LiveClient::connect(&app, &path).await;
    client.event("ready").await;
    // An odd byte is carried over.
    client.send_binary(vec![0; 3_201]).await;
    client.send_binary(vec![0; 3_199]).await;
    let mut session = sessions.next().await;
    assert_eq!(session.config.policy.turn_detection, TurnDetection::Off);
    session.samples(3_200).await;
    session
        .say([SessionEvent::Partial {
            item: ONE,
            committed: "one".to_owned(),
            tail: " two".to_owned(),
        }])
        .await;
    let partial = client.event("transcript.partial").await;
    assert_eq!(partial["text"], "one two");
    assert_eq!(partial["committed"], 3);
    assert_eq!(partial["audio_duration_ms"], 200);

    client.send(json!({ "type": "audio.done" })).await;
    assert!(matches!(session.command().await, SessionCommand::Finish));
    session.say([completed("One two.")]).await;
    drop(session);

    let last = client.event("transcript.final").await;
    assert_eq!(last["text"], "One two.");
    assert_eq!(client.closed().await, (1000, "done".to_owned()));
}

#[tokio::test]
async fn a_stream_with_turns_has_a_final_text_for_each() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, &format!("{STREAM}?enable_vad=true")).await;
    client.event("ready").await;
    client.send_binary(vec![0; 3_200]).await;
    let mut session = sessions.next().await;
    assert_eq!(
        session.config.policy.turn_detection,
        TurnDetection::default()
    );
    session.samples(1_600).await;
    session.say([completed("One."), completed("Two.")]).await;
    for text in ["One.", "Two."] {
        assert_eq!(client.event("transcript.final").await["text"], text);
    }
    client.send_binary(Vec::new()).await;
    assert!(matches!(session.command().await, SessionCommand::Finish));
    drop(session);
    assert_eq!(client.closed().await.0, 1000);
}

#[tokio::test]
async fn messages_after_the_end_are_ignored() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, STREAM).await;
    client.event("ready").await;
    client.send_binary(vec![0; 3_200]).await;
    client.send(json!({ "type": "audio.done" })).await;
    client.send_binary(vec![0; 3_200]).await;
    client.send(json!({ "type": "audio.done" })).await;
    let mut session = sessions.next().await;
    session.samples(1_600).await;
    assert!(matches!(session.command().await, SessionCommand::Finish));
    session.say([completed("One.")]).await;
    let SessionLink {
        mut commands,
        events,
    } = session.link;
    drop(events);
    // The socket has read all messages when it drops its side.
    let further = within_timeout(commands.recv()).await;
    assert!(further.is_none(), "{further:?}");

    assert_eq!(client.event("transcript.final").await["text"], "One.");
    assert_eq!(client.closed().await, (1000, "done".to_owned()));
}

#[tokio::test]
async fn an_end_without_audio_has_an_empty_final_text() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, STREAM).await;
    client.event("ready").await;
    client.send_text("x").await;
    client.event("error").await;
    client.send(json!({ "type": "audio.done" })).await;
    assert_eq!(client.event("transcript.final").await["text"], "");
    assert_eq!(client.closed().await.0, 1000);
}
