//! The routes that show, load, unload and delete models.

use super::*;

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
