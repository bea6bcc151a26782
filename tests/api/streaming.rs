//! `stream=true`: events, errors and disconnects.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use halkspeech::batch::BatchLimits;
use halkspeech::http::Phase;
use halkspeech::models::ModelId;
use halkspeech::telemetry::RefusalReason;
use halkspeech_whisper::engine::fake::FakeEngine;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::helpers::audio::{tone, tones};
use crate::helpers::engine::{
    BAD_PITCH_HZ, EngineFault, EngineGate, engine_gated_after_first_batch, gated_engine,
    gated_engine_with_fault, loudest_bands,
};
use crate::helpers::{
    MODEL, TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, error_in, header, text, until,
};

/// Four windows, each mostly with its own pitch.
fn long() -> Vec<u8> {
    let quarter = Duration::from_millis(23_750);
    tones(&[300.0, 600.0, 900.0, 1_200.0].map(|pitch| (pitch, quarter)))
}

fn streamed(app: &TestApp, file: Vec<u8>) -> RequestBuilder {
    app.raw(file, &[("model", MODEL), ("stream", "true")])
}

/// A stream whose second window waits at the gate.
async fn gated_stream(app: &TestApp, gate: &EngineGate) -> Response {
    let mut answer = streamed(app, long()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    read_until(&mut answer, "transcript.text.delta").await;
    gate.reached().await;
    answer
}

/// Reads until `text` is received.
async fn read_until(answer: &mut Response, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let chunk = answer.chunk().await.unwrap().expect("the stream ended");
        read.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    read
}

/// The data of the events; anything else must be a comment.
fn events(body: &str) -> Vec<Value> {
    assert!(body.ends_with("\n\n"), "{body}");
    let lines = body.split_terminator("\n\n");
    let events = lines.filter(|line| *line != ": keep-alive");
    events
        .map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

/// The joined deltas, and their number.
fn joined(deltas: &[Value]) -> (String, usize) {
    let delta = |event: &Value| {
        assert_eq!(event["type"], "transcript.text.delta", "{event}");
        event["delta"].as_str().unwrap().to_owned()
    };
    (deltas.iter().map(delta).collect(), deltas.len())
}

#[tokio::test]
async fn the_deltas_are_the_text_in_order() {
    let app = TestApp::start().await;
    let whole = app.raw(long(), &[("model", MODEL)]).send().await.unwrap();
    let whole = text(whole).await;

    let answer = streamed(&app, long()).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "content-type"),
        "text/event-stream; charset=utf-8"
    );
    let events = events(&answer.text().await.unwrap());
    let (done, deltas) = events.split_last().unwrap();
    assert_eq!(joined(deltas), (whole.clone(), 4));
    let written = done["usage"]["output_tokens"].as_u64().unwrap();
    assert!(written >= 4, "{done}");
    let usage = json!({
        "type": "tokens",
        "input_tokens": 950,
        "input_token_details": { "audio_tokens": 950, "text_tokens": 0 },
        "output_tokens": written,
        "total_tokens": 950 + written,
    });
    let languages = json!([{ "code": "en" }]);
    assert_eq!(
        done,
        &json!({ "type": "transcript.text.done", "text": whole, "languages": languages, "usage": usage })
    );
}

