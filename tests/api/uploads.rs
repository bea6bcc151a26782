//! Large, slow and incomplete request bodies.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::helpers::audio::{tone, tones};
use crate::helpers::{
    MODEL, TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, header, raw, text, until,
};

const MIB: usize = 1024 * 1024;

fn small_limit() -> TestSetup {
    let mut setup = TestSetup::default();
    setup.settings.max_upload_bytes = MIB as u64;
    setup
}

/// A body without a `Content-Length`.
fn chunked(bytes: usize) -> Body {
    let chunk = Bytes::from(vec![0; 64 * 1024]);
    let chunks = (0..bytes / chunk.len()).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
    Body::wrap_stream(stream::iter(chunks))
}

#[tokio::test]
async fn the_error_of_a_too_large_body_names_the_limit() {
    let app = TestApp::start_with(small_limit()).await;
    let streamed_form = Form::new().part("file", Part::stream(chunked(8 * MIB)));
    for request in [
        app.form(vec![0; 8 * MIB], &[("model", MODEL)]),
        app.raw(vec![0; 8 * MIB], &[("model", MODEL)]),
        app.post(TRANSCRIPTIONS).multipart(streamed_form),
        app.post(TRANSCRIPTIONS)
            .query(&[("model", MODEL)])
            .body(chunked(8 * MIB)),
    ] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 413);
        check_error(
            &error(answer).await,
            "invalid_request_error",
            Some("file"),
            None,
            "1 MiB",
        );
    }
}

#[tokio::test]
async fn accepts_an_unquoted_boundary() {
    let app = TestApp::start().await;
    for boundary in ["a/b=c", "----=_Part_1:2.3", "==(a)", "'a'+_,-./:=?b", "a b"] {
        let part = |name: &str, value: &[u8]| {
            let head =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            [head.as_bytes(), value, b"\r\n"].concat()
        };
        let form = [
            part("model", MODEL.as_bytes()),
            part("file", &tone(500.0)),
            format!("--{boundary}--\r\n").into_bytes(),
        ];
        for content_type in [
            format!("multipart/form-data; boundary={boundary}"),
            format!("Multipart/Form-Data;boundary={boundary}; charset=utf-8"),
        ] {
            let request = app
                .post(TRANSCRIPTIONS)
                .header("content-type", &content_type);

            let answer = request.body(form.concat()).send().await.unwrap();

            assert_eq!(answer.status(), 200, "{content_type}");
        }
    }
}

#[tokio::test]
async fn large_uploads_are_spooled() {
    let mut setup = TestSetup::default();
    setup.settings.upload_memory_bytes = 1_000;
    let app = TestApp::start_with(setup).await;
    let audio = tones(&[(500.0, Duration::from_secs(20))]);
    let expected = app.text_of(tone(500.0)).await;
    let streamed = Body::from(audio.clone());

    for request in [
        app.form(audio.clone(), &[("model", MODEL)]),
        app.raw(audio, &[("model", MODEL)]),
        app.post(TRANSCRIPTIONS)
            .query(&[("model", MODEL)])
            .body(streamed),
    ] {
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 200);
        assert_eq!(text(answer).await, expected);
    }
}

#[tokio::test]
async fn the_model_may_come_before_or_after_the_file() {
    let app = TestApp::start().await;
    let part = || Part::bytes(tone(500.0)).file_name("a.wav");
    for form in [
        Form::new().part("file", part()).text("model", MODEL),
        Form::new().text("model", MODEL).part("file", part()),
        // A part named like a text field is one, even if it has a file name.
        Form::new()
            .part("model", Part::text(MODEL).file_name("blob"))
            .part("file", part()),
    ] {
        let answer = app
            .post(TRANSCRIPTIONS)
            .multipart(form)
            .send()
            .await
            .unwrap();

        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_upload_times_out() {
    let app = TestApp::start().await;

    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    connection.write_all(b"RIFF").await.unwrap();
    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"timeout\""), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_a_byte_at_a_time_is_too_slow() {
    let app = TestApp::start().await;
    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    let started = Instant::now();
    for _ in 0..6 {
        connection.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too slow"), "{answer}");
    // 30 s of lag and 10 s to drain the body; the request timeout is 60 s.
    assert!(started.elapsed() < Duration::from_secs(45));
}

#[tokio::test]
async fn an_aborted_upload_frees_its_permit() {
    let app = TestApp::start_with(TestSetup {
        max_concurrent_requests: 1,
        ..TestSetup::default()
    })
    .await;
    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    connection.write_all(b"RIFF").await.unwrap();
    until(|| app.metrics.requests_in_flight.get() == 1).await;

    drop(connection);
    until(|| app.metrics.requests_in_flight.get() == 0).await;

    let answer = app.submit(tone(500.0)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "1");
}

#[tokio::test]
async fn an_upload_received_to_its_end_is_counted_whatever_its_model() {
    let app = TestApp::start().await;
    let fields = [("model", "missing")];
    let counted = |uploads: usize| {
        let line = format!("halkspeech_upload_seconds_count {uploads}\n");
        app.metrics.encode().contains(&line)
    };

    let form = app.form(tone(500.0), &fields).send().await.unwrap();
    assert_eq!(form.status(), 404);
    assert!(counted(1));

    // Refused before its body is read.
    let raw = app.raw(tone(500.0), &fields).send().await.unwrap();
    assert_eq!(raw.status(), 404);
    assert!(counted(1));
}
