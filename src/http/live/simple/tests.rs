use serde_json::json;

use super::*;
use crate::http::live::configuration::SessionForm;
use crate::http::test_settings::settings;
use crate::live::{TurnDetection, TurnError};

const ITEM: ItemId = ItemId(1);

fn parameters(query: &str) -> Result<SimpleParameters, ApiError> {
    let uri = format!("/v1/audio/transcriptions/stream?{query}");
    SimpleParameters::read(&uri.parse().unwrap(), Object::new(), &settings())
}

fn stream(query: &str) -> Simple {
    Simple::new(parameters(query).unwrap(), RequestId("request".to_owned()))
}

fn time(now: Instant) -> EventTime {
    EventTime {
        now,
        latency: Duration::from_millis(120),
        audio: Duration::from_millis(1_600),
    }
}

fn partial(committed: &str, tail: &str) -> SessionEvent {
    SessionEvent::Partial {
        item: ITEM,
        committed: committed.to_owned(),
        tail: tail.to_owned(),
    }
}

fn completed(transcript: &str) -> SessionEvent {
    SessionEvent::Completed {
        item: ITEM,
        transcript: transcript.to_owned(),
        audio: Duration::from_millis(2_100),
        language: None,
        logprobs: None,
    }
}

#[test]
fn the_query_has_defaults() {
    let read = parameters("").unwrap();
    assert!(!read.detects_turns);
    assert_eq!(read.interval, Duration::from_millis(300));
    assert_eq!(read.configuration.format.rate_hz, 16_000);
    assert_eq!(
        read.configuration.turn_detection.policy(),
        TurnDetection::Off
    );

    let query =
        "model=base&language=tr&sample_rate=8000&min_chunk_ms=100&chunk_ms=1000&enable_vad=True";
    let read = parameters(query).unwrap();
    assert!(read.detects_turns);
    assert_eq!(read.configuration.format.rate_hz, 8_000);
    assert_eq!(read.configuration.delay, Some(Delay::Medium));
    assert_eq!(
        read.configuration.turn_detection.policy(),
        TurnDetection::default()
    );
    let shown = read.configuration.to_json(SessionForm::Nested);
    let transcription = &shown["audio"]["input"]["transcription"];
    assert_eq!(
        (&transcription["model"], &transcription["language"]),
        (&json!("base"), &json!("tr"))
    );
}

#[test]
fn an_invalid_parameter_is_named() {
    for (query, param) in [
        ("sample_rate=100", "sample_rate"),
        ("sample_rate=383983", "sample_rate"),
        ("chunk_ms=-1", "chunk_ms"),
        ("min_chunk_ms=x", "min_chunk_ms"),
        ("enable_vad=maybe", "enable_vad"),
        ("language=xx", "language"),
        ("unknown=1", "unknown"),
    ] {
        let error = parameters(query).unwrap_err().object(&RequestId::default());
        assert_eq!(error.param.as_deref(), Some(param), "{query}");
        assert!(error.message.contains(param), "{}", error.message);
    }
}

#[test]
fn what_a_secret_names_is_set_and_stays() {
    let fixed = json!({ "audio": { "input": { "transcription": { "language": "tr" } } } });
    let read = |query: &str| {
        let uri = format!("/v1/audio/transcriptions/stream?{query}");
        let fixed = fixed.as_object().unwrap().clone();
        SimpleParameters::read(&uri.parse().unwrap(), fixed, &settings())
    };
    let shown = read("").unwrap().configuration.to_json(SessionForm::Nested);
    assert_eq!(shown["audio"]["input"]["transcription"]["language"], "tr");
    let error = read("language=en")
        .unwrap_err()
        .object(&RequestId::default());
    assert_eq!(error.code, Some("immutable_value"));
    assert_eq!(error.param.as_deref(), Some("language"));
}

