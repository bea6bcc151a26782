//! What the hub does not give, and how that is told.

use super::*;

#[tokio::test]
async fn tells_refusals_apart() {
    async fn check(path: &str, refusal: Refusal, expected: fn(&HubError) -> bool) {
        let scene = Scene::new().await;
        scene.hub.refuse(path, refusal.clone());

        let error = scene.fetch(NAME).await.unwrap_err();

        assert!(expected(&error), "{path} {refusal:?}: {error:?}");
        scene.assert_absent();

        scene.hub.refuse_no_more();
        scene.fetch(NAME).await.unwrap();
        scene.assert_whole("main");
    }
    let gated = || Refusal::status(401).code("GatedRepo");
    check("/api/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    check("/resolve/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    let absent = Refusal::status(404).code("RepoNotFound");
    check("/", absent, |error| {
        matches!(error, HubError::NotFound { .. })
    })
    .await;
    let too_many = Refusal::status(429).retry_after(7);
    check("/", too_many.clone(), |error| {
        let seven = Some(Duration::from_secs(7));
        matches!(error, HubError::RateLimited { retry_after } if *retry_after == seven)
    })
    .await;
    check("/cdn/", too_many, |error| {
        matches!(error, HubError::RateLimited { .. })
    })
    .await;
    check("/", Refusal::status(500), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
    check("/cdn/", Refusal::status(503), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
}

#[tokio::test]
async fn knows_what_the_hub_does_not_have() {
    let scene = Scene::new().await;
    for absent in ["owner/other", "legacy", "owner/a--b", "owner/a..b"] {
        let error = scene.fetch(absent).await.unwrap_err();
        assert!(
            matches!(*error, HubError::NotFound { .. }),
            "{absent}: {error}"
        );
    }
    let error = scene.fetch("owner/whisper@v9").await.unwrap_err();
    assert!(
        matches!(*error, HubError::RevisionNotFound { .. }),
        "{error}"
    );
    scene.assert_absent();
}

#[tokio::test]
async fn a_listing_without_end_is_not_read_to_its_end() {
    let scene = Scene::new().await;
    let long = Repo::whisper("weights").file(&"x".repeat(5 << 20), "");
    scene.hub.serve(NAME, long);

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::ListingTooLong { .. }), "{error}");
    // Asking again would not help.
    assert_eq!(scene.hub.authorizations().len(), 1);
    scene.assert_absent();
}

#[tokio::test]
async fn shows_its_token() {
    let mut scene = Scene::new().await;
    scene.hub.require_token("hf_secret");
    let error = scene.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::NotFound { .. }), "{error}");

    scene.settings.token = Some("hf_wrong".to_owned());
    let error = scene.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::Denied { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hf_wrong"));

    scene.settings.token = Some("hf_secret".to_owned());
    scene.fetch(NAME).await.unwrap();
    scene.assert_whole("main");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_unavailable() {
    let mut scene = Scene::new().await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    scene.settings.endpoint = format!("http://{port}");

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn never_asks_when_offline() {
    let mut scene = Scene::new().await;
    scene.settings.offline = true;

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Offline { .. }), "{error}");
    assert!(scene.hub.authorizations().is_empty());
}

#[tokio::test]
async fn names_what_a_transformers_model_lacks() {
    let scene = Scene::new().await;
    let repo = Repo::new()
        .file("config.json", "{}")
        .file("tokenizer.json", "{}")
        .file("model.safetensors", "weights");
    scene.hub.serve("openai/whisper-tiny", repo);

    let error = scene.fetch("openai/whisper-tiny").await.unwrap_err();

    let HubError::NotWhisper {
        missing,
        is_transformers,
        ..
    } = &*error
    else {
        panic!("{error}");
    };
    assert_eq!(*missing, ["model.bin", "vocabulary.json or vocabulary.txt"]);
    assert!(is_transformers);
    assert!(scene.hub.ranges("config.json").is_empty());
}
