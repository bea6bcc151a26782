//! Connections whose clients keep the server waiting, and too many of them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::{MODEL, Setup, TestApp, raw, until, within_patience};

async fn impatient() -> TestApp {
    let mut setup = Setup::default();
    setup.rules.read_timeout = Duration::from_secs(1);
    TestApp::start_with(setup).await
}

/// What comes until the server closes the connection.
async fn to_the_end(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    within_patience(async {
        // A reset is an end, too.
        let _reset = connection.read_to_end(&mut bytes).await;
    })
    .await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_headers_is_cut_off() {
    let app = impatient().await;
    for sent in [
        "",
        "P",
        "POST /v1/audio/transcriptions HTTP/1.1\r\nX-Slow: ",
    ] {
        let mut connection = TcpStream::connect(&app.address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();

        let answer = to_the_end(&mut connection).await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_is_answered() {
    let app = impatient().await;
    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    connection.write_all(b"RIFF").await.unwrap();

    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn connections_above_the_bound_wait_for_a_place() {
    let mut setup = Setup::default();
    setup.rules.max_connections = 1;
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let first = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 1).await;

    // It would be answered within a millisecond.
    let mut second = tokio::spawn(app.get("/health").send());
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(first);

    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}
