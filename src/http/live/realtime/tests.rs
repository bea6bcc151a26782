use serde_json::{Value, json};

use super::*;
use crate::http::test_settings::settings;
use crate::transcript::{Speaker, TokenLogprob};
use halkspeech_whisper::Language;

const ONE: ItemId = ItemId(1);
const TWO: ItemId = ItemId(2);

fn realtime(form: SessionForm) -> Realtime {
    let id = SessionId {
        id: "sess_1".to_owned(),
        expires_at: 1_800_000_000,
    };
    let request_id = RequestId("request".to_owned());
    Realtime::new(id, form, Configuration::default(), settings(), request_id)
}

fn time() -> EventTime {
    EventTime {
        now: std::time::Instant::now(),
        latency: Duration::ZERO,
        audio: Duration::ZERO,
    }
}

fn write(realtime: &mut Realtime, event: &SessionEvent) -> Vec<String> {
    realtime.write_event(event, time())
}

fn send(
    realtime: &mut Realtime,
    event: &Value,
    buffer: BufferState,
) -> (Vec<Value>, Option<Request>) {
    let message = Utf8Bytes::from(event.to_string());
    let Reply { events, request } = realtime.read_text(&message, buffer);
    let parse = |event: &String| serde_json::from_str(event).unwrap();
    (events.iter().map(parse).collect(), request)
}

