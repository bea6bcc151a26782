//! Live sessions over real sockets; the tests play the session behind them.

mod client;
mod sessions;
mod connecting;
mod secrets;
mod endings;
mod simple;
mod engine;

use std::time::Duration;

use halkspeech::live::{Delay, ItemId, SessionEvent, TurnDetection, TurnError};
use halkspeech::session::SessionCommand;
use serde_json::{Value, json};

use crate::helpers::{MODEL, MULTILINGUAL};
use client::{LiveClient, append, base64};
use sessions::app_with_sessions;

pub const REALTIME: &str = "/v1/realtime";

const ONE: ItemId = ItemId(1);

fn update(input: Value) -> Value {
    let audio = Value::Object([("input".to_owned(), input)].into_iter().collect());
    json!({ "type": "session.update", "session": { "audio": audio } })
}

/// Samples of silence as a client sends them.
fn silence(samples: usize) -> Vec<u8> {
    vec![0; samples * 2]
}

#[tokio::test]
async fn a_turn_goes_through_the_socket() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    let created = client.event("session.created").await;
    assert_eq!(
        created["session"]["object"],
        "realtime.transcription_session"
    );
    client
        .send(update(json!({
            "format": { "type": "audio/pcm", "rate": 16000 },
            "transcription": { "model": "whisper-1", "language": "en", "keywords": ["Halk", "a b"], "delay": "low" },
        })))
        .await;
    client.event("session.updated").await;
    client.send(append(&silence(1_600))).await;

    let mut session = sessions.next().await;
    assert_eq!(session.config.model.as_str(), MODEL);
    let transcription = &session.config.transcription;
    assert_eq!(transcription.language.unwrap().code(), "en");
    assert_eq!(transcription.hotwords.as_deref(), Some("Halk, a b"));
    assert_eq!(session.config.policy.delay, Delay::Low);
    assert_eq!(
        session.config.policy.turn_detection,
        TurnDetection::default()
    );
    assert_eq!(session.samples(1_600).await, vec![0.0; 1_600]);
    session
        .say([
            SessionEvent::SpeechStarted {
                item: ONE,
                audio_start: Duration::ZERO,
            },
            SessionEvent::Delta {
                item: ONE,
                text: "Hi".to_owned(),
            },
            SessionEvent::SpeechStopped {
                item: ONE,
                audio_end: Duration::from_millis(100),
            },
            SessionEvent::Committed {
                item: ONE,
                previous: None,
            },
            SessionEvent::Completed {
                item: ONE,
                transcript: "Hi.".to_owned(),
                audio: Duration::from_millis(100),
                language: None,
                logprobs: None,
            },
        ])
        .await;

    client.event("input_audio_buffer.speech_started").await;
    let delta = client
        .event("conversation.item.input_audio_transcription.delta")
        .await;
    assert_eq!(delta["delta"], "Hi");
    client.event("input_audio_buffer.speech_stopped").await;
    client.event("input_audio_buffer.committed").await;
    client.event("conversation.item.added").await;
    client.event("conversation.item.done").await;
    let completed = client
        .event("conversation.item.input_audio_transcription.completed")
        .await;
    assert_eq!(completed["transcript"], "Hi.");
    let metrics = app.metrics.encode();
    for line in [
        "halkspeech_live_sessions{protocol=\"realtime\"} 1",
        "halkspeech_live_audio_seconds_total 0.1",
        "halkspeech_live_final_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn commits_and_clears_come_in_order_with_all_audio_before_them() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client
        .send(json!({ "type": "input_audio_buffer.clear" }))
        .await;
    client.event("input_audio_buffer.cleared").await;
    client
        .send(json!({ "type": "input_audio_buffer.commit", "event_id": "e" }))
        .await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "input_audio_buffer_commit_empty");
    assert_eq!(error["error"]["event_id"], "e");

    client.send(update(json!({ "turn_detection": null }))).await;
    client.event("session.updated").await;
    // 24 kHz, in odd pieces: a second becomes 16,000 samples by the time of the commit.
    let bytes = silence(24_000);
    for piece in bytes.chunks(4_801) {
        client.send(append(piece)).await;
    }
    client
        .send(json!({ "type": "input_audio_buffer.commit" }))
        .await;
    let mut session = sessions.next().await;
    assert_eq!(session.config.policy.turn_detection, TurnDetection::Off);
    session.samples(16_000).await;
    assert!(matches!(session.command().await, SessionCommand::Commit));
    client
        .send(json!({ "type": "input_audio_buffer.commit" }))
        .await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "input_audio_buffer_commit_empty");

    client.send(append(&silence(24_000))).await;
    client
        .send(json!({ "type": "input_audio_buffer.clear" }))
        .await;
    session.until_other_than_audio().await;
    session.say([SessionEvent::Cleared]).await;
    client.event("input_audio_buffer.cleared").await;
}

