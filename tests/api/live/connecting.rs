//! What is answered before a socket is open.

use std::num::NonZeroU32;

use halkspeech::caller::Caller;
use halkspeech::config::Secret;
use halkspeech::http::Phase;
use halkspeech::telemetry::RefusalReason;

use super::client::{LiveClient, append};
use super::sessions::app_with_sessions;
use super::{REALTIME, silence};
use crate::helpers::{TestApp, error, header, until};

const STREAM: &str = "/v1/audio/transcriptions/stream";

#[tokio::test]
async fn a_request_without_upgrade_gets_426() {
    let app = TestApp::start().await;
    for path in [REALTIME, STREAM] {
        let answer = app.get(path).send().await.unwrap();
        assert_eq!(answer.status(), 426, "{path}");
        assert_eq!(header(&answer, "upgrade"), "websocket");
        let error = error(answer).await;
        assert_eq!(error["code"], "upgrade_required");
        assert_eq!(error["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn webrtc_is_not_found_with_the_name_of_the_socket() {
    let app = TestApp::start().await;
    for path in [
        REALTIME,
        "/v1/realtime/calls",
        "/v1/realtime/calls/rtc_1/accept",
        "/v1/realtime/sessions",
    ] {
        let answer = app.post(path).body("v=0").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        let message = error(answer).await["message"].to_string();
        assert!(message.contains("GET /v1/realtime"), "{message}");
    }
}

#[tokio::test]
async fn a_key_is_sent_in_a_header_or_a_subprotocol() {
    let keys = ["0123456789abcdef", "fedcba9876543210"].map(Secret::new);
    let (app, mut sessions) =
        app_with_sessions(|setup| setup.settings.api_keys = keys.into()).await;
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[(
            "sec-websocket-protocol",
            "realtime, openai-insecure-api-key.wrong",
        )],
        &[("authorization", "Bearer ek_AAAA")],
    ] {
        for path in [REALTIME, STREAM] {
            let refused = LiveClient::connect_with(&app, path, headers).await;
            let refused = refused.err().unwrap();
            assert_eq!(refused.status, 401, "{headers:?}");
            assert_eq!(refused.error["code"], "invalid_api_key");
        }
    }

    let bearer = [("authorization", "Bearer 0123456789abcdef")];
    let client = LiveClient::connect_with(&app, "/realtime", &bearer)
        .await
        .unwrap();
    assert!(
        !client
            .response
            .headers()
            .contains_key("sec-websocket-protocol")
    );
    let protocols = "realtime, openai-insecure-api-key.fedcba9876543210, openai-organization.x";
    let headers = [("sec-websocket-protocol", protocols)];
    let mut client = LiveClient::connect_with(&app, REALTIME, &headers)
        .await
        .unwrap();
    let answered = client.response.headers().get_all("sec-websocket-protocol");
    assert_eq!(answered.iter().collect::<Vec<_>>(), ["realtime"]);
    client.event("session.created").await;
    client.send(append(&silence(4_800))).await;
    assert_eq!(sessions.next().await.caller, Caller::Key(1));
}

#[tokio::test]
async fn a_beta_client_is_known_by_its_header_or_subprotocol() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    for headers in [
        [("openai-beta", "realtime=v1")],
        [(
            "sec-websocket-protocol",
            "realtime, openai-beta.realtime-v1",
        )],
    ] {
        let client = LiveClient::connect_with(&app, REALTIME, &headers).await;
        let created = client.unwrap().event("transcription_session.created").await;
        assert_eq!(created["session"]["input_audio_format"], "pcm16");
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    let foreign = [("origin", "https://page.example")];
    let refused = LiveClient::connect_with(&app, REALTIME, &foreign).await;
    assert_eq!(refused.err().unwrap().status, 403);
    let local = [("origin", "http://localhost:3000")];
    LiveClient::connect_with(&app, REALTIME, &local)
        .await
        .unwrap();

    let secret = app
        .post("/v1/realtime/client_secrets")
        .send()
        .await
        .unwrap();
    let secret: serde_json::Value = secret.json().await.unwrap();
    let bearer = format!("Bearer {}", secret["value"].as_str().unwrap());
    let headers = [foreign[0], ("authorization", &bearer)];
    LiveClient::connect_with(&app, REALTIME, &headers)
        .await
        .unwrap();
}

#[tokio::test]
async fn sessions_are_limited_and_their_places_become_free() {
    let (app, _sessions) = app_with_sessions(|setup| setup.max_sessions = 3).await;
    let first = LiveClient::connect(&app, REALTIME).await;
    let _second = LiveClient::connect(&app, STREAM).await;
    // One caller gets half.
    let refused = LiveClient::connect_with(&app, REALTIME, &[])
        .await
        .err()
        .unwrap();
    assert_eq!((refused.status, &*refused.retry_after.unwrap()), (429, "5"));
    assert_eq!(refused.error["type"], "rate_limit_exceeded");
    assert_eq!(app.refusals(RefusalReason::LiveShare), 1);

    drop(first);
    until(|| {
        app.metrics
            .encode()
            .contains("live_closed_total{code=\"client\"} 1")
    })
    .await;
    LiveClient::connect(&app, REALTIME).await;
}

#[tokio::test]
async fn a_full_server_names_its_limit() {
    let (app, _sessions) = app_with_sessions(|setup| setup.max_sessions = 1).await;
    let _first = LiveClient::connect(&app, REALTIME).await;
    let refused = LiveClient::connect_with(&app, STREAM, &[])
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status, 429);
    assert!(
        refused.error["message"]
            .to_string()
            .contains("LIVE__MAX_SESSIONS")
    );
    assert_eq!(app.refusals(RefusalReason::LiveSessions), 1);
}

#[tokio::test]
async fn opening_a_session_counts_for_the_rate_limit() {
    let (app, _sessions) =
        app_with_sessions(|setup| setup.rate_limit_per_minute = NonZeroU32::new(1)).await;
    let _first = LiveClient::connect(&app, REALTIME).await;
    let refused = LiveClient::connect_with(&app, REALTIME, &[])
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status, 429);
    assert_eq!(app.refusals(RefusalReason::RateLimit), 1);
}

#[tokio::test]
async fn a_draining_server_opens_none() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    app.phase.send_replace(Phase::Draining);
    let refused = LiveClient::connect_with(&app, REALTIME, &[])
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status, 503);
}

#[tokio::test]
async fn a_session_keeps_its_connection() {
    let (app, _sessions) = app_with_sessions(|setup| setup.settings.max_connections = 1).await;
    let client = LiveClient::connect(&app, REALTIME).await;
    let answer = app.get("/v1/models").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    // A probe connection cannot open a session either.
    let refused = LiveClient::connect_with(&app, REALTIME, &[])
        .await
        .err()
        .unwrap();
    assert_eq!(refused.status, 503);

    drop(client);
    until(|| {
        app.metrics
            .encode()
            .contains("live_closed_total{code=\"client\"} 1")
    })
    .await;
}

#[tokio::test]
async fn an_invalid_query_is_refused_before_the_upgrade() {
    let (app, _sessions) = app_with_sessions(|_| {}).await;
    for (query, status, param) in [
        ("sample_rate=1", 400, "sample_rate"),
        ("language=xx", 400, "language"),
        ("model=no-such", 404, "model"),
    ] {
        let path = format!("{STREAM}?{query}");
        let refused = LiveClient::connect_with(&app, &path, &[])
            .await
            .err()
            .unwrap();
        assert_eq!(refused.status, status, "{query}");
        assert_eq!(refused.error["param"], param);
    }
}
