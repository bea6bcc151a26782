//! How many uploads a caller may send within a minute.

use std::num::NonZeroU32;

use halkspeech::config::Secret;
use halkspeech::telemetry::RefusalReason;

use crate::helpers::audio::tone;
use crate::helpers::{MODEL, Setup, TestApp, check_error, error, header};

/// Two uploads a minute, so that no test has to wait for the third.
async fn two_a_minute(keys: &[&str]) -> TestApp {
    let mut setup = Setup {
        rate_limit_per_minute: NonZeroU32::new(2),
        ..Setup::default()
    };
    setup.rules.api_keys = keys.iter().map(|key| Secret::new(*key)).collect();
    TestApp::start_with(setup).await
}

#[tokio::test]
async fn beyond_the_limit_an_upload_is_refused_before_it_is_read() {
    let app = two_a_minute(&[]).await;
    for _ in 0..2 {
        app.text_of(tone(500.0)).await;
    }

    // Garbage would be a 400, and the missing model too, if anybody looked.
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
        "2 requests a minute",
    );
    assert_eq!(app.refused(RefusalReason::RateLimit), 1);
    assert_eq!(app.metrics.requests_in_flight.get(), 0);
    let line = "halkspeech_refused_total{reason=\"rate_limit\"} 1\n";
    assert!(app.metrics.encode().contains(line));
}

#[tokio::test]
async fn every_key_has_a_limit_of_its_own() {
    let app = two_a_minute(&["one", "two"]).await;
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
    let app = two_a_minute(&[]).await;

    for path in ["/v1/models", "/health", "/metrics"].repeat(3) {
        assert_eq!(app.get(path).send().await.unwrap().status(), 200, "{path}");
    }

    app.text_of(tone(500.0)).await;
}