#[tokio::test]
async fn a_broken_event_changes_nothing() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    for (event, param) in [
        (json!({ "type": "response.create" }), "type"),
        (
            json!({ "type": "input_audio_buffer.append", "audio": "a*b" }),
            "audio",
        ),
        (
            update(json!({ "format": { "rate": 1 } })),
            "session.audio.input.format.rate",
        ),
    ] {
        client.send(event).await;
        assert_eq!(client.event("error").await["error"]["param"], param);
    }
    client.send_text("{").await;
    assert_eq!(client.event("error").await["error"]["code"], "invalid_json");

    // Base64 without padding, and with escapes.
    let audio = base64(&[0, 1]).trim_end_matches('=').to_owned();
    let append = format!(r#"{{"type":"input_audio_buffer.append","audio":"{audio}"}}"#);
    let rate = update(json!({ "format": { "rate": 16000 } }));
    client.send(rate).await;
    client.event("session.updated").await;
    client.send_text(&append).await;
    assert_eq!(sessions.next().await.samples(1).await, [256.0 / 32_768.0]);
}

#[tokio::test]
async fn an_unknown_model_is_an_error_when_audio_comes() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client =
        LiveClient::connect(&app, "/v1/realtime?model=no-such&intent=transcription").await;
    let created = client.event("session.created").await;
    assert_eq!(
        created["session"]["audio"]["input"]["transcription"]["model"],
        "no-such"
    );
    client.send(append(&silence(480))).await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "model_not_found");
    assert_eq!(error["error"]["param"], "model");
    // Once, until the turn ends.
    client.send(append(&silence(480))).await;
    client
        .send(json!({ "type": "input_audio_buffer.commit" }))
        .await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "model_not_found");

    client
        .send(update(
            json!({ "transcription": { "model": MULTILINGUAL } }),
        ))
        .await;
    client.event("session.updated").await;
    client.send(append(&silence(4_800))).await;
    let mut session = sessions.next().await;
    assert_eq!(session.config.model.as_str(), MULTILINGUAL);

    // The session that is open gets another model, with the audio after it.
    client
        .send(update(json!({ "transcription": { "model": MODEL } })))
        .await;
    client.event("session.updated").await;
    client.send(append(&silence(4_800))).await;
    let SessionCommand::Configure(config) = session.until_other_than_audio().await else {
        panic!("no configuration");
    };
    assert_eq!(config.model.as_str(), MODEL);
}

#[tokio::test]
async fn a_turn_that_fails_does_not_end_the_session() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client.send(append(&silence(4_800))).await;
    let session = sessions.next().await;
    let error = TurnError::Engine("the engine's own words".to_owned());
    session
        .say([SessionEvent::Failed { item: ONE, error }])
        .await;
    let failed = client
        .event("conversation.item.input_audio_transcription.failed")
        .await;
    assert_eq!(failed["error"]["type"], "server_error");
    assert!(!failed.to_string().contains("own words"), "{failed}");
    client
        .send(json!({ "type": "input_audio_buffer.clear" }))
        .await;
    session.say([SessionEvent::Cleared]).await;
    client.event("input_audio_buffer.cleared").await;
}

#[tokio::test]
async fn a_client_faster_than_the_detector_waits_and_loses_nothing() {
    let (app, mut sessions) = app_with_sessions(|_| {}).await;
    let mut client = LiveClient::connect(&app, REALTIME).await;
    client.event("session.created").await;
    client
        .send(update(json!({ "format": { "rate": 16000 } })))
        .await;
    client.event("session.updated").await;
    // One message of a minute.
    client.send(append(&silence(60 * 16_000))).await;
    client
        .send(json!({ "type": "input_audio_buffer.commit" }))
        .await;
    let mut session = sessions.next().await;
    let mut held = Vec::new();
    let mut samples = 0;
    // A piece of a quarter of a second does not fit any more.
    while samples + 4_000 <= 30 * 16_000 {
        let chunk = session.chunk().await;
        samples += chunk.pcm.len();
        held.push(chunk);
    }
    assert!(session.link.commands.is_empty());
    let claimed = app.context.transcriber.memory().used_bytes();
    assert!(claimed >= 60 * 16_000 * 2, "{claimed}");

    held.clear();
    session.samples(60 * 16_000 - samples).await;
    assert!(matches!(session.command().await, SessionCommand::Commit));
    drop(session);
    client.closed().await;
    crate::helpers::until(|| app.context.transcriber.memory().used_bytes() == 0).await;
}
