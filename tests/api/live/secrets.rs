//! Client secrets.

use halkspeech::caller::Caller;
use halkspeech::config::Secret;
use serde_json::{Value, json};

use super::client::{LiveClient, append};
use super::sessions::app_with_sessions;
use super::{REALTIME, silence, update};
use crate::helpers::{TestApp, error};

const KEY: &str = "0123456789abcdef";
const SECRETS: &str = "/v1/realtime/client_secrets";

async fn create(app: &TestApp, path: &str, body: Value) -> Value {
    let request = app.post(path).bearer_auth(KEY).json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_secret_opens_a_socket_and_nothing_else() {
    let keys = vec![Secret::new("another-key-of-16"), Secret::new(KEY)];
    let (app, mut sessions) = app_with_sessions(|setup| setup.settings.api_keys = keys).await;
    let session = json!({
        "type": "transcription",
        "audio": { "input": { "transcription": { "language": "en" } } },
    });
    let body =
        json!({ "expires_after": { "anchor": "created_at", "seconds": 60 }, "session": session });
    let secret = create(&app, SECRETS, body).await;
    assert!(secret["expires_at"].as_u64().unwrap() > 1_700_000_000);
    let shown = &secret["session"];
    assert_eq!(shown["audio"]["input"]["transcription"]["language"], "en");
    assert_eq!(shown["expires_at"], secret["expires_at"]);
    let value = secret["value"].as_str().unwrap();

    for path in ["/v1/models", "/api/ps"] {
        let answer = app.get(path).bearer_auth(value).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    let answer = app.post(SECRETS).bearer_auth(value).send().await.unwrap();
    assert_eq!(answer.status(), 401);

    let protocols = format!("realtime, openai-insecure-api-key.{value}");
    let headers = [("sec-websocket-protocol", &*protocols)];
    let mut client = LiveClient::connect_with(&app, REALTIME, &headers)
        .await
        .unwrap();
    let created = client.event("session.created").await;
    assert_eq!(
        created["session"]["audio"]["input"]["transcription"]["language"],
        "en"
    );
    client
        .send(update(json!({ "transcription": { "language": "tr" } })))
        .await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "immutable_value");
    client.send(append(&silence(4_800))).await;
    let session = sessions.next().await;
    assert_eq!(session.caller, Caller::Key(1));
    assert_eq!(session.config.transcription.language.unwrap().code(), "en");

    // Several sessions may use it.
    let bearer = format!("Bearer {value}");
    let headers = [("authorization", &*bearer)];
    let path = "/v1/audio/transcriptions/stream";
    LiveClient::connect_with(&app, path, &headers)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_beta_gets_a_session_with_its_secret() {
    let keys = vec![Secret::new(KEY)];
    let (app, _sessions) = app_with_sessions(|setup| setup.settings.api_keys = keys).await;
    let body = json!({ "input_audio_transcription": { "language": "en" }, "turn_detection": null });
    let session = create(&app, "/v1/realtime/transcription_sessions", body).await;
    assert_eq!(session["object"], "realtime.transcription_session");
    assert_eq!(session["input_audio_transcription"]["language"], "en");
    let secret = session["client_secret"]["value"].as_str().unwrap();

    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", &*bearer), ("openai-beta", "realtime=v1")];
    let mut client = LiveClient::connect_with(&app, REALTIME, &headers)
        .await
        .unwrap();
    let created = client.event("transcription_session.created").await;
    assert_eq!(created["session"]["turn_detection"], Value::Null);
    assert_eq!(
        created["session"]["input_audio_transcription"]["language"],
        "en"
    );
}

#[tokio::test]
async fn an_invalid_request_names_its_field() {
    let keys = vec![Secret::new(KEY), Secret::new("short")];
    let (app, _sessions) = app_with_sessions(|setup| setup.settings.api_keys = keys).await;
    let expires = |seconds: u64| json!({ "expires_after": { "seconds": seconds } });
    for (body, param) in [
        (expires(9), "expires_after.seconds"),
        (expires(7_201), "expires_after.seconds"),
        (
            json!({ "expires_after": { "anchor": "now" } }),
            "expires_after.anchor",
        ),
        (json!({ "session": 1 }), "session"),
        (json!({ "session": { "type": "realtime" } }), "session.type"),
        (
            json!({ "session": { "audio": { "input": { "transcription": { "prompt": "x".repeat(2_048) } } } } }),
            "session",
        ),
    ] {
        let request = app.post(SECRETS).bearer_auth(KEY).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(error(answer).await["param"], param);
    }
    let malformed = app.post(SECRETS).bearer_auth(KEY).body("{");
    let answer = malformed.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(error(answer).await["code"], "invalid_json");
    let answer = app.post(SECRETS).bearer_auth("short").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let message = error(answer).await["message"].to_string();
    assert!(message.contains("SERVER__SECRET"), "{message}");
    assert_eq!(app.post(SECRETS).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_servers_secret_makes_a_short_key_enough() {
    let (app, _sessions) = app_with_sessions(|setup| {
        setup.settings.api_keys = vec![Secret::new("short")];
        setup.server_secret = Some(Secret::new("a secret"));
    })
    .await;
    let answer = app.post(SECRETS).bearer_auth("short").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