#[test]
fn messages_have_every_field() {
    let mut stream = stream("");
    assert_eq!(
        stream.greeting(),
        r#"{"type":"ready","text":"","latency_ms":0,"audio_duration_ms":0}"#
    );
    let now = Instant::now();
    assert_eq!(
        stream.write_event(&partial("Günay", "dın"), time(now)),
        [
            r#"{"type":"transcript.partial","text":"Günaydın","committed":5,"latency_ms":120,"audio_duration_ms":1600}"#
        ]
    );
    assert_eq!(
        stream.write_event(&completed("Günaydın."), time(now)),
        [
            r#"{"type":"transcript.final","text":"Günaydın.","latency_ms":120,"audio_duration_ms":2100}"#
        ]
    );
    let failed = SessionEvent::Failed {
        item: ITEM,
        error: TurnError::Overloaded,
    };
    assert_eq!(
        stream.write_event(&failed, time(now)),
        [
            r#"{"type":"error","text":"The server is overloaded.","latency_ms":0,"audio_duration_ms":0}"#
        ]
    );
}

#[test]
fn partial_texts_come_at_most_once_an_interval() {
    let mut stream = stream("chunk_ms=400");
    let start = Instant::now();
    let mut is_sent = |ms| {
        let time = time(start + Duration::from_millis(ms));
        !stream.write_event(&partial("", "a"), time).is_empty()
    };
    assert!(is_sent(0));
    assert!(!is_sent(399));
    assert!(is_sent(400));
    assert!(!is_sent(799));
    assert!(is_sent(900));
}

#[test]
fn the_end_is_a_message_or_an_empty_one() {
    let mut stream = stream("");
    let done = stream.read_text(&r#"{"type":"audio.done"}"#.into(), BufferState::default());
    assert!(matches!(done.request, Some(Request::Finish)));
    let done = stream.read_binary(Bytes::new()).unwrap();
    assert!(matches!(done.request, Some(Request::Finish)));
    let audio = stream.read_binary(Bytes::from_static(&[1])).unwrap();
    assert!(matches!(audio.request, Some(Request::Audio(_))));
    for (text, message) in [
        (r#"{"type":"x"}"#, "Expected audio.done"),
        ("{", "Invalid JSON"),
        ("[]", "Expected audio.done"),
    ] {
        let reply = stream.read_text(&text.into(), BufferState::default());
        assert!(reply.request.is_none(), "{text}");
        let event: Value = serde_json::from_str(&reply.events[0]).unwrap();
        assert_eq!(event["type"], "error");
        assert!(event["text"].as_str().unwrap().contains(message), "{event}");
    }
}

#[test]
fn a_stream_without_turns_always_has_a_final_text() {
    let mut without_audio = stream("");
    let last: Value = serde_json::from_str(&without_audio.farewell().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["text"]),
        (&json!("transcript.final"), &json!(""))
    );

    let mut with_text = stream("");
    with_text.write_event(&completed("a"), time(Instant::now()));
    assert_eq!(with_text.farewell(), None);
    assert_eq!(stream("enable_vad=true").farewell(), None);

    assert_eq!(
        stream("").limit(),
        (Duration::from_secs(1_800), CloseReason::StreamTooLong)
    );
    assert_eq!(
        stream("enable_vad=1").limit(),
        (MAX_DURATION, CloseReason::Expired)
    );
}

#[test]
fn text_of_the_next_turn_follows_the_final_text_of_this_one() {
    let mut stream = stream("enable_vad=true");
    let next = SessionEvent::Partial {
        item: ItemId(2),
        committed: "Next".to_owned(),
        tail: String::new(),
    };
    let start = Instant::now();
    assert_eq!(
        stream.write_event(&partial("This", ""), time(start)).len(),
        1
    );
    assert_eq!(stream.write_event(&next, time(start)), [""; 0]);
    assert_eq!(
        stream.write_event(&completed("This."), time(start)).len(),
        1
    );
    assert_eq!(stream.write_event(&next, time(start)).len(), 1);
}
