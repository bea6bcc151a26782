//! Connections of slow clients, and the limit on connections.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::helpers::audio::tone;
use crate::helpers::{
    MODEL, TestApp, TestSetup, check_error, error, header, raw, until, within_timeout,
};

async fn app_with_a_short_read_timeout() -> TestApp {
    let mut setup = TestSetup::default();
    setup.settings.read_timeout = Duration::from_secs(1);
    TestApp::start_with(setup).await
}

/// Reads until the server closes the connection.
async fn read_to_end(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    within_timeout(async {
        // A reset also ends the connection.
        let _reset = connection.read_to_end(&mut bytes).await;
    })
    .await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(start_paused = true)]
async fn closes_connections_without_a_complete_head() {
    let app = app_with_a_short_read_timeout().await;
    for sent in [
        "",
        "P",
        "POST /v1/audio/transcriptions HTTP/1.1\r\nX-Slow: ",
    ] {
        let mut connection = TcpStream::connect(&app.address).await.unwrap();
        connection.write_all(sent.as_bytes()).await.unwrap();

        let answer = read_to_end(&mut connection).await;

        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_gets_a_408() {
    let app = app_with_a_short_read_timeout().await;
    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    connection.write_all(b"RIFF").await.unwrap();

    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn closes_connections_whose_client_reads_nothing() {
    const REQUESTS: usize = 64;
    let mut setup = TestSetup::default();
    setup.settings.read_timeout = Duration::from_secs(1);
    setup.settings.enable_ui = true;
    let app = TestApp::start_with(setup).await;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut connection = TcpStream::connect(&app.address).await.unwrap();
    let requests = request.repeat(REQUESTS);
    connection.write_all(requests.as_bytes()).await.unwrap();

    // The paused clock advances only once the server waits because its buffers are full.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let read = read_to_end(&mut connection).await;

    let answers = read.matches("HTTP/1.1 200").count();
    assert!((1..REQUESTS).contains(&answers), "{answers}");
}

/// A server whose only ordinary connection is in use.
async fn app_without_a_free_connection() -> (TestApp, TcpStream) {
    let mut setup = TestSetup::default();
    setup.settings.max_connections = 1;
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let only = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 1).await;
    (app, only)
}

#[tokio::test]
async fn probes_are_answered_when_all_connections_are_taken() {
    let (app, only) = app_without_a_free_connection().await;

    for path in ["/health", "/ready", "/metrics"] {
        let answer = app.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "connection"), "close");
    }
    for request in [
        app.get("/v1/models"),
        app.raw(tone(500.0), &[("model", MODEL)]),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(header(&answer, "retry-after"), "5");
        assert_eq!(header(&answer, "connection"), "close");
        let error = error(answer).await;
        check_error(&error, "server_error", None, None, "no free connection");
    }

    drop(only);
    until(|| app.metrics.requests_in_flight.get() == 0).await;
    within_timeout(async { while app.get("/v1/models").send().await.unwrap().status() != 200 {} })
        .await;
}

#[tokio::test(start_paused = true)]
async fn probes_are_answered_despite_silent_connections() {
    let (app, _only) = app_without_a_free_connection().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&app.address).await.unwrap());
    }

    let started = Instant::now();
    let answer = app.get("/health").send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Connections that begin the head of a request and never end it.
async fn open_incomplete_heads(app: &TestApp, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = TcpStream::connect(&app.address).await.unwrap();
        connection
            .write_all(b"GET /health HTTP/1.1\r\n")
            .await
            .unwrap();
        connections.push(connection);
    }
    connections
}

/// A client with another address than all others.
fn client_of_another_address() -> Client {
    let address = IpAddr::from([127, 0, 0, 2]);
    Client::builder().local_address(address).build().unwrap()
}

#[tokio::test]
async fn probes_are_answered_despite_incomplete_heads() {
    let (app, _only) = app_without_a_free_connection().await;
    // Served one after the other, with a second each, they would exceed the test timeout.
    let _heads = open_incomplete_heads(&app, 600).await;

    within_timeout(async {
        for client in [Client::new(), client_of_another_address()] {
            let answer = client.get(app.url("/health")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn idle_connections_are_evicted_for_another_address() {
    let mut setup = TestSetup::default();
    setup.settings.max_connections = 4;
    let app = TestApp::start_with(setup).await;
    let mut heads = open_incomplete_heads(&app, 4).await;

    let answer = client_of_another_address()
        .get(app.url("/v1/models"))
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(read_to_end(&mut heads[0]).await, "");
}

#[tokio::test]
async fn busy_connections_are_not_evicted() {
    let mut setup = TestSetup::default();
    setup.settings.max_connections = 2;
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let mut first = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    let _second = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 2).await;

    let answer = client_of_another_address()
        .get(app.url("/v1/models"))
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 503);
    first.write_all(&[0; 1_000]).await.unwrap();
    let answer = raw::read_until(&mut first, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
