//! What ends a connection.

use std::time::Duration;

use halkspeech::http::Phase;
use halkspeech::live::{ItemId, SessionEvent};
use halkspeech::session::SessionCommand;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::client::{LiveClient, append};
use super::sessions::app_with_sessions;
use super::{REALTIME, silence};
use crate::helpers::{TestApp, until};

const ONE: ItemId = ItemId(1);

async fn until_closed_with(app: &TestApp, code: &str) {
    let line = format!("halkspeech_live_closed_total{{code=\"{code}\"}} 1\n");
    until(|| app.metrics.encode().contains(&line)).await;
    let none_open = "halkspeech_live_sessions{protocol=\"realtime\"} 0\n";
    assert!(app.metrics.encode().contains(none_open));
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_its_session() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.send(append(&silence(4_800))).await;
    let mut session = sessions.next().await;
    session.chunk().await;

    drop(client);

    while session.link.commands.recv().await.is_some() {}
    session.link.events.closed().await;
    until_closed_with(&app, "client").await;
}

#[tokio::test]
async fn a_client_that_closes_gets_its_close_frame_back() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.socket.close(None).await.unwrap();
    until_closed_with(&app, "client").await;
}

#[tokio::test]
async fn the_turn_is_completed_at_the_drain() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client.send(append(&silence(4_800))).await;
    let mut session = sessions.next().await;
    session.chunk().await;

    app.phase.send_replace(Phase::Draining);
    let stopped = app.stop();

    assert!(matches!(
        session.until_other_than_audio().await,
        SessionCommand::Finish
    ));
    session
        .say([SessionEvent::Completed {
            item: ONE,
            transcript: "last".to_owned(),
            audio: Duration::from_millis(200),
            language: None,
            logprobs: None,
        }])
        .await;
    assert!(!stopped.is_finished());
    drop(session);
    let completed = client.message().await;
    assert_eq!(completed["transcript"], "last");
    let (code, reason) = client.closed().await;
    assert_eq!((code, &*reason), (1001, "server is shutting down"));
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_that_does_not_finish_is_cut_off() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.send(append(&silence(4_800))).await;
    let session = sessions.next().await;
    app.phase.send_replace(Phase::Draining);
    app.phase.send_replace(Phase::CutOff);
    assert_eq!(client.closed().await.0, 1001);
    session.link.events.closed().await;
}

#[tokio::test]
async fn a_session_that_ends_by_itself_has_failed() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client.send(append(&silence(4_800))).await;
    drop(sessions.next().await);
    let error = client.event("error").await;
    assert_eq!(error["error"]["type"], "server_error");
    assert_eq!(client.closed().await, (1011, "session failed".to_owned()));
    until_closed_with(&app, "1011").await;
}

#[tokio::test]
async fn binary_messages_and_long_ones_end_the_connection() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.send_binary(vec![0; 2]).await;
    assert_eq!(client.closed().await.0, 1003);

    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.send_text(&" ".repeat((16 << 20) + 1)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn a_message_of_15_mib_of_audio_is_taken() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    let bytes = 15 * (1 << 20) / 4 * 3;
    let send = client.send(append(&vec![0; bytes]));
    let count = async {
        let mut session = sessions.next().await;
        session.samples(bytes / 2 * 2 / 3 - 16_000).await.len()
    };
    let ((), samples) = tokio::join!(send, count);
    assert!(samples > 3_000_000);
}

#[tokio::test]
async fn text_that_is_not_utf8_and_broken_frames_have_their_codes() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    for (opcode, payload, code) in [(0x81, 0xff, 1007), (0xf1, b'x', 1002)] {
        let mut client = LiveClient::connect(&app, REALTIME).await;
        client.event("session.created").await;
        // A frame of one byte, masked with zeros, past the client's own checks.
        let frame = [opcode, 0x81, 0, 0, 0, 0, payload];
        let tokio_tungstenite::MaybeTlsStream::Plain(stream) = client.socket.get_mut() else {
            panic!("no plain stream");
        };
        tokio::io::AsyncWriteExt::write_all(stream, &frame)
            .await
            .unwrap();
        assert_eq!(client.closed().await.0, code);
    }
}

#[tokio::test]
async fn an_idle_client_is_pinged_and_then_closed() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;

    // From here on, time passes as soon as all tasks wait.
    tokio::time::pause();

    let mut pings = 0;
    let close = loop {
        match futures_util::StreamExt::next(&mut client.socket).await {
            Some(Ok(Message::Ping(_))) => pings += 1,
            Some(Ok(Message::Close(Some(frame)))) => break frame,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(close.code), 1000);
    assert_eq!(close.reason.as_str(), "no message for 5 minutes");
    assert!(pings >= 10, "{pings}");
}

#[tokio::test]
async fn a_session_expires_after_an_hour() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client.send(append(&silence(4_800))).await;
    let mut session = sessions.next().await;
    session.chunk().await;

    tokio::time::pause();
    for _ in 0..14 {
        tokio::time::advance(Duration::from_secs(4 * 60)).await;
        client.send(json!({ "type": "unknown" })).await;
        client.event("error").await;
    }
    tokio::time::advance(Duration::from_secs(4 * 60)).await;

    assert!(matches!(
        session.until_other_than_audio().await,
        SessionCommand::Finish
    ));
    drop(session);
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "session_expired");
    assert_eq!(client.closed().await, (1001, "session expired".to_owned()));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.send(append(&silence(4_800))).await;
    let session = sessions.next().await;
    let text = "x".repeat(100_000);
    let flood = async {
        loop {
            let delta = SessionEvent::Delta {
                item: ONE,
                text: text.clone(),
            };
            if session.link.events.send(delta).await.is_err() {
                return;
            }
        }
    };
    let (mut sent, mut flood) = (0, Box::pin(flood));
    // The buffers of both sides fill.
    while sent < 1_000 {
        let _pending = futures_util::poll!(&mut flood);
        tokio::task::yield_now().await;
        sent += 1;
    }
    tokio::time::pause();

    flood.await;
    tokio::time::resume();

    let reason = "events were not read for 10 seconds".to_owned();
    assert_eq!(client.closed().await, (1008, reason));
    until_closed_with(&app, "1008").await;
}
