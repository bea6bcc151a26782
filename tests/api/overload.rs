//! Overload, deadlines, disconnects and shutdown.

mod shutdown;

use halkspeech::config::Secret;
use halkspeech::http::Phase;
use halkspeech::telemetry::RefusalReason;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, Instant};

use crate::helpers::audio::{adts_with_a_damaged_frame, tone, tones};
use crate::helpers::engine::{EngineGate, gated_engine};
use crate::helpers::{MODEL, TestApp, TestSetup, check_error, error, header, raw, until};

#[tokio::test]
async fn refuses_before_the_body_is_read_if_no_permit_is_free() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        max_concurrent_requests: 1,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let running = app.submit(tone(500.0));
    gate.reached().await;

    // Invalid audio and the missing model would be a 400 if they were read.
    let mut waits_ms = Vec::new();
    for length in [8 << 20, 10, 10] {
        let body = vec![7; length];
        let answer = app.raw(body, &[]).send().await.unwrap();

        assert_eq!(answer.status(), 429);
        waits_ms.push(wait_ms(&answer));
        assert_eq!(header(&answer, "x-ratelimit-limit-requests"), "1");
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), "0");
        let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
        check_error(
            &error(answer).await,
            kind,
            None,
            code,
            "concurrent requests (1)",
        );
    }
    assert_eq!(app.refusals(RefusalReason::Concurrency), 3);
    // Each retry time is later than the one before, also for a request that did not wait.
    assert!(waits_ms.is_sorted_by(|a, b| a < b), "{waits_ms:?}");

    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);
    let answer = app.raw(vec![7; 10], &[("model", MODEL)]).send().await;
    assert_eq!(answer.unwrap().status(), 400);
}

#[tokio::test]
async fn refuses_audio_above_the_limit_of_decoded_memory() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        // Half a second of audio takes 90 kB, including its window for the engine.
        decoded_bytes: 200_000,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let running = app.submit(tone(500.0));
    gate.reached().await;

    let answer = app.submit(tone(600.0)).await.unwrap();

    assert_eq!(answer.status(), 429);
    wait_ms(&answer);
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    check_error(&error(answer).await, kind, None, code, "memory");
    assert_eq!(app.refusals(RefusalReason::Memory), 1);
    let metrics = app.get("/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("\nhalkspeech_decoded_audio_bytes 131072\n"),
        "{metrics}"
    );

    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);
    assert_eq!(app.submit(tone(600.0)).await.unwrap().status(), 200);
    let long = tones(&[(500.0, Duration::from_secs(3))]);
    let answer = app.submit(long).await.unwrap();
    assert_eq!(answer.status(), 413);
    let (kind, code) = ("invalid_request_error", Some("audio_too_long"));
    let fragment = "AUDIO__MAX_DECODED_MIB";
    check_error(&error(answer).await, kind, Some("file"), code, fragment);
    assert_eq!(app.refusals(RefusalReason::Memory), 1);
}

#[tokio::test]
async fn one_caller_leaves_half_of_the_permits_to_others() {
    let mut setup = TestSetup {
        max_concurrent_requests: 4,
        ..TestSetup::default()
    };
    setup.settings.api_keys = ["alice", "bob"].map(Secret::new).to_vec();
    let app = TestApp::start_with(setup).await;
    let query = format!("?model={MODEL}");
    let key = "Authorization: Bearer alice";
    let mut uploads = Vec::new();
    for _ in 0..4 {
        uploads.push(raw::begin(&app, &query, &[key, "Content-Length: 1000"]).await);
    }
    until(|| app.metrics.requests_in_flight.get() == 4).await;
    let send = |key: &str| {
        let request = app.raw(tone(500.0), &[("model", MODEL)]);
        request.bearer_auth(key).send()
    };
    assert_eq!(send("bob").await.unwrap().status(), 429);

    drop(uploads.pop());
    until(|| app.metrics.requests_in_flight.get() == 3).await;
    let refused = send("alice").await.unwrap();

    assert_eq!(refused.status(), 429);
    wait_ms(&refused);
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), "0");
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    check_error(
        &error(refused).await,
        kind,
        None,
        code,
        "(2 while other callers send requests)",
    );
    assert_eq!(app.refusals(RefusalReason::CallerShare), 1);
    assert_eq!(app.refusals(RefusalReason::Concurrency), 1);
    assert_eq!(send("bob").await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_request_is_counted_once() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let leaving = app.submit(tone(500.0));
    gate.reached().await;
    let query = format!("?model={MODEL}");
    let mut broken = raw::begin(&app, &query, &["Content-Length: 1000"]).await;
    broken.write_all(b"RIFF").await.unwrap();
    until(|| app.metrics.requests_in_flight.get() == 2).await;

    leaving.abort();
    drop(broken);
    until(|| app.metrics.requests_in_flight.get() == 0).await;
    gate.open();
    app.text_of(tone(500.0)).await;

    until(|| app.responses_for_model(499, "") == 2).await;
    assert_eq!(app.responses(200), 1);
    let metrics = app.metrics.encode();
    let count = |start: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(start));
        let values = lines.map(|line| line.rsplit_once(' ').unwrap().1);
        values
            .map(|value| value.parse::<u64>().unwrap())
            .sum::<u64>()
    };
    assert_eq!(count("halkspeech_requests_total"), 3, "{metrics}");
    assert_eq!(count("halkspeech_request_seconds_count"), 3, "{metrics}");
}