#[test]
fn a_turn_has_exactly_these_events() {
    let mut realtime = realtime(SessionForm::Nested);
    let language = Language::parse("tr");
    let events = [
        SessionEvent::SpeechStarted {
            item: ONE,
            audio_start: Duration::from_millis(320),
        },
        SessionEvent::Partial {
            item: ONE,
            committed: "Mer".to_owned(),
            tail: "haba".to_owned(),
        },
        SessionEvent::Delta {
            item: ONE,
            text: "Mer".to_owned(),
        },
        SessionEvent::SpeechStopped {
            item: ONE,
            audio_end: Duration::from_millis(2_140),
        },
        SessionEvent::Committed {
            item: ONE,
            previous: None,
        },
        SessionEvent::Segment {
            item: ONE,
            index: 0,
            start: Duration::from_millis(320),
            end: Duration::from_millis(2_140),
            speaker: Speaker::numbered(1),
            text: "Merhaba.".to_owned(),
        },
        SessionEvent::Completed {
            item: ONE,
            transcript: "Merhaba.".to_owned(),
            audio: Duration::from_millis(2_100),
            language,
            logprobs: None,
        },
        SessionEvent::Committed {
            item: TWO,
            previous: Some(ONE),
        },
        SessionEvent::Failed {
            item: TWO,
            error: TurnError::Engine("secret".to_owned()),
        },
        SessionEvent::Cleared,
    ];
    let written: Vec<_> = events
        .iter()
        .flat_map(|event| write(&mut realtime, event))
        .collect();
    let item = |id: &str| {
        format!(
            r#""item":{{"id":"{id}","object":"realtime.item","type":"message","status":"completed","role":"user","content":[{{"type":"input_audio","transcript":null}}]}}"#
        )
    };
    let prefix = "conversation.item.input_audio_transcription";
    let expected = [
        r#""type":"input_audio_buffer.speech_started","audio_start_ms":320,"item_id":"item_1""#
            .to_owned(),
        format!(
            r#""type":"{prefix}.delta","item_id":"item_1","content_index":0,"delta":"Mer","logprobs":null"#
        ),
        r#""type":"input_audio_buffer.speech_stopped","audio_end_ms":2140,"item_id":"item_1""#
            .to_owned(),
        r#""type":"input_audio_buffer.committed","previous_item_id":null,"item_id":"item_1""#
            .to_owned(),
        format!(
            r#""type":"conversation.item.added","previous_item_id":null,{}"#,
            item("item_1")
        ),
        format!(
            r#""type":"conversation.item.done","previous_item_id":null,{}"#,
            item("item_1")
        ),
        format!(
            r#""type":"{prefix}.segment","item_id":"item_1","content_index":0,"id":"seg_1_0","start":0.32,"end":2.14,"speaker":"B","text":"Merhaba.""#
        ),
        format!(
            r#""type":"{prefix}.completed","item_id":"item_1","content_index":0,"transcript":"Merhaba.","usage":{{"type":"duration","seconds":2.1}},"logprobs":null,"languages":[{{"code":"tr"}}]"#
        ),
        r#""type":"input_audio_buffer.committed","previous_item_id":"item_1","item_id":"item_2""#
            .to_owned(),
        format!(
            r#""type":"conversation.item.added","previous_item_id":"item_1",{}"#,
            item("item_2")
        ),
        format!(
            r#""type":"conversation.item.done","previous_item_id":"item_1",{}"#,
            item("item_2")
        ),
        format!(
            r#""type":"{prefix}.failed","item_id":"item_2","content_index":0,"error":{{"type":"server_error","code":"transcription_failed","message":"The model failed on this audio.","param":null}}"#
        ),
        r#""type":"input_audio_buffer.cleared""#.to_owned(),
    ];
    let expected: Vec<_> = (1..)
        .zip(expected)
        .map(|(number, event)| format!(r#"{{"event_id":"event_{number}",{event}}}"#))
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn an_empty_turn_names_no_language() {
    let mut realtime = realtime(SessionForm::Nested);
    let event = SessionEvent::Completed {
        item: ONE,
        transcript: String::new(),
        audio: Duration::from_secs(3),
        language: None,
        logprobs: None,
    };
    let written = write(&mut realtime, &event);
    let written: Value = serde_json::from_str(&written[0]).unwrap();
    assert_eq!(written["transcript"], "");
    assert_eq!(written["languages"], json!([]));
    assert_eq!(
        written["usage"],
        json!({ "type": "duration", "seconds": 3.0 })
    );
}

#[test]
fn the_tokens_of_a_text_are_listed_if_they_were_requested() {
    let mut realtime = realtime(SessionForm::Nested);
    let logprobs = ["Mer", "haba"].map(|token| TokenLogprob {
        token: token.to_owned(),
        logprob: -0.25,
        bytes: token.as_bytes().to_vec(),
    });
    let event = SessionEvent::Completed {
        item: ONE,
        transcript: "Merhaba".to_owned(),
        audio: Duration::from_secs(1),
        language: None,
        logprobs: Some(logprobs.to_vec()),
    };
    let written = write(&mut realtime, &event);
    let written: Value = serde_json::from_str(&written[0]).unwrap();
    let second = json!({ "token": "haba", "logprob": -0.25, "bytes": [104, 97, 98, 97] });
    assert_eq!(written["logprobs"][1], second);
}

#[test]
fn a_beta_client_gets_one_event_for_an_item() {
    let mut realtime = realtime(SessionForm::Flat);
    let greeting: Value = serde_json::from_str(&realtime.greeting()).unwrap();
    assert_eq!(greeting["type"], "transcription_session.created");
    assert_eq!(greeting["session"]["input_audio_format"], "pcm16");
    assert_eq!(greeting["session"]["id"], "sess_1");
    let committed = SessionEvent::Committed {
        item: ONE,
        previous: None,
    };
    let events = write(&mut realtime, &committed);
    let types: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["type"].clone())
        .collect();
    assert_eq!(
        types,
        ["input_audio_buffer.committed", "conversation.item.created"]
    );
}

#[test]
fn a_session_is_created_and_updated() {
    let mut realtime = realtime(SessionForm::Nested);
    let greeting: Value = serde_json::from_str(&realtime.greeting()).unwrap();
    assert_eq!(greeting["type"], "session.created");
    assert_eq!(greeting["event_id"], "event_1");
    let session = &greeting["session"];
    assert_eq!(session["type"], "transcription");
    assert_eq!(session["object"], "realtime.transcription_session");
    assert_eq!(session["id"], "sess_1");
    assert_eq!(session["expires_at"], 1_800_000_000_u64);
    assert_eq!(session["include"], Value::Null);

    let update = json!({ "type": "session.update", "session": {
        "type": "transcription",
        "audio": { "input": { "transcription": { "language": "tr" } } },
    }});
    let (events, request) = send(&mut realtime, &update, BufferState::default());
    assert!(matches!(request, Some(Request::Configure)));
    assert_eq!(events[0]["type"], "session.updated");
    assert_eq!(
        events[0]["session"]["audio"]["input"]["transcription"]["language"],
        "tr"
    );

    // A client of the beta shows itself late.
    let update = json!({
        "type": "transcription_session.update",
        "session": { "input_audio_transcription": { "language": "en" } },
    });
    let (events, _) = send(&mut realtime, &update, BufferState::default());
    assert_eq!(events[0]["type"], "transcription_session.updated");
    assert_eq!(
        events[0]["session"]["input_audio_transcription"]["language"],
        "en"
    );
}

#[test]
fn an_error_has_the_clients_event_id() {
    let mut realtime = realtime(SessionForm::Nested);
    let update = json!({
        "event_id": "mine",
        "type": "session.update",
        "session": { "audio": { "input": { "transcription": { "language": "xx" } } } },
    });
    let (events, request) = send(&mut realtime, &update, BufferState::default());
    assert!(request.is_none());
    let param = "session.audio.input.transcription.language";
    let expected = "an ISO 639 code such as en, or a language's English name";
    assert_eq!(
        events,
        [json!({
            "event_id": "event_1",
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "code": "invalid_value",
                "message": format!("Invalid value for '{param}': \"xx\". Expected {expected}."),
                "param": param,
                "event_id": "mine",
            },
        })]
    );
}

#[test]
fn an_empty_buffer_is_not_committed() {
    let mut realtime = realtime(SessionForm::Nested);
    let commit = json!({ "type": "input_audio_buffer.commit" });
    let (events, request) = send(&mut realtime, &commit, BufferState::default());
    assert!(request.is_none());
    assert_eq!(
        events[0]["error"]["code"],
        "input_audio_buffer_commit_empty"
    );
    assert_eq!(events[0]["error"]["param"], Value::Null);

    let buffer = BufferState {
        has_audio: true,
        is_in_turn: false,
    };
    let (events, request) = send(&mut realtime, &commit, buffer);
    assert!(matches!(request, Some(Request::Commit)));
    assert_eq!(events, [Value::Null; 0]);
}

#[test]
fn the_format_stays_while_the_buffer_contains_audio() {
    let format = |kind: &str| {
        json!({
            "type": "session.update",
            "session": { "audio": { "input": { "format": { "type": kind } } } },
        })
    };
    let mut realtime = realtime(SessionForm::Nested);
    let silence = BufferState {
        has_audio: true,
        is_in_turn: false,
    };
    let speech = BufferState {
        is_in_turn: true,
        ..silence
    };
    let (events, _) = send(&mut realtime, &format("audio/pcmu"), speech);
    assert_eq!(events[0]["error"]["param"], "session.audio.input.format");
    assert_eq!(realtime.configuration().format, Default::default());
    // The same format is no change.
    let (events, _) = send(&mut realtime, &format("audio/pcm"), speech);
    assert_eq!(events[0]["type"], "session.updated");
    // With turn detection, silence after a turn is no audio of the client's.
    let (events, _) = send(&mut realtime, &format("audio/pcmu"), silence);
    assert_eq!(events[0]["type"], "session.updated");

    let off = json!({
        "type": "session.update",
        "session": { "audio": { "input": { "turn_detection": null } } },
    });
    send(&mut realtime, &off, BufferState::default());
    let (events, _) = send(&mut realtime, &format("audio/pcma"), silence);
    assert_eq!(events[0]["type"], "error");
    let (events, _) = send(&mut realtime, &format("audio/pcma"), BufferState::default());
    assert_eq!(events[0]["type"], "session.updated");
}

#[test]
fn binary_messages_end_the_connection() {
    let refused = realtime(SessionForm::Nested).read_binary(Bytes::from_static(b"x"));
    assert_eq!(refused.err(), Some(CloseReason::Binary));
}

#[test]
fn the_event_document_lists_every_event() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asyncapi.yaml");
    let document = std::fs::read_to_string(document).unwrap();
    let prefix = "conversation.item.input_audio_transcription";
    let [delta, completed, failed] =
        ["delta", "completed", "failed"].map(|end| format!("{prefix}.{end}"));
    for kind in [
        "session.update",
        "transcription_session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "session.created",
        "session.updated",
        "transcription_session.created",
        "transcription_session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "input_audio_buffer.cleared",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.created",
        &delta,
        &completed,
        &failed,
        "error",
    ] {
        assert!(document.contains(&format!("\n    {kind}:\n")), "no {kind}");
    }
}
