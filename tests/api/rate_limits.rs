//! Limits of a caller: uploads and audio per minute, requests at one time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use halkspeech::config::Secret;
use halkspeech::telemetry::RefusalReason;

use crate::helpers::audio::{tone, tones};
use crate::helpers::engine::{EngineGate, gated_engine};
use crate::helpers::{MODEL, TestApp, TestSetup, check_error, error, header, until};

/// A server with a limit of two uploads per minute, so that the third is refused without waiting.
async fn app_with_two_uploads_per_minute(keys: &[&str]) -> TestApp {
    let mut setup = TestSetup {
        rate_limit_per_minute: NonZeroU32::new(2),
        ..TestSetup::default()
    };
    setup.settings.api_keys = keys.iter().map(|key| Secret::new(*key)).collect();
    TestApp::start_with(setup).await
}

#[tokio::test]
async fn an_upload_above_the_limit_is_refused_before_it_is_read() {
    let app = app_with_two_uploads_per_minute(&[]).await;
    for _ in 0..2 {
        app.text_of(tone(500.0)).await;
    }

    // Invalid audio and the missing model would be a 400 if they were read.
    let answer = app.raw(vec![7; 1_000_000], &[]).send().await.unwrap();

    assert_eq!(answer.status(), 429);
    let wait_s: u64 = header(&answer, "retry-after").parse().unwrap();
    let wait_ms: u64 = header(&answer, "retry-after-ms").parse().unwrap();
    assert!((1..=30).contains(&wait_s), "{wait_s}");
    assert_eq!(wait_ms.div_ceil(1000), wait_s);
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    check_error(
        &error(answer).await,
        kind,
        None,
        code,
        "2 requests per minute",
    );
    assert_eq!(app.refusals(RefusalReason::RateLimit), 1);
    assert_eq!(app.metrics.requests_in_flight.get(), 0);
    let line = "halkspeech_refused_total{reason=\"rate_limit\"} 1\n";
    assert!(app.metrics.encode().contains(line));
}

#[tokio::test]
async fn every_key_has_its_own_limit() {
    let app = app_with_two_uploads_per_minute(&["one", "two"]).await;
    let send = |key: &'static str| {
        let request = app.form(tone(500.0), &[("model", MODEL)]);
        request.bearer_auth(key).send()
    };

    for (key, status) in [
        ("one", 200),
        ("one", 200),
        ("one", 429),
        ("two", 200),
        ("three", 401),
        ("two", 200),
        ("two", 429),
    ] {
        assert_eq!(send(key).await.unwrap().status(), status, "{key}");
    }
}

#[tokio::test]
async fn other_routes_are_not_counted() {
    let app = app_with_two_uploads_per_minute(&[]).await;

    for path in ["/v1/models", "/health", "/metrics"].repeat(3) {
        assert_eq!(app.get(path).send().await.unwrap().status(), 200, "{path}");
    }

    app.text_of(tone(500.0)).await;
}

#[tokio::test]
async fn a_refused_upload_does_not_count_as_turnover() {
    let gate = EngineGate::new();
    let mut setup = TestSetup {
        max_concurrent_requests: 2,
        rate_limit_per_minute: NonZeroU32::new(1),
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    setup.settings.api_keys = ["one", "two", "three"].map(Secret::new).to_vec();
    let app = TestApp::start_with(setup).await;
    let submit = |key: &'static str| {
        let request = app.form(tone(500.0), &[("model", MODEL)]).bearer_auth(key);
        tokio::spawn(async move { request.send().await.unwrap() })
    };
    let first = submit("one");
    gate.reached().await;

    // It has a permit for a moment.
    assert_eq!(submit("one").await.unwrap().status(), 429);
    assert_eq!(app.refusals(RefusalReason::RateLimit), 1);
    let second = submit("two");
    until(|| app.metrics.requests_in_flight.get() == 2).await;
    let full = submit("three").await.unwrap();

    assert_eq!(full.status(), 429);
    assert_eq!(app.refusals(RefusalReason::Concurrency), 1);
    // No request has ended, so a permit is still assumed to be held for a second. With the moment of the
    // refused upload the estimate would be a third of a second.
    let wait_ms: u64 = header(&full, "retry-after-ms").parse().unwrap();
    assert!(wait_ms >= 850, "{wait_ms}");
    gate.open();
    for running in [first, second] {
        assert_eq!(running.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn audio_above_the_limit_of_a_key_is_refused() {
    let mut setup = TestSetup {
        audio_limit_per_minute_s: NonZeroU32::new(1),
        ..TestSetup::default()
    };
    setup.settings.api_keys = ["one", "two"].map(Secret::new).to_vec();
    let app = TestApp::start_with(setup).await;
    let submit = |seconds, key: &'static str| {
        let file = tones(&[(500.0, Duration::from_secs(seconds))]);
        app.form(file, &[("model", MODEL)]).bearer_auth(key).send()
    };

    // Longer than the limit: it is accepted, and paid for by waiting.
    assert_eq!(submit(3, "one").await.unwrap().status(), 200);
    let invalid = app.raw(vec![7; 1000], &[]).bearer_auth("one");
    let refused = invalid.send().await.unwrap();

    assert_eq!(refused.status(), 429);
    let wait_s: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((60..=121).contains(&wait_s), "{wait_s}");
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    let text = "1 seconds of audio per minute";
    check_error(&error(refused).await, kind, None, code, text);
    assert_eq!(app.refusals(RefusalReason::AudioLimit), 1);
    assert_eq!(app.metrics.requests_in_flight.get(), 0);
    assert_eq!(submit(3, "two").await.unwrap().status(), 200);
}

#[tokio::test]
async fn audio_that_was_sent_before_the_limit_was_reached_is_counted_when_it_is_decoded() {
    let app = TestApp::start_with(TestSetup {
        audio_limit_per_minute_s: NonZeroU32::new(1),
        front_end_workers: 1,
        ..TestSetup::default()
    })
    .await;
    let file = || tones(&[(500.0, Duration::from_secs(3))]);
    let both = [app.submit(file()), app.submit(file())];

    let mut statuses = Vec::new();
    for answer in both {
        statuses.push(answer.await.unwrap().status().as_u16());
    }

    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429]);
    assert_eq!(app.refusals(RefusalReason::AudioLimit), 1);
}

#[tokio::test]
async fn a_key_has_at_most_its_limit_of_requests_at_one_time() {
    let gate = EngineGate::new();
    let mut setup = TestSetup {
        concurrent_limit: NonZeroUsize::new(1),
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    setup.settings.api_keys = ["one", "two"].map(Secret::new).to_vec();
    let app = TestApp::start_with(setup).await;
    let submit = |key: &'static str| {
        let request = app.form(tone(500.0), &[("model", MODEL)]).bearer_auth(key);
        tokio::spawn(async move { request.send().await.unwrap() })
    };
    let first = submit("one");
    gate.reached().await;

    let refused = submit("one").await.unwrap();

    assert_eq!(refused.status(), 429);
    assert!(header(&refused, "retry-after-ms").parse::<u64>().unwrap() > 0);
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), "0");
    let (kind, code) = ("rate_limit_exceeded", Some("rate_limit_exceeded"));
    let text = "1 requests at one time";
    check_error(&error(refused).await, kind, None, code, text);
    assert_eq!(app.refusals(RefusalReason::CallerLimit), 1);
    let other = submit("two");
    until(|| app.metrics.requests_in_flight.get() == 2).await;
    gate.open();
    for running in [first, other] {
        assert_eq!(running.await.unwrap().status(), 200);
    }
    assert_eq!(submit("one").await.unwrap().status(), 200);
}
