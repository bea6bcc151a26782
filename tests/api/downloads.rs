//! Downloads as a caller sees them: answers, events, errors.

use std::path::Path;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::helpers::audio::tone;
use crate::helpers::{MODEL, Setup, TestApp, check_error, error, error_in, header, models_dir};
use crate::model_files::{Fixture, lay_out};
use crate::standin::{Fault, Gate, Refusal, Repo, Standin};

const NAME: &str = "owner/whisper";
const PATH: &str = "/v1/models/owner/whisper";

/// A hub with a small model, and a server that has none.
struct Scene {
    hub: Standin,
    app: TestApp,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let hub = Standin::start().await;
        hub.serve(NAME, small_model());
        let folder = tempfile::tempdir().unwrap();
        let app = TestApp::start_with(Setup {
            models_dir: folder.path().join("models"),
            hub_cache: folder.path().join("hub"),
            hub: Some(hub.endpoint()),
            preload: false,
            ..setup
        })
        .await;
        Self { hub, app, folder }
    }

    fn pull(&self) -> JoinHandle<Response> {
        let request = self.app.post(PATH);
        tokio::spawn(async move { request.send().await.unwrap() })
    }

    async fn listed(&self) -> Vec<Value> {
        let answer = self.app.get("/v1/models").send().await.unwrap();
        let mut list: Value = answer.json().await.unwrap();
        let models = list["data"].as_array_mut().unwrap();
        models.iter_mut().map(|model| model["id"].take()).collect()
    }
}

fn small_model() -> Repo {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), &Fixture::default());
    Repo::from_dir(folder.path()).file("README.md", "Not wanted.")
}

/// The data of server-sent events.
async fn events(answer: Response) -> Vec<Value> {
    assert_eq!(answer.status(), 200);
    assert_eq!(
        header(&answer, "content-type"),
        "text/event-stream; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_model_is_here_when_the_answer_says_so() {
    let scene = Scene::new().await;

    let answer = scene.pull().await.unwrap();

    assert_eq!(answer.status(), 201);
    let model: Value = answer.json().await.unwrap();
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!(NAME), &json!("model"))
    );
    assert_eq!(model["owned_by"], "owner");
    assert_eq!(scene.listed().await, [NAME]);
    let metrics = scene.app.metrics.encode();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("halkspeech_downloaded_bytes_total "));
    assert!(!line.unwrap().ends_with(" 0"), "{line:?}");

    let again = scene.pull().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), model);
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
    assert_eq!(scene.hub.ranges("README.md").len(), 0);
}

#[tokio::test]
async fn two_callers_share_a_download_and_half_a_model_is_no_model() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(1000, gate.clone()));
    let first = scene.pull();
    gate.reached().await;

    let second = scene.pull();
    assert_eq!(scene.listed().await, [""; 0]);
    let answer = scene.app.get(PATH).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let delete = scene.app.client.delete(scene.app.url(PATH));
    let answer = delete.send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let conflict = Some("conflict");
    check_error(
        &error(answer).await,
        "invalid_request_error",
        Some("model"),
        conflict,
        "being downloaded",
    );

    gate.open();
    assert_eq!(first.await.unwrap().status(), 201);
    assert!(second.await.unwrap().status().is_success());
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn a_download_goes_on_when_its_caller_has_left() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(1000, gate.clone()));
    let first = scene.pull();
    gate.reached().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    let second = scene.pull();
    gate.open();

    assert!(second.await.unwrap().status().is_success());
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn tells_of_the_progress_in_events() {
    let scene = Scene::new().await;
    let ask = || {
        scene
            .app
            .post(PATH)
            .header("accept", "text/event-stream")
            .send()
    };

    let all = events(ask().await.unwrap()).await;

    let (last, progress) = all.split_last().unwrap();
    assert_eq!(last["type"], "model.download.done");
    assert_eq!(last["model"]["id"], NAME);
    assert!(!progress.is_empty());
    let mut bytes = 0;
    for event in progress {
        assert_eq!(event["type"], "model.download.progress");
        assert_eq!(event["id"], NAME);
        assert!(event["file"].is_string());
        let now = event["bytes"].as_u64().unwrap();
        assert!(
            bytes <= now && now <= event["total"].as_u64().unwrap(),
            "{event}"
        );
        bytes = now;
    }

    let again = events(ask().await.unwrap()).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["type"], "model.download.done");
}

#[tokio::test]
async fn a_failure_is_the_last_event() {
    let scene = Scene::new().await;
    scene.hub.always("model.bin", Fault::WrongBytes);

    let answer = scene
        .app
        .post(PATH)
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();

    let all = events(answer).await;
    let error = error_in(all.last().unwrap());
    check_error(
        &error,
        "server_error",
        None,
        Some("hub_unavailable"),
        "model.bin",
    );
    assert_eq!(scene.listed().await, [""; 0]);
}

