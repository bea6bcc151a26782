//! Unloading: idle models, and models whose engine still works on a window that nobody waits for.

use super::*;

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
