//! The log of errors.

use std::fs::{self, File};
use std::sync::Arc;

use halkspeech::http::Phase;
use tracing::Level;

use crate::helpers::audio::tone;
use crate::helpers::engine::{BAD_PITCH_HZ, EngineFault, EngineGate, gated_engine_with_fault};
use crate::helpers::{MODEL, TestApp, TestSetup};

#[tokio::test]
async fn every_error_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_writer(Arc::new(File::create(&file).unwrap()))
        .with_ansi(false)
        .finish();
    // The server's tasks run on the thread of this test.
    let _guard = tracing::subscriber::set_default(subscriber);
    let logged = |level: &str, message: &str| {
        let log = fs::read_to_string(&file).unwrap();
        let lines = log.lines();
        lines
            .filter(|line| line.contains(level) && line.contains(message))
            .count()
    };
    let gate = EngineGate::new();
    gate.open();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine_with_fault(&gate, EngineFault::Error),
        ..TestSetup::default()
    })
    .await;

    // Another test may have been using a place of the log for the first time while the subscriber was set, and such a
    // place would stay silent.
    tracing::callsite::rebuild_interest_cache();
    assert_eq!(app.get("/nothing").send().await.unwrap().status(), 404);
    assert_eq!(logged("DEBUG", "request refused http.status=404"), 1);

    // The engine fails when the response is a stream already.
    let bad = app.raw(tone(BAD_PITCH_HZ), &[("model", MODEL), ("stream", "true")]);
    let answer = bad.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("Request id: "));
    assert_eq!(logged("ERROR", "request failed http.status=500"), 1);

    app.phase.send_replace(Phase::Draining);
    let request = app.raw(tone(500.0), &[("model", MODEL)]);
    assert_eq!(request.send().await.unwrap().status(), 503);
    assert_eq!(logged("WARN", "request refused http.status=503"), 1);
}
