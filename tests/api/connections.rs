//! Connections whose clients keep the server waiting, and too many of them.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::helpers::audio::tone;
use crate::helpers::{
    MODEL, Setup, TestApp, check_error, error, header, raw, until, within_patience,
};

async fn impatient() -> TestApp {
    let mut setup = Setup::default();
    setup.settings.read_timeout = Duration::from_secs(1);
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
    String::from_utf8_lossy(&bytes).into_owned()
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

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off() {
    const REQUESTS: usize = 64;
    let mut setup = Setup::default();
    setup.settings.read_timeout = Duration::from_secs(1);
    setup.settings.enable_ui = true;
    let app = TestApp::start_with(setup).await;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut connection = TcpStream::connect(&app.address).await.unwrap();
    let requests = request.repeat(REQUESTS);
    connection.write_all(requests.as_bytes()).await.unwrap();

    // The paused clock goes on only when the server waits, too: its buffers are full then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let read = to_the_end(&mut connection).await;

    let answers = read.matches("HTTP/1.1 200").count();
    assert!((1..REQUESTS).contains(&answers), "{answers}");
}

/// A server whose only connection is taken.
async fn without_a_free_connection() -> (TestApp, TcpStream) {
    let mut setup = Setup::default();
    setup.settings.max_connections = 1;
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let only = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 1).await;
    (app, only)
}

#[tokio::test]
async fn probes_are_answered_when_all_connections_are_taken() {
    let (app, only) = without_a_free_connection().await;

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
    within_patience(async { while app.get("/v1/models").send().await.unwrap().status() != 200 {} })
        .await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_keep_probes_out() {
    let (app, _only) = without_a_free_connection().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(&app.address).await.unwrap());
    }

    let asked = Instant::now();
    let answer = app.get("/health").send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert!(asked.elapsed() < Duration::from_secs(5));
}

/// Connections that begin the head of a request and never end it.
async fn half_sent_heads(app: &TestApp, count: usize) -> Vec<TcpStream> {
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

/// A client whose address is another one than that of all others.
fn elsewhere() -> Client {
    let address = IpAddr::from([127, 0, 0, 2]);
    Client::builder().local_address(address).build().unwrap()
}

#[tokio::test]
async fn half_sent_heads_do_not_keep_probes_out() {
    let (app, _only) = without_a_free_connection().await;
    // One after the other, a second each and a few at a time, they would take longer than patience lasts.
    let _heads = half_sent_heads(&app, 600).await;

    within_patience(async {
        for client in [Client::new(), elsewhere()] {
            let answer = client.get(app.url("/health")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    })
    .await;
}

#[tokio::test]
async fn idle_connections_of_one_address_give_way_to_another_one() {
    let mut setup = Setup::default();
    setup.settings.max_connections = 4;
    let app = TestApp::start_with(setup).await;
    let mut heads = half_sent_heads(&app, 4).await;

    let answer = elsewhere().get(app.url("/v1/models")).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(to_the_end(&mut heads[0]).await, "");
}

#[tokio::test]
async fn requests_that_are_being_answered_do_not_give_way() {
    let mut setup = Setup::default();
    setup.settings.max_connections = 2;
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let mut first = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    let _second = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 2).await;

    let answer = elsewhere().get(app.url("/v1/models")).send().await.unwrap();

    assert_eq!(answer.status(), 503);
    first.write_all(&[0; 1_000]).await.unwrap();
    let answer = raw::read_until(&mut first, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
