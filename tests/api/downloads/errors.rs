//! Errors of the hub, of its repositories and of its silence.

use super::*;

#[tokio::test]
async fn a_failure_is_the_last_event() {
    let test = DownloadTest::new().await;
    test.hub.always("model.bin", TransferFault::WrongBytes);

    let answer = test
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
    assert_eq!(test.listed().await, [""; 0]);
}

#[tokio::test]
async fn describes_errors_of_the_hub() {
    let gated = HubRefusal::status(401).code("GatedRepo");
    let absent = HubRefusal::status(404).code("RepoNotFound");
    let hidden = HubRefusal::status(401).code("RepoNotFound");
    let (invalid, server) = ("invalid_request_error", "server_error");
    for (refusal, status, kind, code, fragment) in [
        (gated, 401, invalid, "model_access_denied", "HF_TOKEN"),
        (
            HubRefusal::status(403),
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
            HubRefusal::status(429).retry_after(7),
            429,
            "rate_limit_exceeded",
            "rate_limit_exceeded",
            "hub",
        ),
        (
            HubRefusal::status(500),
            502,
            server,
            "hub_unavailable",
            "hub",
        ),
    ] {
        let test = DownloadTest::new().await;
        test.hub.refuse("/", refusal.clone());

        let answer = test.pull().await.unwrap();

        assert_eq!(answer.status(), status, "{refusal:?}");
        if status == 429 {
            assert_eq!(header(&answer, "retry-after"), "7");
        }
        let param = (kind == invalid).then_some("model");
        check_error(&error(answer).await, kind, param, Some(code), fragment);
        assert_eq!(test.listed().await, [""; 0]);

        // The refusal is not cached.
        test.hub.refuse_no_more();
        assert_eq!(test.pull().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn describes_errors_of_a_repository() {
    let test = DownloadTest::new().await;
    let transformers = HubRepo::new()
        .file("config.json", "{}")
        .file("model.safetensors", vec![1; 100]);
    test.hub.serve("openai/whisper-tiny", transformers);
    let (kind, param) = ("invalid_request_error", Some("model"));
    for (path, status, code, fragment) in [
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
        let answer = test
            .app
            .post(&format!("/v1/models/{path}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        check_error(&error(answer).await, kind, param, Some(code), fragment);
    }
}

#[tokio::test]
async fn a_silent_hub_is_a_timeout() {
    let test = DownloadTest::with(TestSetup {
        hub_timeout: Duration::from_millis(100),
        ..TestSetup::default()
    })
    .await;
    test.hub.always("model.bin", TransferFault::StallAfter(0));

    let answer = test.pull().await.unwrap();

    assert_eq!(answer.status(), 504);
    check_error(
        &error(answer).await,
        "server_error",
        None,
        Some("timeout"),
        "stopped sending",
    );
}