#[tokio::test]
async fn says_what_is_wrong_at_the_hub() {
    let gated = Refusal::status(401).code("GatedRepo");
    let absent = Refusal::status(404).code("RepoNotFound");
    let hidden = Refusal::status(401).code("RepoNotFound");
    let (invalid, server) = ("invalid_request_error", "server_error");
    for (refusal, status, kind, code, piece) in [
        (gated, 401, invalid, "model_access_denied", "HF_TOKEN"),
        (
            Refusal::status(403),
            401,
            invalid,
            "model_access_denied",
            "HF_TOKEN",
        ),
        (
            absent,
            404,
            invalid,
            "model_not_found",
            "has no model 'owner/whisper'",
        ),
        (
            hidden,
            404,
            invalid,
            "model_not_found",
            "has no model 'owner/whisper'",
        ),
        (
            Refusal::status(429).retry_after(7),
            429,
            "rate_limit_exceeded",
            "rate_limit_exceeded",
            "hub",
        ),
        (Refusal::status(500), 502, server, "hub_unavailable", "hub"),
    ] {
        let scene = Scene::new().await;
        scene.hub.refuse("/", refusal.clone());

        let answer = scene.pull().await.unwrap();

        assert_eq!(answer.status(), status, "{refusal:?}");
        if status == 429 {
            assert_eq!(header(&answer, "retry-after"), "7");
        }
        let param = (kind == invalid).then_some("model");
        check_error(&error(answer).await, kind, param, Some(code), piece);
        assert_eq!(scene.listed().await, [""; 0]);

        // Nothing of it is remembered.
        scene.hub.refuse_no_more();
        assert_eq!(scene.pull().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn says_what_is_wrong_with_a_repository() {
    let scene = Scene::new().await;
    let transformers = Repo::new()
        .file("config.json", "{}")
        .file("model.safetensors", vec![1; 100]);
    scene.hub.serve("openai/whisper-tiny", transformers);
    let (kind, param) = ("invalid_request_error", Some("model"));
    for (path, status, code, piece) in [
        (
            "openai/whisper-tiny",
            400,
            "invalid_value",
            "it has no model.bin",
        ),
        (
            "openai/whisper-tiny",
            400,
            "invalid_value",
            "ct2-transformers-converter --model openai/whisper-tiny",
        ),
        (
            "owner/whisper@v9",
            404,
            "model_not_found",
            "no revision 'v9'",
        ),
    ] {
        let answer = scene
            .app
            .post(&format!("/v1/models/{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        check_error(&error(answer).await, kind, param, Some(code), piece);
    }
}

#[tokio::test]
async fn a_silent_hub_is_a_timeout_and_what_came_is_kept() {
    let scene = Scene::with(Setup {
        hub_timeout: Duration::from_millis(100),
        ..Setup::default()
    })
    .await;
    scene.hub.always("model.bin", Fault::StallAfter(0));

    let answer = scene.pull().await.unwrap();

    assert_eq!(answer.status(), 504);
    check_error(
        &error(answer).await,
        "server_error",
        None,
        Some("timeout"),
        "stopped sending",
    );
}

#[tokio::test]
async fn a_server_that_is_set_never_to_ask_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(Setup {
        models_dir: folder.path().to_owned(),
        hub: None,
        preload: false,
        ..Setup::default()
    })
    .await;

    let answer = app.post(PATH).send().await.unwrap();

    assert_eq!(answer.status(), 404);
    let (kind, code) = ("invalid_request_error", Some("model_not_found"));
    check_error(
        &error(answer).await,
        kind,
        Some("model"),
        code,
        "HF_HUB_OFFLINE",
    );
}

#[tokio::test]
async fn a_request_fetches_its_model_where_that_is_wanted() {
    let scene = Scene::with(Setup {
        auto_download: true,
        ..Setup::default()
    })
    .await;
    scene.hub.serve("owner/real", Repo::from_dir(&real_model()));
    let ask = |model: &'static str| scene.app.form(tone(500.0), &[("model", model)]).send();

    let both = tokio::join!(ask("owner/real"), ask("owner/real"));

    for answer in [both.0.unwrap(), both.1.unwrap()] {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
    assert_eq!(scene.listed().await, ["owner/real"]);

    let answer = ask("owner/none").await.unwrap();
    assert_eq!(answer.status(), 404);
    let (kind, code) = ("invalid_request_error", Some("model_not_found"));
    check_error(
        &error(answer).await,
        kind,
        Some("model"),
        code,
        "hub has no model 'owner/none'",
    );
}

#[tokio::test]
async fn what_was_downloaded_is_deleted_from_the_cache() {
    let scene = Scene::new().await;
    assert_eq!(scene.pull().await.unwrap().status(), 201);

    let delete = scene.app.client.delete(scene.app.url(PATH));
    assert_eq!(delete.send().await.unwrap().status(), 200);

    assert_eq!(scene.listed().await, [""; 0]);
    let repository = scene.folder.path().join("hub/models--owner--whisper");
    assert!(!repository.exists());
}

fn real_model() -> std::path::PathBuf {
    models_dir().join(Path::new(MODEL))
}
