//! Any body as an upload, sent to the real router: a form, or raw audio with its parameters in the query.
//! Every response is as documented, or an error in OpenAI's format that is caused by the input.
//!
//! The first line of the input is the path below `/v1/audio/` with its query, the second the content type,
//! the remaining bytes the body.
#![no_main]

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::stream;
use halkspeech_fuzz::panics;
use halkspeech_fuzz::server::{Server, ServerResponse};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);

fuzz_target!(init: panics::allow_panics_of_dependencies(), |data: &[u8]| -> Corpus {
    match request(data) {
        Some(request) => {
            check(&SERVER.send(request));
            Corpus::Keep
        }
        None => Corpus::Reject,
    }
});

/// The request; `None` if a client cannot send it.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let mut lines = data.splitn(3, |&byte| byte == b'\n');
    let (path, content_type, body) = (lines.next()?, lines.next()?, lines.next()?);
    let path = std::str::from_utf8(path).ok()?;
    // Chunks of all lengths, so that every part of a body is split in some input.
    let chunk_length = 1 + data.len() % 251;
    let chunks: Vec<_> = body
        .chunks(chunk_length)
        .map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)))
        .collect();
    let request =
        Request::post(format!("/v1/audio/{path}")).header(header::CONTENT_TYPE, content_type);
    request.body(Body::from_stream(stream::iter(chunks))).ok()
}

fn check(response: &ServerResponse) {
    let text = String::from_utf8_lossy(&response.body);
    let content_type = response
        .headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |kind| kind.as_bytes());
    assert!(response.headers.contains_key("x-request-id"));
    if !response.status.is_success() {
        assert!(
            response.status.is_client_error(),
            "{} {text}",
            response.status
        );
        assert_eq!(content_type, b"application/json");
        return check_error(&parse(&text));
    }
    assert!(std::str::from_utf8(&response.body).is_ok(), "{text}");
    match content_type {
        b"application/json" => assert!(parse(&text).is_object(), "{text}"),
        b"text/event-stream; charset=utf-8" => check_events(&text),
        b"text/plain; charset=utf-8" => assert!(text.is_empty() || text.ends_with('\n'), "{text}"),
        b"text/vtt; charset=utf-8" => assert!(text.starts_with("WEBVTT\n\n"), "{text}"),
        _ => panic!("unknown content type {content_type:?}"),
    }
}

/// A stream begins after the audio was decoded, so an error in it is not caused by the input.
fn check_events(text: &str) {
    for event in text
        .split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
    {
        match event.strip_prefix("data: ").expect("an event has data") {
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
