//! Downloads over the HTTP API: responses, events, errors.

mod errors;

use std::path::Path;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fake_hub::{FakeHub, HubRefusal, HubRepo, TransferFault, TransferGate};
use crate::helpers::audio::tone;
use crate::helpers::{MODEL, TestApp, TestSetup, check_error, error, error_in, header, models_dir};
use crate::model_files::{Fixture, lay_out};

const NAME: &str = "owner/whisper";
const PATH: &str = "/v1/models/owner/whisper";

/// A hub with a small model, and a server without models.
struct DownloadTest {
    hub: FakeHub,
    app: TestApp,
    folder: tempfile::TempDir,
}

impl DownloadTest {
    async fn new() -> Self {
        Self::with(TestSetup::default()).await
    }

    async fn with(setup: TestSetup) -> Self {
        let hub = FakeHub::start().await;
        hub.serve(NAME, small_model());
        let folder = tempfile::tempdir().unwrap();
        let app = TestApp::start_with(TestSetup {
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

fn small_model() -> HubRepo {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), &Fixture::default());
    HubRepo::from_dir(folder.path()).file("README.md", "Not wanted.")
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
async fn a_model_is_on_disk_when_its_download_is_answered() {
    let test = DownloadTest::new().await;

    let answer = test.pull().await.unwrap();

    assert_eq!(answer.status(), 201);
    let model: Value = answer.json().await.unwrap();
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!(NAME), &json!("model"))
    );
    assert_eq!(model["owned_by"], "owner");
    assert_eq!(test.listed().await, [NAME]);
    let metrics = test.app.metrics.encode();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("halkspeech_downloaded_bytes_total "));
    assert!(!line.unwrap().ends_with(" 0"), "{line:?}");

    let again = test.pull().await.unwrap();
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.unwrap(), model);
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
    assert_eq!(test.hub.ranges("README.md").len(), 0);
}

#[tokio::test]
async fn two_callers_share_a_download_and_an_incomplete_model_is_not_listed() {
    let test = DownloadTest::new().await;
    let gate = TransferGate::new();
    test.hub
        .next("model.bin", TransferFault::HoldAfter(1000, gate.clone()));
    let first = test.pull();
    gate.reached().await;

    let second = test.pull();
    assert_eq!(test.listed().await, [""; 0]);
    let answer = test.app.get(PATH).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let delete = test.app.client.delete(test.app.url(PATH));
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
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn a_download_continues_when_its_caller_disconnects() {
    let test = DownloadTest::new().await;
    let gate = TransferGate::new();
    test.hub
        .next("model.bin", TransferFault::HoldAfter(1000, gate.clone()));
    let first = test.pull();
    gate.reached().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    let second = test.pull();
    gate.open();

    assert!(second.await.unwrap().status().is_success());
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn reports_the_progress_as_events() {
    let test = DownloadTest::new().await;
    let ask = || {
        test.app
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
async fn an_offline_server_does_not_ask_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(TestSetup {
        models_dir: folder.path().to_owned(),
        hub: None,
        preload: false,
        ..TestSetup::default()
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
async fn a_request_downloads_its_model_if_configured() {
    let test = DownloadTest::with(TestSetup {
        auto_download: true,
        ..TestSetup::default()
    })
    .await;
    test.hub
        .serve("owner/real", HubRepo::from_dir(&real_model()));
    let ask = |model: &'static str| test.app.form(tone(500.0), &[("model", model)]).send();

    let both = tokio::join!(ask("owner/real"), ask("owner/real"));

    for answer in [both.0.unwrap(), both.1.unwrap()] {
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
    assert_eq!(test.listed().await, ["owner/real"]);

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
async fn a_downloaded_model_is_deleted_from_the_cache() {
    let test = DownloadTest::new().await;
    assert_eq!(test.pull().await.unwrap().status(), 201);

    let delete = test.app.client.delete(test.app.url(PATH));
    assert_eq!(delete.send().await.unwrap().status(), 200);

    assert_eq!(test.listed().await, [""; 0]);
    let repository = test.folder.path().join("hub/models--owner--whisper");
    assert!(!repository.exists());
}

fn real_model() -> std::path::PathBuf {
    models_dir().join(Path::new(MODEL))
}
