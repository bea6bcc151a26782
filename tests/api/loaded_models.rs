//! Models in memory: loading, the memory budget, unloading, deletion.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech::http::ParameterDefaults;
use halkspeech::models::{ModelBudget, ModelId};
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{EngineError, EngineFactory};
use reqwest::Response;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::helpers::audio::tone;
use crate::helpers::engine::{
    EngineGate, band_engine, engine_gated_in_first_batch, gated_engine, loudest_bands,
};
use crate::helpers::{
    MODEL, MODEL_BYTES, TestApp, TestSetup, check_error, error, header, models_dir, until,
    within_timeout,
};

/// Creates a folder of links to the files of a real model.
fn link_model(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for file in fs::read_dir(models_dir().join(MODEL)).unwrap() {
        let file = file.unwrap();
        symlink(file.path(), folder.join(file.file_name())).unwrap();
    }
}

/// Two models with the same files, and another file next to those of the first.
fn two_models() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for model in ["one", "owner/two"] {
        link_model(&root.path().join(model));
    }
    fs::write(root.path().join("one/notes.md"), "mine").unwrap();
    root
}

async fn start(root: &Path, setup: TestSetup) -> TestApp {
    TestApp::start_with(TestSetup {
        models_dir: root.to_owned(),
        preload: false,
        ..setup
    })
    .await
}

/// Counts the created engines.
fn count_loads(factory: EngineFactory) -> (EngineFactory, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let factory: EngineFactory = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        factory()
    });
    (factory, count)
}

fn submit(app: &TestApp, model: &'static str) -> JoinHandle<Response> {
    let request = app.form(tone(500.0), &[("model", model)]);
    tokio::spawn(async move { request.send().await.unwrap() })
}

async fn status(app: &TestApp, model: &'static str) -> u16 {
    submit(app, model).await.unwrap().status().as_u16()
}

