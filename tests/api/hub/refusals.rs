//! Refusals of the hub and the errors they cause.

use super::*;

#[tokio::test]
async fn distinguishes_refusals() {
    async fn check(path: &str, refusal: HubRefusal, expected: fn(&HubError) -> bool) {
        let test = HubTest::new().await;
        test.hub.refuse(path, refusal.clone());

        let error = test.fetch(NAME).await.unwrap_err();

        assert!(expected(&error), "{path} {refusal:?}: {error:?}");
        test.assert_absent();

        test.hub.refuse_no_more();
        test.fetch(NAME).await.unwrap();
        test.assert_whole("main");
    }
    let gated = || HubRefusal::status(401).code("GatedRepo");
    check("/api/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    check("/resolve/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    let absent = HubRefusal::status(404).code("RepoNotFound");
    check("/", absent, |error| {
        matches!(error, HubError::NotFound { .. })
    })
    .await;
    let too_many = HubRefusal::status(429).retry_after(7);
    check("/", too_many.clone(), |error| {
        let seven = Some(Duration::from_secs(7));
        matches!(error, HubError::RateLimited { retry_after } if *retry_after == seven)
    })
    .await;
    check("/cdn/", too_many, |error| {
        matches!(error, HubError::RateLimited { .. })
    })
    .await;
    check("/", HubRefusal::status(500), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
    check("/cdn/", HubRefusal::status(503), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
}

#[tokio::test]
async fn reports_missing_repositories_and_revisions() {
    let test = HubTest::new().await;
    for absent in ["owner/other", "legacy", "owner/a--b", "owner/a..b"] {
        let error = test.fetch(absent).await.unwrap_err();
        assert!(
            matches!(*error, HubError::NotFound { .. }),
            "{absent}: {error}"
        );
    }
    let error = test.fetch("owner/whisper@v9").await.unwrap_err();
    assert!(
        matches!(*error, HubError::RevisionNotFound { .. }),
        "{error}"
    );
    test.assert_absent();
}

#[tokio::test]
async fn refuses_a_listing_above_the_limit() {
    let test = HubTest::new().await;
    let long = HubRepo::whisper("weights").file(&"x".repeat(5 << 20), "");
    test.hub.serve(NAME, long);

    let error = test.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::ListingTooLong { .. }), "{error}");
    // There is no retry.
    assert_eq!(test.hub.authorizations().len(), 1);
    test.assert_absent();
}

#[tokio::test]
async fn sends_its_token() {
    let mut test = HubTest::new().await;
    test.hub.require_token("hf_secret");
    let error = test.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::NotFound { .. }), "{error}");

    test.settings.token = Some("hf_wrong".to_owned());
    let error = test.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::Denied { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hf_wrong"));

    test.settings.token = Some("hf_secret".to_owned());
    test.fetch(NAME).await.unwrap();
    test.assert_whole("main");
}

#[tokio::test]
async fn a_hub_that_cannot_be_reached_is_unavailable() {
    let mut test = HubTest::new().await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    test.settings.endpoint = format!("http://{port}");

    let error = test.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn sends_no_request_when_offline() {
    let mut test = HubTest::new().await;
    test.settings.offline = true;

    let error = test.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Offline { .. }), "{error}");
    assert!(test.hub.authorizations().is_empty());
}

#[tokio::test]
async fn names_the_missing_files_of_a_transformers_model() {
    let test = HubTest::new().await;
    let repo = HubRepo::new()
        .file("config.json", "{}")
        .file("tokenizer.json", "{}")
        .file("model.safetensors", "weights");
    test.hub.serve("openai/whisper-tiny", repo);

    let error = test.fetch("openai/whisper-tiny").await.unwrap_err();

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
    assert!(test.hub.ranges("config.json").is_empty());
}
