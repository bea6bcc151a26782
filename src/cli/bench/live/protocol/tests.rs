//! Messages of both sockets.

use super::*;

fn setup(route: Route) -> SessionSetup {
    SessionSetup {
        route,
        model: "base".to_owned(),
        delay: Some(DelayFlag::Low),
        turn_detection: TurnDetectionFlag::Silence,
        silence_ms: 500,
    }
}

fn events(route: Route, messages: &[Value]) -> Vec<Option<LiveEvent>> {
    let mut reader = MessageReader::new(route);
    let messages = messages.iter();
    messages
        .map(|json| reader.read(&json.to_string()).1)
        .collect()
}

#[test]
fn the_realtime_socket_is_configured_by_its_first_message() {
    let setup = setup(Route::Realtime);
    let query = setup.query(Some("tr"));
    let (model, intent) = ("base".to_owned(), "transcription".to_owned());
    assert_eq!(query, [("model", model), ("intent", intent)]);
    let Some(ClientMessage::Text(text)) = setup.opening(Some("tr")) else {
        panic!("no text");
    };
    let json: Value = serde_json::from_str(&text).unwrap();
    let input = &json["session"]["audio"]["input"];
    assert_eq!(
        input["transcription"],
        json!({"model": "base", "language": "tr", "delay": "low"})
    );
    assert_eq!(input["turn_detection"]["silence_duration_ms"], 500);
    assert_eq!(input["format"]["rate"], 16_000);
}

#[test]
fn the_simple_stream_is_configured_by_its_query() {
    let setup = SessionSetup {
        turn_detection: TurnDetectionFlag::Off,
        ..setup(Route::Stream)
    };
    let query = setup.query(Some("tr"));
    let query: Vec<_> = query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let expected = [
        ("model", "base"),
        ("language", "tr"),
        ("sample_rate", "16000"),
        ("enable_vad", "false"),
        ("chunk_ms", "600"),
    ];
    assert_eq!(query, expected);
    assert_eq!(setup.opening(None), None);
}

#[test]
fn a_frame_is_binary_or_base64() {
    let samples = [1, -2];
    let bytes = vec![1, 0, 0xfe, 0xff];
    assert_eq!(
        setup(Route::Stream).audio(&samples),
        ClientMessage::Binary(bytes)
    );
    let ClientMessage::Text(text) = setup(Route::Realtime).audio(&samples) else {
        panic!("no text");
    };
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["audio"], "AQD+/w==");
}

#[test]
fn reads_the_events_of_a_turn_on_the_realtime_socket() {
    let transcription = "conversation.item.input_audio_transcription";
    let item = || "i".to_owned();
    let messages = [
        json!({"type": "session.created"}),
        json!({"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 320}),
        json!({"type": format!("{transcription}.delta"), "item_id": "i", "delta": "Mer"}),
        json!({"type": "input_audio_buffer.speech_stopped", "item_id": "i", "audio_end_ms": 2140}),
        json!({"type": "input_audio_buffer.committed", "item_id": "i"}),
        json!({"type": format!("{transcription}.completed"), "item_id": "i", "transcript": "Merhaba."}),
        json!({"type": format!("{transcription}.failed"), "item_id": "i", "error": {"type": "server_error", "message": "no"}}),
        json!({"type": "error", "error": {"code": "input_audio_buffer_commit_empty"}}),
        json!({"type": "error", "error": {"type": "t", "code": "c", "message": "m"}}),
    ];
    let expected = [
        None,
        Some(LiveEvent::SpeechStarted {
            item: item(),
            audio_start_s: 0.32,
        }),
        Some(LiveEvent::Delta {
            item: item(),
            text: "Mer".to_owned(),
        }),
        Some(LiveEvent::SpeechStopped {
            item: item(),
            audio_end_s: 2.14,
        }),
        Some(LiveEvent::Committed { item: item() }),
        Some(LiveEvent::Completed {
            item: item(),
            text: "Merhaba.".to_owned(),
        }),
        Some(LiveEvent::Failed {
            item: item(),
            code: "server_error".to_owned(),
            message: "no".to_owned(),
        }),
        None,
        Some(LiveEvent::Error {
            code: "c".to_owned(),
            message: "m".to_owned(),
        }),
    ];
    assert_eq!(events(Route::Realtime, &messages), expected);
}

#[test]
fn turns_of_the_simple_stream_are_numbered() {
    let messages = [
        json!({"type": "ready"}),
        json!({"type": "transcript.partial", "text": "a b", "committed": 1}),
        json!({"type": "transcript.final", "text": "a b"}),
        json!({"type": "transcript.partial", "text": "c", "committed": 0}),
        json!({"type": "error", "text": "no"}),
    ];
    let partial = |item: &str, text: &str, committed| LiveEvent::Partial {
        item: item.to_owned(),
        text: text.to_owned(),
        committed,
    };
    let expected = [
        LiveEvent::Ready,
        partial("0", "a b", 1),
        LiveEvent::Completed {
            item: "0".to_owned(),
            text: "a b".to_owned(),
        },
        partial("1", "c", 0),
        LiveEvent::Error {
            code: "error".to_owned(),
            message: "no".to_owned(),
        },
    ];
    assert_eq!(events(Route::Stream, &messages), expected.map(Some));
    let mut reader = MessageReader::new(Route::Stream);
    assert_eq!(reader.read("<html>"), ("not an event".to_owned(), None));
}
