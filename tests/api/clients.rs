//! Requests of clients that were written for other servers.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::audio::tone;
use crate::helpers::{
    MODEL, TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, form, header, text,
    within_timeout,
};

const INVALID: &str = "invalid_request_error";
/// The text of [`tone`] at 500 Hz.
const TEXT: &str = "band 13";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn accepts_paths_as_clients_join_them() {
    let app = TestApp::start().await;

    for path in [
        "/v1/audio/transcriptions/",
        "//v1/audio//transcriptions",
        "/v1/v1/audio/transcriptions",
        "/audio/transcriptions",
    ] {
        let file = form(tone(500.0), &[("model", MODEL)]);
        let answer = app.post(path).query(&[("language", "en")]).multipart(file);
        let answer = answer.send().await.unwrap();

        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(text(answer).await, TEXT);
    }
    assert_eq!(app.responses(200), 4, "the metrics have the route");
    for path in [
        "/models",
        "/v1/models/",
        "/v1/v1/models",
        "//models//",
        "/health/",
    ] {
        let answer = app.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let answer = app.get("/models/tiny.en/").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["id"], "tiny.en");
}

#[tokio::test]
async fn a_normalized_path_requires_the_key() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![halkspeech::config::Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;

    for path in ["/models", "//v1//models", "/v1/v1/audio/transcriptions"] {
        assert_eq!(app.get(path).send().await.unwrap().status(), 401, "{path}");
    }
}

#[tokio::test]
async fn the_error_of_an_unknown_path_names_the_most_similar_route() {
    let app = TestApp::start().await;

    for (path, nearest) in [
        ("/v1/audio/transcription", "POST /v1/audio/transcriptions"),
        ("/v2/audio/transcriptions", "POST /v1/audio/transcriptions"),
        ("/v1/audio/translate", "POST /v1/audio/translations"),
        ("/v1/model", "GET /v1/models;"),
        ("/healthz", "GET /health"),
        ("/METRICS", "GET /metrics"),
    ] {
        let answer = app.post(path).send().await.unwrap();

        assert_eq!(answer.status(), 404, "{path}");
        let error = error(answer).await;
        check_error(&error, INVALID, None, Some("unknown_url"), nearest);
    }
}

#[tokio::test]
async fn a_compressed_body_is_decoded() {
    let app = TestApp::start().await;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&tone(500.0)).unwrap();
    let part = |name: &str, value: &[u8]| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    };
    let form = [
        part("model", MODEL.as_bytes()),
        part("file", &tone(500.0)),
        b"--b--\r\n".to_vec(),
    ];

    for (content_type, encoding, body) in [
        ("audio/wav", "gzip", gzip(&tone(500.0))),
        ("audio/wav", "deflate", zlib.finish().unwrap()),
        ("audio/wav", "identity", tone(500.0)),
        (
            "multipart/form-data; boundary=b",
            "gzip",
            gzip(&form.concat()),
        ),
    ] {
        let request = app
            .post(TRANSCRIPTIONS)
            .header("content-type", content_type);
        let request = request.header("content-encoding", encoding).body(body);
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 200, "{encoding}");
        assert_eq!(text(answer).await, TEXT, "{encoding}");
    }
}

#[tokio::test]
async fn the_limit_applies_to_the_decompressed_body() {
    let mut setup = TestSetup::default();
    setup.settings.max_upload_bytes = 1 << 20;
    let app = TestApp::start_with(setup).await;
    let bomb = gzip(&vec![0; 32 << 20]);
    assert!(bomb.len() < 1 << 20);

    let request = app.raw(bomb, &[("model", MODEL)]);
    let answer = request.header("content-encoding", "gzip").send().await;

    let answer = answer.unwrap();
    assert_eq!(answer.status(), 413);
    check_error(&error(answer).await, INVALID, Some("file"), None, "1 MiB");
}

#[tokio::test]
async fn the_error_names_an_unsupported_encoding() {
    let app = TestApp::start().await;
    for (encoding, fragment, code) in [
        ("br", "'Content-Encoding': \"br\"", Some("invalid_value")),
        ("gzip, gzip", "Content-Encoding", Some("invalid_value")),
        // The body is not gzip.
        ("gzip", "Content-Encoding", None),
    ] {
        let request = app.raw(tone(500.0), &[("model", MODEL)]);
        let answer = request.header("content-encoding", encoding).send().await;

        let answer = answer.unwrap();
        assert_eq!(answer.status(), 400, "{encoding}");
        check_error(&error(answer).await, INVALID, None, code, fragment);
    }
}

#[tokio::test]
async fn accepts_a_request_without_a_host_header() {
    let app = TestApp::start().await;
    let mut connection = TcpStream::connect(&app.address).await.unwrap();
    let audio = tone(500.0);
    let head = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        audio.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&audio).await.unwrap();

    let mut answer = String::new();
    within_timeout(async {
        connection.read_to_string(&mut answer).await.unwrap();
    })
    .await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(TEXT), "{answer}");
}

#[tokio::test]
async fn only_pages_of_this_machine_may_read_responses() {
    let app = TestApp::start().await;
    let preflight = |origin: &'static str| {
        let request = app.client.request(Method::OPTIONS, app.url(TRANSCRIPTIONS));
        let request = request.header("access-control-request-method", "POST");
        request.header("origin", origin).send()
    };

    for origin in [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:5173",
        "http://[::1]:8080",
        "app://obsidian.md",
        "tauri://localhost",
    ] {
        let preflighted = preflight(origin).await.unwrap();
        assert_eq!(preflighted.status(), 200, "{origin}");
        assert_eq!(header(&preflighted, "access-control-allow-origin"), origin);
        let seconds: u64 = header(&preflighted, "access-control-max-age")
            .parse()
            .unwrap();
        assert!(seconds >= 600, "{seconds}");
        let answer = app.raw(tone(500.0), &[]).header("origin", origin);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{origin}");
        assert_eq!(header(&answer, "access-control-allow-origin"), origin);
    }
    for origin in [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
    ] {
        let preflighted = preflight(origin).await.unwrap();
        assert_eq!(
            header(&preflighted, "access-control-allow-origin"),
            "",
            "{origin}"
        );
    }
}

#[tokio::test]
async fn only_configured_pages_may_read_responses_if_keys_are_set() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![halkspeech::config::Secret::new("open sesame")];
    setup.settings.allow_origins = vec!["https://app.example".to_owned()];
    let app = TestApp::start_with(setup).await;

    for (origin, allowed) in [
        ("https://app.example", "https://app.example"),
        ("http://localhost:3000", ""),
    ] {
        let request = app.get("/v1/models").bearer_auth("open sesame");
        let answer = request.header("origin", origin).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{origin}");
        assert_eq!(header(&answer, "access-control-allow-origin"), allowed);
    }
}
