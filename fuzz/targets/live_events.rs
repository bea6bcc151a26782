//! Any events of a client to the sockets of live sessions, through the real router and a real WebSocket. Every answer
//! is an event as documented, errors are caused by the client, and the connection ends with a documented code.
//!
//! The first line of the input is the path below `/v1/` with its query; each further line is a message: text, or after
//! `b:` binary.
#![no_main]

use std::sync::LazyLock;

use halkspeech_fuzz::panics;
use halkspeech_fuzz::server::{Server, SocketEnd};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

/// An event that is answered by an error with its id, after everything before it.
const LAST: &str = r#"{"type":"fuzz.end","event_id":"end of the input"}"#;

fuzz_target!(init: panics::allow_panics_of_dependencies(), |data: &[u8]| -> Corpus {
    let mut lines = data.split(|&byte| byte == b'\n');
    let path = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let Some(path) = path.filter(|path| path.starts_with("realtime") || path.starts_with("audio/")) else {
        return Corpus::Reject;
    };
    let messages = lines.map(message).chain([Message::text(LAST), Message::binary(Vec::new())]);
    match SERVER.converse(&format!("/v1/{path}"), messages.collect()) {
        Some(end) => {
            check(path, &end);
            Corpus::Keep
        }
        None => Corpus::Reject,
    }
});

fn message(line: &[u8]) -> Message {
    match line.strip_prefix(b"b:") {
        Some(binary) => Message::binary(binary.to_vec()),
        // Texts that are not UTF-8 never reach the parser: the library refuses their frames.
        None => Message::text(String::from_utf8_lossy(line).into_owned()),
    }
}

fn check(path: &str, end: &SocketEnd) {
    let events: Vec<Value> = end.texts.iter().map(|text| parse(text)).collect();
    if path.starts_with("realtime") {
        for (number, event) in (1..).zip(&events) {
            assert_eq!(event["event_id"], format!("event_{number}"), "{event}");
        }
    }
    for event in &events {
        let kind = event["type"].as_str().expect("an event has a type");
        match kind {
            "error" if event["error"].is_object() => check_error(&event["error"]),
            "error" => assert!(event["text"].is_string(), "{event}"),
            "conversation.item.input_audio_transcription.failed" => {
                assert_eq!(event["error"]["code"], "rate_limit_exceeded", "{event}");
            }
            _ => {}
        }
    }
    // The last message is binary: it ends the stream, and realtime refuses it.
    let code = end.code.expect("the server closes");
    assert!([1000, 1003, 1009].contains(&code), "{code}");
}

fn check_error(error: &Value) {
    assert_eq!(error["type"], "invalid_request_error", "{error}");
    let message = error["message"].as_str().expect("an error has a message");
    assert!(!message.is_empty(), "{error}");
    for key in ["param", "code", "event_id"] {
        assert!(error[key].is_string() || error[key].is_null(), "{error}");
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