#[tokio::test]
async fn a_stream_of_verbose_json_ends_with_the_whole_transcript() {
    let app = TestApp::start().await;
    let fields = [("model", MODEL), ("response_format", "verbose_json")];
    let whole = app.raw(long(), &fields).send().await.unwrap();
    let whole: Value = whole.json().await.unwrap();

    let answer = app.raw(long(), &fields).query(&[("stream", "true")]);
    let answer = answer.send().await.unwrap();

    assert_eq!(answer.status(), 200);
    let mut events = events(&answer.text().await.unwrap());
    let mut done = events.pop().unwrap();
    let kind = done.as_object_mut().unwrap().remove("type");
    assert_eq!(kind, Some(json!("transcript.text.done")));
    assert_eq!(done, whole);
    assert!(events.len() >= 4, "{} segments", events.len());
    let of_whole = whole["segments"].as_array().unwrap().iter().zip(1..);
    let expected = of_whole.map(|(segment, number): (&Value, usize)| {
        json!({
            "type": "transcript.text.segment",
            "id": format!("seg_{number:03}"),
            "start": segment["start"],
            "end": segment["end"],
            "text": segment["text"],
        })
    });
    assert_eq!(events, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn the_usage_counts_the_prompt_as_truncated_for_the_model() {
    let app = TestApp::start().await;
    let text_tokens = async |prompt: &'static str| {
        let query = [("model", MODEL), ("stream", "on"), ("prompt", prompt)];
        let answer = app.raw(tone(500.0), &query).send().await.unwrap();
        let events = events(&answer.text().await.unwrap());
        let usage = &events.last().unwrap()["usage"];
        assert_eq!(usage["input_token_details"]["audio_tokens"], 5);
        usage["input_token_details"]["text_tokens"]
            .as_u64()
            .unwrap()
    };

    let short = text_tokens("Willoughby and").await;
    let long: &str = "Willoughby and ".repeat(200).leak();

    assert!((2..20).contains(&short), "{short}");
    // The model accepts no longer prompt.
    assert_eq!(text_tokens(long).await, 223);
}

#[tokio::test]
async fn text_is_sent_at_once_and_comments_keep_the_stream_alive() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: engine_gated_after_first_batch(&gate),
        ..TestSetup::default()
    })
    .await;

    let mut answer = gated_stream(&app, &gate).await;
    read_until(&mut answer, ": keep-alive\n\n: keep-alive\n\n").await;
    gate.open();
    let rest = events(&answer.text().await.unwrap());

    let (done, deltas) = rest.split_last().unwrap();
    let (text, count) = joined(deltas);
    assert_eq!(count, 3);
    assert!(done["text"].as_str().unwrap().ends_with(&text), "{done}");
}

#[tokio::test]
async fn a_queued_stream_is_kept_alive_before_its_first_text() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;

    let mut answer = streamed(&app, tone(500.0)).send().await.unwrap();
    let comment = answer.chunk().await.unwrap().unwrap();
    gate.open();
    let events = events(&answer.text().await.unwrap());

    assert!(comment.starts_with(b": keep-alive\n\n"), "{comment:?}");
    assert_eq!(events.last().unwrap()["text"], "band 13");
}

#[tokio::test]
async fn an_error_before_the_first_event_is_an_ordinary_response() {
    let app = TestApp::start().await;
    let cases = [
        (MODEL, vec![7; 1_000], 400, "invalid_value"),
        ("no-such-model", tone(500.0), 404, "model_not_found"),
    ];

    for (model, file, status, code) in cases {
        let answer = app.raw(file, &[("model", model), ("stream", "true")]);
        let answer = answer.send().await.unwrap();

        assert_eq!(answer.status(), status);
        assert_eq!(error(answer).await["code"], code);
    }
    assert_eq!(app.metrics.requests_in_flight.get(), 0);

    app.phase.send_replace(Phase::Draining);
    let answer = streamed(&app, tone(500.0)).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    error(answer).await;
}

