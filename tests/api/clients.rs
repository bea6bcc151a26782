//! Requests as clients write them that were made for other servers.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::audio::tone;
use crate::helpers::{
    MODEL, Setup, TRANSCRIPTIONS, TestApp, check_error, error, form, header, text, within_patience,
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
async fn a_path_is_taken_as_base_addresses_make_it() {
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
    assert_eq!(app.answered(200), 4, "the metrics have the route");
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
async fn a_path_that_is_put_right_wants_the_key() {
    let mut setup = Setup::default();
    setup.settings.api_keys = vec![halkspeech::config::Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;

    for path in ["/models", "//v1//models", "/v1/v1/audio/transcriptions"] {
        assert_eq!(app.get(path).send().await.unwrap().status(), 401, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_told_the_nearest_route() {
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
async fn a_compressed_body_is_held_to_the_limit() {
    let mut setup = Setup::default();
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
async fn an_encoding_that_is_not_read_is_named() {
    let app = TestApp::start().await;
    for (encoding, piece, code) in [
        ("br", "'Content-Encoding': \"br\"", Some("invalid_value")),
        ("gzip, gzip", "Content-Encoding", Some("invalid_value")),
        // It is no gzip.
        ("gzip", "Content-Encoding", None),
    ] {
        let request = app.raw(tone(500.0), &[("model", MODEL)]);
        let answer = request.header("content-encoding", encoding).send().await;

        let answer = answer.unwrap();
        assert_eq!(answer.status(), 400, "{encoding}");
        check_error(&error(answer).await, INVALID, None, code, piece);
    }
}

#[tokio::test]
async fn a_request_may_lack_its_host() {
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
    within_patience(async {
        connection.read_to_string(&mut answer).await.unwrap();
    })
    .await;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(TEXT), "{answer}");
}

#[tokio::test]
async fn pages_of_this_machine_may_read_answers_and_no_others() {
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
        let asked = preflight(origin).await.unwrap();
        assert_eq!(asked.status(), 200, "{origin}");
        assert_eq!(header(&asked, "access-control-allow-origin"), origin);
        let seconds: u64 = header(&asked, "access-control-max-age").parse().unwrap();
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
        let asked = preflight(origin).await.unwrap();
        assert_eq!(
            header(&asked, "access-control-allow-origin"),
            "",
            "{origin}"
        );
    }
}

#[tokio::test]
async fn with_a_key_only_configured_pages_may_read_answers() {
    let mut setup = Setup::default();
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