async fn in_memory(app: &TestApp) -> Value {
    let answer = app.get("/api/ps").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

fn one_model() -> ModelBudget {
    ModelBudget {
        models: NonZeroUsize::new(1),
        memory_bytes: None,
    }
}

#[tokio::test]
async fn a_hundred_first_requests_load_the_model_once() {
    let root = two_models();
    let (engine, loads) = count_loads(band_engine());
    let setup = TestSetup {
        engine,
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;

    let requests: Vec<_> = (0..100).map(|_| submit(&app, "one")).collect();

    for request in requests {
        assert_eq!(request.await.unwrap().status(), 200);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_branch_and_its_commit_are_one_model() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let root = tempfile::tempdir().unwrap();
    let repository = root.path().join("hub/models--owner--three");
    link_model(&repository.join("snapshots").join(commit));
    fs::create_dir(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), commit).unwrap();
    let (engine, loads) = count_loads(band_engine());
    let hub_cache = root.path().join("hub");
    let setup = TestSetup {
        engine,
        hub_cache,
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;

    assert_eq!(status(&app, "owner/three").await, 200);
    let by_commit = "owner/three@0123456789abcdef0123456789abcdef01234567";
    assert_eq!(status(&app, by_commit).await, 200);

    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let names = &in_memory(&app).await["models"];
    assert_eq!(names, &serde_json::json!(["owner/three"]));
    let unload = app.client.delete(app.url(&format!("/api/ps/{by_commit}")));
    assert_eq!(unload.send().await.unwrap().status(), 204);
}

#[tokio::test]
async fn a_failed_load_is_not_repeated_by_every_request() {
    let root = two_models();
    let (engine, loads) = count_loads(Arc::new(|| {
        Err(EngineError::Load("unsupported model version 9".to_owned()))
    }));
    let setup = TestSetup {
        engine,
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;

    for request in (0..20).map(|_| submit(&app, "one")).collect::<Vec<_>>() {
        let answer = request.await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_ne!(header(&answer, "retry-after"), "");
        let error = error(answer).await;
        check_error(
            &error,
            "server_error",
            None,
            None,
            "unsupported model version 9",
        );
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(in_memory(&app).await["models"], serde_json::json!([]));

    // An explicit load does not wait for the retry time.
    let answer = app.post("/api/ps/one").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_least_recently_used_model_is_unloaded_for_another() {
    let root = two_models();
    let setup = TestSetup {
        budget: one_model(),
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;

    for model in ["one", "owner/two", "one"] {
        assert_eq!(status(&app, model).await, 200);
        assert_eq!(in_memory(&app).await["models"], serde_json::json!([model]));
    }
}

#[tokio::test]
async fn requests_wait_in_order_for_model_memory() {
    let root = two_models();
    let gate = EngineGate::new();
    let setup = TestSetup {
        budget: one_model(),
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;
    let first = submit(&app, "one");
    gate.reached().await;

    // The first model is in use, so the second waits; later requests for the first queue behind it.
    let others = ["owner/two", "one", "owner/two", "one"].map(|model| submit(&app, model));
    until(|| app.models.list().len() == 1).await;
    gate.open();

    assert_eq!(first.await.unwrap().status(), 200);
    for other in others {
        assert_eq!(other.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_model_above_the_budget_is_refused() {
    let root = two_models();
    let budget = ModelBudget {
        models: None,
        memory_bytes: NonZeroU64::new(MODEL_BYTES - 1),
    };
    let setup = TestSetup {
        budget,
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;

    let answer = submit(&app, "one").await.unwrap();

    assert_eq!(answer.status(), 503);
    let error = error(answer).await;
    check_error(&error, "server_error", None, None, "needs about 100 bytes");
}

#[tokio::test]
async fn a_request_during_unloading_is_served() {
    let root = two_models();
    let (engine, loads) = count_loads(band_engine());
    let setup = TestSetup {
        engine,
        idle_time: Some(Duration::ZERO),
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;
    let models = Arc::clone(&app.models);
    let unloading = tokio::spawn(async move { models.unload_idle().await });

    for _ in 0..20 {
        assert_eq!(status(&app, "one").await, 200);
    }

    until(|| app.models.list().is_empty()).await;
    assert!(loads.load(Ordering::SeqCst) > 1, "it was never unloaded");
    unloading.abort();
}

/// A server on which no request uses model `one` any more, while its engine is still at the gate.
async fn app_with_an_abandoned_window(
    root: &Path,
    gate: &Arc<EngineGate>,
    setup: TestSetup,
) -> TestApp {
    let setup = TestSetup {
        engine: engine_gated_in_first_batch(gate),
        ..setup
    };
    let app = start(root, setup).await;
    let leaving = submit(&app, "one");
    gate.reached().await;
    leaving.abort();
    until(|| app.metrics.requests_in_flight.get() == 0).await;
    app
}

#[tokio::test]
async fn deleting_a_model_does_not_wait_for_its_engine() {
    let root = two_models();
    let gate = EngineGate::new();
    let app = app_with_an_abandoned_window(root.path(), &gate, TestSetup::default()).await;

    let delete = app.client.delete(app.url("/v1/models/one"));
    assert_eq!(delete.send().await.unwrap().status(), 200);

    assert_eq!(status(&app, "one").await, 404);
    assert_eq!(status(&app, "owner/two").await, 200);
    gate.open();
}

#[tokio::test]
async fn other_models_do_not_wait_for_an_unloading_model() {
    let root = two_models();
    let gate = EngineGate::new();
    let app = app_with_an_abandoned_window(root.path(), &gate, TestSetup::default()).await;

    let unload = app.client.delete(app.url("/api/ps/one")).send();
    let unload = tokio::spawn(unload);
    until(|| app.models.list().is_empty()).await;
    assert_eq!(status(&app, "owner/two").await, 200);
    assert!(!unload.is_finished());

    gate.open();
    assert_eq!(unload.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn memory_counts_until_it_is_free_and_delays_only_requests_that_need_it() {
    let root = two_models();
    link_model(&root.path().join("three"));
    let gate = EngineGate::new();
    let setup = TestSetup {
        budget: ModelBudget {
            models: NonZeroUsize::new(2),
            memory_bytes: None,
        },
        ..TestSetup::default()
    };
    let app = app_with_an_abandoned_window(root.path(), &gate, setup).await;
    assert_eq!(status(&app, "owner/two").await, 200);

    let waiting = submit(&app, "three");
    let names = |app: &TestApp| {
        let list = app.models.list().into_iter();
        list.map(|model| model.stored.id.to_string())
            .collect::<Vec<_>>()
    };
    until(|| names(&app) == ["owner/two"]).await;
    for _ in 0..10 {
        assert_eq!(status(&app, "owner/two").await, 200);
    }
    assert_eq!(names(&app), ["owner/two"]);
    assert!(!waiting.is_finished());

    gate.open();
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(names(&app), ["owner/two", "three"]);
}

#[tokio::test]
async fn an_idle_model_does_not_delay_the_unloading_of_another() {
    let root = two_models();
    let gate = EngineGate::new();
    let setup = TestSetup {
        idle_time: Some(Duration::ZERO),
        ..TestSetup::default()
    };
    let app = app_with_an_abandoned_window(root.path(), &gate, setup).await;
    let models = Arc::clone(&app.models);
    let unloading = tokio::spawn(async move { models.unload_idle().await });
    until(|| app.models.list().is_empty()).await;

    assert_eq!(status(&app, "owner/two").await, 200);
    until(|| app.models.list().is_empty()).await;

    gate.open();
    unloading.abort();
}

#[tokio::test]
async fn a_model_has_at_most_two_copies() {
    let root = two_models();
    let gate = EngineGate::new();
    let setup = TestSetup {
        idle_time: Some(Duration::ZERO),
        ..TestSetup::default()
    };
    let app = app_with_an_abandoned_window(root.path(), &gate, setup).await;
    let models = Arc::clone(&app.models);
    let unloading = tokio::spawn(async move { models.unload_idle().await });
    until(|| app.models.list().is_empty()).await;

    for model in ["one", "owner/two", "one"] {
        assert_eq!(status(&app, model).await, 200);
    }
    until(|| app.models.list().len() == 1).await;
    assert_eq!(in_memory(&app).await["models"], serde_json::json!(["one"]));

    gate.open();
    until(|| app.models.list().is_empty()).await;
    unloading.abort();
}

#[tokio::test]
async fn shutdown_does_not_wait_for_an_engine_indefinitely() {
    let root = two_models();
    let gate = EngineGate::new();
    let app = app_with_an_abandoned_window(root.path(), &gate, TestSetup::default()).await;

    within_timeout(app.models.unload_all(Duration::ZERO)).await;

    gate.open();
}

#[tokio::test]
async fn shows_loads_and_unloads_models() {
    let root = two_models();
    let app = start(root.path(), TestSetup::default()).await;
    assert_eq!(
        in_memory(&app).await,
        serde_json::json!({"models": [], "details": []})
    );

    let answer = app.post("/api/ps/owner/two").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let model: Value = answer.json().await.unwrap();
    assert_eq!(model["id"], "owner/two");
    assert_eq!(model["engines"], 1);
    assert_eq!(model["plan"][0]["device"], "none");
    assert_eq!(model["plan"][0]["planned_bytes"], Value::Null);
    assert_eq!(model["memory_bytes"], MODEL_BYTES);

    let list = in_memory(&app).await;
    assert_eq!(list["models"], serde_json::json!(["owner/two"]));
    assert_eq!(list["details"][0]["in_use"], false);
    assert!(list["details"][0]["idle_s"].as_f64().is_some());

    let answer = app.post("/api/ps/owner/two").send().await.unwrap();
    assert_eq!(answer.status(), 409);
    check_error(
        &error(answer).await,
        "invalid_request_error",
        Some("model"),
        Some("conflict"),
        "already loaded",
    );

    let unload = || app.client.delete(app.url("/api/ps/owner/two")).send();
    assert_eq!(unload().await.unwrap().status(), 204);
    let answer = unload().await.unwrap();
    assert_eq!(answer.status(), 404);
    check_error(
        &error(answer).await,
        "invalid_request_error",
        Some("model"),
        Some("model_not_found"),
        "not loaded",
    );

    let answer = app.post("/api/ps/none").send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_model_in_use_is_neither_unloaded_nor_deleted() {
    let root = two_models();
    let gate = EngineGate::new();
    let setup = TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = start(root.path(), setup).await;
    let running = submit(&app, "one");
    gate.reached().await;
    let delete = |path: &str| app.client.delete(app.url(path)).send();

    for path in ["/api/ps/one", "/v1/models/one"] {
        let answer = delete(path).await.unwrap();
        assert_eq!(answer.status(), 409, "{path}");
        check_error(
            &error(answer).await,
            "invalid_request_error",
            Some("model"),
            Some("conflict"),
            "in use",
        );
    }
    gate.open();
    assert_eq!(running.await.unwrap().status(), 200);

    let answer = delete("/v1/models/one").await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(
        answer,
        serde_json::json!({"id": "one", "object": "model", "deleted": true})
    );
    let left: Vec<_> = fs::read_dir(root.path().join("one"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["notes.md"]);
    assert!(
        models_dir().join(MODEL).join("model.bin").exists(),
        "the target of the link is kept"
    );
    assert_eq!(delete("/v1/models/one").await.unwrap().status(), 404);
    assert_eq!(status(&app, "one").await, 404);
    assert_eq!(status(&app, "owner/two").await, 200);
}

#[tokio::test]
async fn invalid_model_names_are_refused_on_every_route() {
    let app = TestApp::start().await;
    let long = "x".repeat(10_000);
    for name in [
        "not-%ff-utf8",
        "..%2F..%2Fetc%2Fpasswd",
        "%2Fetc%2Fpasswd",
        "a%20b",
        "t%C3%BCrk%C3%A7e",
        "a/b/c",
        "a@..",
        &long,
    ] {
        let requests = [
            app.get(&format!("/v1/models/{name}")),
            app.post(&format!("/v1/models/{name}")),
            app.client.delete(app.url(&format!("/v1/models/{name}"))),
            app.post(&format!("/api/ps/{name}")),
            app.client.delete(app.url(&format!("/api/ps/{name}"))),
            app.post(&format!("/v1/audio/transcriptions?model={name}"))
                .body(tone(500.0)),
        ];
        for request in requests {
            let answer = request.send().await.unwrap();
            let path = answer.url().path().chars().take(60).collect::<String>();
            assert_eq!(answer.status(), 400, "{path}");
            check_error(
                &error(answer).await,
                "invalid_request_error",
                Some("model"),
                Some("invalid_value"),
                "name",
            );
        }
    }
}

#[tokio::test]
async fn a_model_may_have_its_own_defaults() {
    let root = two_models();
    let beams = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&beams);
    let mut setup = TestSetup {
        engine: FakeEngine::factory(move |key, inputs| {
            recorder.lock().unwrap().push(key.options.beam_size.get());
            Ok(loudest_bands(inputs))
        }),
        ..TestSetup::default()
    };
    let own = ParameterDefaults {
        beam_size: NonZeroUsize::new(7).unwrap(),
        vad_filter: false,
    };
    let two = ModelId::parse("owner/two").unwrap();
    setup.settings.model_defaults.insert(two, own);
    let app = start(root.path(), setup).await;

    assert_eq!(status(&app, "one").await, 200);
    assert_eq!(status(&app, "owner/two").await, 200);
    let fields = [("model", "owner/two"), ("beam_size", "3")];
    let answer = app.form(tone(500.0), &fields).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    assert_eq!(*beams.lock().unwrap(), [2, 7, 3]);
}

#[tokio::test]
async fn a_loaded_model_is_served_after_its_files_are_deleted() {
    let root = two_models();
    let app = start(root.path(), TestSetup::default()).await;
    assert_eq!(status(&app, "one").await, 200);

    fs::remove_dir_all(root.path().join("one")).unwrap();
    app.models.catalog().refresh().await;

    assert_eq!(status(&app, "one").await, 200);
    fs::remove_dir_all(root.path().join("owner")).unwrap();
    app.models.catalog().refresh().await;
    assert_eq!(status(&app, "owner/two").await, 404);
}