#[tokio::test]
async fn a_full_queue_is_an_ordinary_response() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        queue_capacity: 1,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let running = app.submit(tone(500.0));
    gate.reached().await;
    let waiting = app.submit(tone(600.0));
    app.until_queued(1).await;

    let answer = streamed(&app, tone(700.0)).send().await.unwrap();

    assert_eq!(answer.status(), 429);
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    check_error(&error(answer).await, kind, None, code, "queue is full");
    assert_eq!(app.refusals(RefusalReason::Queue), 1);
    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_failure_during_the_stream_is_the_last_event() {
    let gate = EngineGate::new();
    gate.open();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine_with_fault(&gate, EngineFault::Error),
        ..TestSetup::default()
    })
    .await;
    let half_minute = Duration::from_secs(30);
    let fails_late = tones(&[(300.0, half_minute), (BAD_PITCH_HZ, half_minute)]);

    for (file, sent) in [(tone(BAD_PITCH_HZ), 0), (fails_late, 1)] {
        let answer = streamed(&app, file).send().await.unwrap();

        assert_eq!(answer.status(), 200);
        let id = header(&answer, "x-request-id").to_owned();
        let events = events(&answer.text().await.unwrap());
        let (last, deltas) = events.split_last().unwrap();
        assert_eq!(joined(deltas).1, sent);
        let error = error_in(last);
        check_error(&error, "server_error", None, None, &id);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_deadline_during_the_stream_is_the_last_event() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: engine_gated_after_first_batch(&gate),
        ..TestSetup::default()
    })
    .await;
    let answer = gated_stream(&app, &gate).await;

    tokio::time::pause();
    let events = events(&answer.text().await.unwrap());
    gate.open();

    let error = error_in(events.last().unwrap());
    let code = Some("timeout");
    check_error(&error, "server_error", None, code, "request timeout");
}

#[tokio::test]
async fn a_disconnect_frees_the_permit_and_the_windows() {
    let gate = EngineGate::new();
    let windows = Arc::new(AtomicUsize::new(0));
    let engine = {
        let (gate, windows) = (Arc::clone(&gate), Arc::clone(&windows));
        FakeEngine::factory(move |_, inputs| {
            if windows.fetch_add(inputs.len(), Ordering::SeqCst) > 0 {
                gate.pass();
            }
            Ok(loudest_bands(inputs))
        })
    };
    let app = TestApp::start_with(TestSetup {
        max_concurrent_requests: 1,
        limits: BatchLimits {
            batch_size: NonZeroUsize::MIN,
            ..TestSetup::default().limits
        },
        engine,
        ..TestSetup::default()
    })
    .await;
    let answer = gated_stream(&app, &gate).await;
    app.until_queued(2).await;

    drop(answer);
    until(|| app.metrics.requests_in_flight.get() == 0).await;
    gate.open();
    let next = app.submit(tone(500.0)).await.unwrap();

    assert_eq!(next.status(), 200);
    // The first, the one at the gate, and that of the next request.
    assert_eq!(windows.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn an_unread_stream_ends_with_its_deadline() {
    let app = TestApp::start().await;
    let router = halkspeech::http::router(Arc::clone(&app.context));
    let request = Request::post(format!("{TRANSCRIPTIONS}?model={MODEL}&stream=true"));
    let request = request.body(Body::from(long())).unwrap();

    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    // The paused clock advances past the deadline when all tasks are idle.
    tokio::time::sleep(Duration::from_secs(61)).await;

    assert_eq!(app.metrics.requests_in_flight.get(), 0);
    let model = ModelId::parse(MODEL).unwrap();
    app.models.unload(&model).await.unwrap();
    let body = to_bytes(answer.into_body(), 100_000).await.unwrap();
    let events = events(std::str::from_utf8(&body).unwrap());
    let error = error_in(events.last().unwrap());
    check_error(
        &error,
        "server_error",
        None,
        Some("timeout"),
        "request timeout",
    );
}

#[tokio::test]
async fn a_stopping_server_finishes_a_stream() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: engine_gated_after_first_batch(&gate),
        ..TestSetup::default()
    })
    .await;
    let answer = gated_stream(&app, &gate).await;

    app.phase.send_replace(Phase::Draining);
    let server = app.stop();
    gate.open();

    let events = events(&answer.text().await.unwrap());
    assert_eq!(events.last().unwrap()["type"], "transcript.text.done");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_outlasts_the_shutdown_ends_with_an_error() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: engine_gated_after_first_batch(&gate),
        ..TestSetup::default()
    })
    .await;
    let answer = gated_stream(&app, &gate).await;

    app.phase.send_replace(Phase::CutOff);

    let events = events(&answer.text().await.unwrap());
    let error = error_in(events.last().unwrap());
    check_error(&error, "server_error", None, None, "shut down");
    gate.open();
}
