//! Headers of every response, and routes without transcription.

use std::path::Path;

use halkspeech::config::Secret;
use halkspeech::http::Phase;
use halkspeech::models::{DefaultModel, ModelId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::helpers::audio::tone;
use crate::helpers::{MODEL, TRANSCRIPTIONS, TestApp, TestSetup, error, header};
use crate::model_files::{Fixture, lay_out};

#[tokio::test]
async fn a_request_id_is_echoed_or_generated() {
    let app = TestApp::start().await;

    let valid = app
        .get("/health")
        .header("x-request-id", "abc-123")
        .send()
        .await
        .unwrap();
    let invalid = app
        .get("/nothing")
        .header("x-request-id", "a b\"c")
        .send()
        .await
        .unwrap();
    let absent = app.get("/health").send().await.unwrap();

    assert_eq!(header(&valid, "x-request-id"), "abc-123");
    assert_eq!(header(&invalid, "x-request-id").len(), 36);
    assert_eq!(header(&absent, "x-request-id").len(), 36);
}

#[tokio::test]
async fn health_and_readiness_are_separate() {
    let app = TestApp::start().await;

    for (path, status) in [("/health", "ok"), ("/ready", "ready")] {
        let answer = app.get(path).send().await.unwrap();

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap()["status"], status);
    }
}

/// A server with the models of this folder, none of them loaded.
async fn app_with_models_in(folder: &Path, default_model: DefaultModel) -> TestApp {
    TestApp::start_with(TestSetup {
        models_dir: folder.to_owned(),
        default_model,
        preload: false,
        ..TestSetup::default()
    })
    .await
}

async fn readiness(app: &TestApp) -> (u16, Value) {
    let answer = app.get("/ready").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn readiness_reports_a_missing_default_model() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["base", "small"] {
        lay_out(&folder.path().join(name), &Fixture::default());
    }
    let base = DefaultModel::Configured(ModelId::parse("base").unwrap());
    let app = app_with_models_in(folder.path(), base).await;
    assert_eq!(readiness(&app).await, (200, json!({ "status": "ready" })));

    let deleted = app.client.delete(app.url("/v1/models/base")).send().await;
    assert_eq!(deleted.unwrap().status(), 200);

    let missing = json!({ "status": "ready", "default_model": "missing" });
    assert_eq!(readiness(&app).await, (200, missing));
    app.phase.send_replace(Phase::Draining);
    let draining = json!({
        "status": "not ready",
        "reason": "draining",
        "default_model": "missing",
    });
    assert_eq!(readiness(&app).await, (503, draining));
}

