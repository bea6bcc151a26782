//! Downloads of a real model by the built program from a test hub.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::server::Server;
use super::speech::{SENTENCE, models_dir, sample, words};
use crate::fake_hub::{FakeHub, HubRepo, TransferFault, TransferGate};

const NAME: &str = "test/whisper-base";

async fn hub() -> FakeHub {
    let hub = FakeHub::start().await;
    hub.serve(NAME, HubRepo::from_dir(&models_dir().join("base")));
    hub
}

fn pull(hub: &FakeHub, folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_halkspeech"))
        .args(["models", "pull", NAME])
        .env_clear()
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_HUB_CACHE", folder.join("hub"))
        .env("MODELS_DIR", folder.join("models"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn wait(child: Child) -> Output {
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    waiting.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_killed_pull_is_resumed_and_its_model_is_served() {
    let hub = hub().await;
    let folder = tempfile::tempdir().unwrap();
    let gate = TransferGate::new();
    let half = 60_000_000;
    hub.next("model.bin", TransferFault::HoldAfter(half, gate.clone()));

    let mut killed = pull(&hub, folder.path());
    gate.reached().await;
    killed.kill().unwrap();
    wait(killed).await;
    gate.open();
    let output = wait(pull(&hub, folder.path())).await;

    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("test/whisper-base is on disk, "),
        "{stdout}"
    );
    let ranges = hub.ranges("model.bin");
    let start = ranges[1].as_deref().unwrap()["bytes=".len()..]
        .split('-')
        .next()
        .unwrap();
    let start: u64 = start.parse().unwrap();
    // The last megabytes before the kill may not have been written yet.
    assert!(half - 8_000_000 < start && start <= half, "{ranges:?}");

    let cache = folder.path().join("hub");
    let server = Server::start(&[
        ("MODELS_DIR", "/nonexistent"),
        ("HF_HUB_CACHE", cache.to_str().unwrap()),
        ("WHISPER__MODEL", NAME),
    ]);
    let text = server.text(&[("model", "whisper-1")], sample()).await;
    assert_eq!(words(&text), words(SENTENCE));
}

#[tokio::test]
async fn a_stopped_server_keeps_partial_downloads() {
    let hub = hub().await;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("hub");
    let endpoint = hub.endpoint();
    let settings = [
        ("MODELS_DIR", "/nonexistent"),
        ("HF_HUB_CACHE", cache.to_str().unwrap()),
        ("HF_ENDPOINT", &endpoint),
    ];
    let gate = TransferGate::new();
    hub.next(
        "model.bin",
        TransferFault::HoldAfter(60_000_000, gate.clone()),
    );
    let server = Server::start(&settings);
    let url = server.url(&format!("/v1/models/{NAME}"));
    let request = tokio::spawn(server.client.post(&url).send());
    gate.reached().await;

    server.terminate();
    let answer = request.await.unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");

    let server = Server::start(&settings);
    let url = server.url(&format!("/v1/models/{NAME}"));
    let answer = server.client.post(&url).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let ranges = hub.ranges("model.bin");
    assert!(ranges[1].as_deref() > Some("bytes=0"), "{ranges:?}");
    let text = server.text(&[("model", NAME)], sample()).await;
    assert_eq!(words(&text), words(SENTENCE));
}
