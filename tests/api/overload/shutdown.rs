//! Requests at the start and at the shutdown of the server.

use super::*;

#[tokio::test]
async fn a_draining_server_refuses_requests_with_a_reason() {
    let app = TestApp::start().await;
    app.phase.send_replace(Phase::Draining);

    let answer = app
        .form(tone(500.0), &[("model", MODEL)])
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 503);
    assert_eq!(header(&answer, "retry-after"), "5");
    check_error(
        &error(answer).await,
        "server_error",
        None,
        None,
        "shutting down",
    );
    assert_eq!(app.get("/health").send().await.unwrap().status(), 200);
    let ready = app.get("/ready").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.json::<Value>().await.unwrap()["reason"], "draining");
}

#[tokio::test]
async fn a_starting_server_is_not_ready_but_accepts_requests() {
    let app = TestApp::start_with(TestSetup {
        preload: false,
        ..TestSetup::default()
    })
    .await;
    app.phase.send_replace(Phase::Starting);

    let ready = app.get("/ready").send().await.unwrap();
    let answer = app.submit(tone(500.0)).await.unwrap();

    assert_eq!(ready.status(), 503);
    assert_eq!(ready.json::<Value>().await.unwrap()["reason"], "loading");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_stopping_server_finishes_running_requests() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let running = app.submit(tone(500.0));
    gate.reached().await;

    let server = app.stop();
    gate.open();

    assert_eq!(running.await.unwrap().status(), 200);
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_outlasts_the_shutdown_gets_a_503() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let running = app.submit(tone(500.0));
    gate.reached().await;

    app.phase.send_replace(Phase::CutOff);

    let answer = running.await.unwrap();
    assert_eq!(answer.status(), 503);
    check_error(
        &error(answer).await,
        "server_error",
        None,
        None,
        "shut down",
    );
    gate.open();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_still_sending_gets_a_503_at_the_end_of_the_shutdown() {
    let app = TestApp::start().await;
    let query = format!("?model={MODEL}");
    let mut connection = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    until(|| app.metrics.requests_in_flight.get() == 1).await;

    let cut_off = Instant::now();
    app.phase.send_replace(Phase::CutOff);
    let answer = raw::read_until(&mut connection, "}}").await;

    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // The process exits two seconds later.
    assert!(cut_off.elapsed() < Duration::from_secs(1));
}