#[tokio::test]
async fn openai_names_resolve_to_the_only_model_without_a_configured_default() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(&folder.path().join("small"), &Fixture::default());
    let assumed = || DefaultModel::BuiltIn(ModelId::parse("base").unwrap());

    let app = app_with_models_in(folder.path(), assumed()).await;
    assert_eq!(readiness(&app).await, (200, json!({ "status": "ready" })));
    let model = app.get("/v1/models/whisper-1").send().await.unwrap();
    assert_eq!(model.json::<Value>().await.unwrap()["id"], "small");

    lay_out(&folder.path().join("tiny"), &Fixture::default());
    let app = app_with_models_in(folder.path(), assumed()).await;
    assert_eq!(readiness(&app).await.1["default_model"], "missing");
    let model = app.get("/v1/models/whisper-1").send().await.unwrap();
    assert_eq!(model.status(), 404);
    let message = error(model).await["message"].to_string();
    for part in [
        "'whisper-1' stands for the model 'Systran/faster-whisper-base'",
        "POST /v1/models/Systran/faster-whisper-base;",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let app = TestApp::start().await;
    app.text_of(tone(500.0)).await;
    app.get("/nothing").send().await.unwrap();

    let plain = app.get("/metrics").send().await.unwrap();
    assert_eq!(
        header(&plain, "content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let plain = plain.text().await.unwrap();
    assert!(plain.contains("# TYPE halkspeech_requests_total counter\n"));
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let answer = app.get("/metrics").header("accept", accept);
    let answer = answer.send().await.unwrap();

    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(header(&answer, "content-type"), content_type);
    let text = answer.text().await.unwrap();
    for line in [
        "halkspeech_build_info{version=\"0.1.0\"} 1",
        "halkspeech_requests_total{route=\"/v1/audio/transcriptions\",status=\"200\",model=\"tiny.en\"} 1",
        "halkspeech_requests_total{route=\"unknown\",status=\"404\",model=\"\"} 1",
        "halkspeech_request_seconds_count{route=\"/v1/audio/transcriptions\"} 1",
        "halkspeech_requests_in_flight 0",
        "halkspeech_upload_seconds_count 1",
        "halkspeech_decode_seconds_count 1",
        "halkspeech_vad_seconds_count 1",
        "halkspeech_features_seconds_count 1",
        "halkspeech_queue_seconds_count 1",
        "halkspeech_queued_windows 0",
        "halkspeech_queued_audio_seconds 0.0",
        "halkspeech_real_time_factor_count 1",
        "halkspeech_batch_windows_count 1",
        "halkspeech_batch_fill_ratios_count 1",
        "halkspeech_jobs_cancelled_total 0",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no {line} in {text}"
        );
    }
    let resident = text
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
        .map(|bytes| bytes.parse::<f64>().unwrap());
    assert!(resident.unwrap() > 1e6, "{text}");
}

#[tokio::test]
async fn unknown_model_names_are_not_kept_in_the_metrics() {
    let app = TestApp::start_with(TestSetup {
        auto_download: true,
        ..TestSetup::default()
    })
    .await;

    for name in ["o/one", "o/two"] {
        let answer = app.form(tone(500.0), &[("model", name)]).send().await;
        assert_eq!(answer.unwrap().status(), 404, "{name}");
    }
    app.text_of(tone(500.0)).await;

    let text = app
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let start = "halkspeech_requests_total{route=\"/v1/audio/transcriptions\"";
    for (status, model, count) in [(404, "unknown", 2), (200, MODEL, 1)] {
        let line = format!("{start},status=\"{status}\",model=\"{model}\"}} {count}");
        assert!(
            text.lines().any(|found| found == line),
            "no {line} in {text}"
        );
    }
    assert!(!text.contains("o/one") && !text.contains("o/two"), "{text}");
}

#[tokio::test]
async fn browsers_may_call_from_configured_origins() {
    let mut setup = TestSetup::default();
    setup.settings.allow_origins = vec!["https://app.example".to_owned()];
    setup.settings.api_keys = vec![Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;
    let preflight = |origin: &'static str| {
        app.client
            .request(Method::OPTIONS, app.url(TRANSCRIPTIONS))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
            .send()
    };

    let friend = preflight("https://app.example").await.unwrap();
    let stranger = preflight("https://other.example").await.unwrap();
    let refused = app
        .post(TRANSCRIPTIONS)
        .header("origin", "https://app.example");
    let refused = refused.send().await.unwrap();

    assert_eq!(friend.status(), 200);
    assert_eq!(
        header(&friend, "access-control-allow-origin"),
        "https://app.example"
    );
    assert_eq!(
        header(&friend, "access-control-allow-headers"),
        "authorization"
    );
    assert_eq!(header(&stranger, "access-control-allow-origin"), "");
    // Without the headers the page could not read the error.
    assert_eq!(refused.status(), 401);
    assert_eq!(
        header(&refused, "access-control-allow-origin"),
        "https://app.example"
    );
    assert!(header(&refused, "access-control-expose-headers").contains("x-request-id"));
}

#[tokio::test]
async fn options_is_an_ordinary_method_without_a_preflight() {
    let app = TestApp::start().await;

    for (path, status) in [(TRANSCRIPTIONS, 405), ("/health", 405), ("/nothing", 404)] {
        let answer = app.client.request(Method::OPTIONS, app.url(path)).send();

        assert_eq!(answer.await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_star_allows_every_page() {
    let mut setup = TestSetup::default();
    setup.settings.allow_origins = vec!["*".to_owned()];
    let app = TestApp::start_with(setup).await;

    let request = app
        .form(tone(500.0), &[("model", MODEL)])
        .header("origin", "https://any.example");
    let answer = request.send().await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
}
