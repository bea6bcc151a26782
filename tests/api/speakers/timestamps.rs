//! The times of speech, which no model is needed for.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::{INVALID, TIMESTAMPS};
use crate::helpers::audio::{sample, tone, tones, wav};
use crate::helpers::{TestApp, TestSetup, check_error, error, form, header, json_of};

#[tokio::test]
async fn speech_has_times_in_milliseconds() {
    let app = TestApp::start().await;
    let spans = |query: &[(&str, &str)]| {
        let request = app.post(TIMESTAMPS).query(query).body(wav(1, &sample()));
        async move { json_of(request).await.as_array().unwrap().clone() }
    };
    let found = spans(&[("min_silence_duration_ms", "100")]).await;
    assert!(found.len() > 2, "{found:?}");
    let mut last = 0;
    for span in &found {
        let [start, end] = ["start", "end"].map(|name| span[name].as_u64().unwrap());
        assert!(last <= start && start < end && end <= 11_000, "{found:?}");
        last = end;
    }
    let cut = spans(&[
        ("min_silence_duration_ms", "5000"),
        ("max_speech_duration_s", "3"),
    ])
    .await;
    assert!(cut.len() >= 3, "{cut:?}");
    for span in &cut {
        let length = span["end"].as_u64().unwrap() - span["start"].as_u64().unwrap();
        assert!(length <= 3_000, "{cut:?}");
    }
}

#[tokio::test]
async fn a_tone_is_no_speech() {
    let app = TestApp::start().await;

    let form = form(
        tones(&[(500.0, Duration::from_secs(2))]),
        &[("speech_pad_ms", "30")],
    );
    let answer = app.post(TIMESTAMPS).multipart(form).send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert!(!header(&answer, "x-ratelimit-limit-requests").is_empty());
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap(), json!([]));

    for (name, value) in [
        ("threshold", "1.5"),
        ("neg_threshold", "-1"),
        ("speech_pad_ms", "x"),
    ] {
        let query = [(name, value)];
        let request = app.post(TIMESTAMPS).query(&query).body(tone(500.0));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
        assert_eq!(error(answer).await["param"], name);
    }
}

#[tokio::test]
async fn the_limits_of_uploads_apply() {
    let app = TestApp::start_with(TestSetup {
        max_duration: Duration::from_secs(1),
        audio_limit_per_minute_s: NonZeroU32::new(1),
        ..TestSetup::default()
    })
    .await;
    let long = tones(&[(500.0, Duration::from_secs(2))]);
    let answer = app.post(TIMESTAMPS).body(long).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    check_error(
        &error(answer).await,
        INVALID,
        Some("file"),
        Some("invalid_value"),
        "too long",
    );

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = app.post(TIMESTAMPS).body(tone(500.0)).send().await;
        statuses.push(answer.unwrap().status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}
