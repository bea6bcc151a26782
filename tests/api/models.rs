//! The models on disk.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::helpers::{TestApp, TestSetup, check_error, error};
use crate::model_files::{Fixture, lay_out};

/// `tiny.en` in the models folder, `owner/turbo` in the hub's cache.
async fn start(root: &Path) -> TestApp {
    let repository = root.join("hub/models--owner--turbo");
    lay_out(&root.join("models/tiny.en"), &Fixture::default());
    let turbo = Fixture {
        n_mels: 128,
        width: 4,
        layers: (2, 1),
        vocabulary_size: 51_866,
    };
    lay_out(&repository.join("snapshots/abc"), &turbo);
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "abc").unwrap();
    TestApp::start_with(TestSetup {
        models_dir: root.join("models"),
        hub_cache: root.join("hub"),
        preload: false,
        ..TestSetup::default()
    })
    .await
}

#[tokio::test]
async fn lists_the_models_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path()).await;

    let list: Value = app
        .get("/v1/models")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();

    assert_eq!(list["object"], "list");
    let (names, models): (Vec<Value>, Vec<Value>) = (list["data"].as_array().unwrap().iter())
        .cloned()
        .partition(|entry| entry.get("alias_of").is_some());
    let field = |name: &str| {
        models
            .iter()
            .map(|model| model[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(field("id"), ["owner/turbo", "tiny.en"]);
    assert_eq!(field("object"), ["model", "model"]);
    assert_eq!(field("owned_by"), ["owner", "halkspeech"]);
    assert_eq!(field("loaded"), [false, false]);
    assert_eq!(
        field("language"),
        [json!(["en", "tr", "haw"]), json!(["en"])]
    );
    assert_eq!(field("n_mels"), [128, 80]);
    assert_eq!(field("compute_type"), ["int8_float16", "int8_float16"]);
    assert_eq!(field("family"), ["custom", "custom.en"]);
    let size = |folder: &str| {
        let files = fs::read_dir(root.path().join(folder)).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    let sizes = ["hub/models--owner--turbo/snapshots/abc", "models/tiny.en"].map(size);
    assert_eq!(field("size_bytes"), sizes);
    let openai = [
        "gpt-4o-mini-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "whisper-1",
    ];
    // Its name contains a model size.
    let turbo = ["large-v3-turbo", "turbo"];
    assert_eq!(field("aliases"), [json!(turbo), json!(openai)]);
    let shown = |entry: &Value| {
        let field = |name: &str| entry[name].as_str().unwrap().to_owned();
        (field("id"), field("alias_of"))
    };
    let mut expected: Vec<_> = turbo.map(|name| (name, "owner/turbo")).into();
    expected.extend(openai.map(|name| (name, "tiny.en")));
    expected.sort_unstable();
    let expected = expected
        .iter()
        .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()));
    let names = names.iter().map(shown);
    assert_eq!(names.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert!(
        models
            .iter()
            .all(|model| model["created"].as_u64() > Some(1_600_000_000))
    );
    assert!(
        models
            .iter()
            .all(|model| model["task"] == "automatic-speech-recognition")
    );
}

#[tokio::test]
async fn shows_a_model_by_its_name_or_an_alias() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path()).await;

    for (name, id) in [
        ("tiny.en", "tiny.en"),
        ("owner/turbo", "owner/turbo"),
        ("whisper-1", "tiny.en"),
        ("gpt-live-transcribe", "tiny.en"),
        ("Owner/Turbo", "owner/turbo"),
    ] {
        let answer = app.get(&format!("/v1/models/{name}")).send().await.unwrap();

        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(answer.json::<Value>().await.unwrap()["id"], id);
    }
}

#[tokio::test]
async fn the_error_of_an_unknown_model_names_the_available_ones() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path()).await;

    let answer = app.get("/v1/models/owner/none").send().await.unwrap();

    assert_eq!(answer.status(), 404);
    let error = error(answer).await;
    let (kind, code) = ("invalid_request_error", Some("model_not_found"));
    for fragment in ["POST /v1/models/owner/none", "owner/turbo, tiny.en"] {
        check_error(&error, kind, Some("model"), code, fragment);
    }
}

#[tokio::test]
async fn shows_whether_a_model_is_loaded() {
    let app = TestApp::start().await;

    for (name, loaded) in [("tiny.en", true), ("base", false)] {
        let answer = app.get(&format!("/v1/models/{name}")).send().await.unwrap();
        assert_eq!(
            answer.json::<Value>().await.unwrap()["loaded"],
            loaded,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_a_503_with_the_reason_and_no_path() {
    let root = tempfile::tempdir().unwrap();
    let app = start(root.path()).await;

    let answer = app
        .raw(vec![7; 100], &[("model", "tiny.en")])
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 503);
    let error = error(answer).await;
    let reason = "could not be loaded: its tokenizer.json is not valid";
    check_error(&error, "server_error", None, None, reason);
    let path = root.path().to_str().unwrap();
    assert!(!error.to_string().contains(path), "{error}");
}