#[tokio::test]
async fn refuses_when_the_queue_is_full() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        queue_capacity: 1,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let running = app.submit(tone(500.0));
    gate.reached().await;
    let waiting = app.submit(tone(600.0));
    app.until_queued(1).await;

    // Invalid audio again: the refusal comes before it is decoded.
    let answer = app
        .raw(vec![7; 1_000], &[("model", MODEL)])
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 429);
    wait_ms(&answer);
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    check_error(&error(answer).await, kind, None, code, "queue is full");
    assert_eq!(app.refusals(RefusalReason::Queue), 1);

    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_returns_on_time_waits_while_the_queue_is_full() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        queue_capacity: 1,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let running = app.submit(tone(500.0));
    gate.reached().await;
    let waiting = app.submit(tone(600.0));
    app.until_queued(1).await;
    let refused = app.submit(tone(700.0)).await.unwrap();
    assert_eq!(refused.status(), 429);

    // The client waits for the refusal's Retry-After.
    tokio::time::sleep(Duration::from_millis(wait_ms(&refused))).await;
    let returned = app.submit(tone(700.0));
    until(|| app.metrics.requests_in_flight.get() == 3).await;
    gate.open();

    assert_eq!(returned.await.unwrap().status(), 200);
    assert_eq!(running.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(app.refusals(RefusalReason::Queue), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_past_its_deadline_gets_a_504() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;

    let answer = app.submit(tone(500.0)).await.unwrap();

    assert_eq!(answer.status(), 504);
    check_error(
        &error(answer).await,
        "server_error",
        None,
        Some("timeout"),
        "request timeout",
    );
    gate.open();
}

#[tokio::test]
async fn a_disconnect_cancels_only_the_windows_of_its_request() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        front_end_workers: 1,
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;
    let running = app.submit(tone(500.0));
    gate.reached().await;
    let leaving = app.submit(tone(600.0));
    app.until_decoded(2).await;
    // The single worker alternates: it cuts the window of the leaving request before it decodes this
    // audio, and computes its features before it refuses the invalid audio.
    let staying = app.submit(tone(700.0));
    app.until_decoded(3).await;
    let garbage = app.raw(vec![7; 1_000], &[("model", MODEL)]);
    assert_eq!(garbage.send().await.unwrap().status(), 400);

    leaving.abort();
    until(|| app.metrics.requests_in_flight.get() == 2).await;
    gate.open();

    assert_eq!(running.await.unwrap().status(), 200);
    let staying = staying.await.unwrap();
    assert_eq!(staying.status(), 200);
    assert_eq!(header(&staying, "x-batch-size"), "1");
    assert_eq!(app.metrics.jobs_cancelled.get(), 1);
    assert_eq!(app.responses(200), 2);
}

#[tokio::test]
async fn long_recordings_of_one_caller_do_not_delay_another() {
    const MANY: usize = 10;
    let mut setup = TestSetup {
        front_end_workers: 1,
        ..TestSetup::default()
    };
    setup.settings.api_keys = ["alice", "bob"].map(Secret::new).to_vec();
    let app = TestApp::start_with(setup).await;
    let send = |file: Vec<u8>, key: &'static str| {
        let request = app.raw(file, &[("model", MODEL)]).bearer_auth(key);
        tokio::spawn(async move { request.send().await.unwrap() })
    };
    // A few kilobytes each, so that all are uploaded before the first few are decoded.
    let long = adts_with_a_damaged_frame(500, usize::MAX);
    let many: Vec<_> = (0..MANY).map(|_| send(long.clone(), "alice")).collect();
    let uploaded = format!("halkspeech_upload_seconds_count {MANY}\n");
    until(|| app.metrics.encode().contains(&uploaded)).await;

    let answer = send(tone(500.0), "bob").await.unwrap();

    assert_eq!(answer.status(), 200);
    let all = format!("halkspeech_decode_seconds_count {}\n", MANY + 1);
    assert!(!app.metrics.encode().contains(&all), "it was the last");
    for answer in many {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

/// The retry time of a refusal; checks that its two headers agree.
#[track_caller]
fn wait_ms(answer: &reqwest::Response) -> u64 {
    let [wait_s, wait_ms] =
        ["retry-after", "retry-after-ms"].map(|name| header(answer, name).parse::<u64>().unwrap());
    assert!((100..=60_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(wait_s, wait_ms.div_ceil(1000));
    wait_ms
}
