//! Models in memory: loading, the memory budget, unloading, deletion.

mod unloading;
mod routes;

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
pub fn two_models() -> tempfile::TempDir {
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
