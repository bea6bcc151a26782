//! Any body as an upload, sent to the real router: a form, or bare audio with its parameters in the query.
//! Every answer is what the documentation promises, or an error in OpenAI's shape that is the caller's doing.
//!
//! The first line of the input is the path below `/v1/audio/` with its query, the second the content type,
//! the rest the body.
#![no_main]

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::stream;
use halkspeech_fuzz::panics;
use halkspeech_fuzz::server::{Answer, Server};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

fuzz_target!(init: panics::let_dependencies_panic(), |data: &[u8]| -> Corpus {
    match request(data) {
        Some(request) => {
            check(&SERVER.ask(request));
            Corpus::Keep
        }
        None => Corpus::Reject,
    }
});

/// None where a client could not have sent it.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let mut lines = data.splitn(3, |&byte| byte == b'\n');
    let (path, content_type, body) = (lines.next()?, lines.next()?, lines.next()?);
    let path = std::str::from_utf8(path).ok()?;
    // Pieces of all lengths, so that whatever is read is cut somewhere.
    let piece = 1 + data.len() % 251;
    let pieces: Vec<_> = body
        .chunks(piece)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let request =
        Request::post(format!("/v1/audio/{path}")).header(header::CONTENT_TYPE, content_type);
    request.body(Body::from_stream(stream::iter(pieces))).ok()
}

fn check(answer: &Answer) {
    let text = String::from_utf8_lossy(&answer.body);
    let content_type = answer
        .headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |kind| kind.as_bytes());
    assert!(answer.headers.contains_key("x-request-id"));
    if !answer.status.is_success() {
        assert!(answer.status.is_client_error(), "{} {text}", answer.status);
        assert_eq!(content_type, b"application/json");
        return check_error(&parse(&text));
    }
    assert!(std::str::from_utf8(&answer.body).is_ok(), "{text}");
    match content_type {
        b"application/json" => assert!(parse(&text).is_object(), "{text}"),
        b"text/event-stream; charset=utf-8" => check_events(&text),
        b"text/plain; charset=utf-8" => assert!(text.is_empty() || text.ends_with('\n'), "{text}"),
        b"text/vtt; charset=utf-8" => assert!(text.starts_with("WEBVTT\n\n"), "{text}"),
        _ => panic!("unknown content type {content_type:?}"),
    }
}

/// The audio has been decoded when a stream begins, so all that can go wrong is our doing.
fn check_events(text: &str) {
    for event in text
        .split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
    {
        match event.strip_prefix("data: ").expect("an event holds data") {
            "[DONE]" => {}
            data => assert!(parse(data)["type"].is_string(), "{text}"),
        }
    }
}

fn check_error(body: &Value) {
    let error = body["error"].as_object().expect("an error is an object");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{body}"
    );
    assert!(error["type"].is_string(), "{body}");
    for key in ["param", "code"] {
        assert!(error[key].is_string() || error[key].is_null(), "{body}");
    }
    assert_eq!(error.len(), 4, "{body}");
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
