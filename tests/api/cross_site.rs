//! Cross-site requests through a browser that can reach the server.

use halkspeech::config::Secret;
use reqwest::Method;
use serde_json::Value;

use crate::helpers::audio::tone;
use crate::helpers::{MODEL, TRANSCRIPTIONS, TestApp, TestSetup, check_error, error, form, header};

const INVALID: &str = "invalid_request_error";
const HOST: Option<&str> = Some("host_not_allowed");
const ORIGIN: Option<&str> = Some("origin_not_allowed");

/// All routes that change something or return non-public data.
const GUARDED: [(&str, &str); 13] = [
    ("POST", "/v1/models/owner/name"),
    ("DELETE", "/v1/models/no/such"),
    ("POST", "/api/ps/base"),
    ("DELETE", "/api/ps/tiny.en"),
    ("POST", TRANSCRIPTIONS),
    ("POST", "/v1/audio/translations"),
    ("POST", "/asr"),
    ("POST", "/detect-language"),
    ("POST", "/inference"),
    ("GET", "/v1/models"),
    ("GET", "/api/ps"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
];

const EVIL_PAGE: [(&str, &str); 2] = [
    ("origin", "http://evil.example"),
    ("sec-fetch-site", "cross-site"),
];

async fn app_with_pages() -> TestApp {
    let mut setup = TestSetup::default();
    setup.settings.enable_ui = true;
    TestApp::start_with(setup).await
}

async fn send(
    app: &TestApp,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> reqwest::Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = app.client.request(method, app.url(path));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_write_nor_read() {
    let app = TestApp::start().await;

    for route in GUARDED {
        for headers in [
            &EVIL_PAGE[..],
            &EVIL_PAGE[..1],
            &EVIL_PAGE[1..],
            &[("origin", "null")],
        ] {
            let answer = send(&app, route, headers).await;

            assert_eq!(answer.status(), 403, "{route:?} {headers:?}");
            assert_eq!(header(&answer, "access-control-allow-origin"), "");
            check_error(&error(answer).await, INVALID, None, ORIGIN, "ALLOW_ORIGINS");
        }
    }
    let loaded: Value = app
        .get("/api/ps")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(loaded["models"].as_array().unwrap().len(), 1, "{loaded}");
}

#[tokio::test]
async fn a_page_with_dns_rebinding_can_neither_write_nor_read() {
    let app = TestApp::start().await;
    let rebound = [
        ("host", "evil.example:8000"),
        ("origin", "http://evil.example:8000"),
        ("sec-fetch-site", "same-origin"),
    ];

    for route in GUARDED {
        for headers in [&rebound[..], &rebound[..1]] {
            let answer = send(&app, route, headers).await;

            assert_eq!(answer.status(), 403, "{route:?} {headers:?}");
            check_error(&error(answer).await, INVALID, None, HOST, "ALLOWED_HOSTS");
        }
    }
}

#[tokio::test]
async fn public_pages_and_probes_are_open_to_every_site() {
    let app = app_with_pages().await;

    for path in [
        "/",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
        "/page/app.js",
        "/health",
        "/ready",
    ] {
        for headers in [&EVIL_PAGE[..], &[("host", "stt.example")]] {
            let answer = send(&app, ("GET", path), headers).await;
            assert_eq!(answer.status(), 200, "{path} {headers:?}");
        }
        let answer = send(&app, ("POST", path), &EVIL_PAGE).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
}

/// Of curl, `OpenAI`'s SDKs, Docker Compose, Kubernetes, Prometheus, the page at `/`, and desktop programs.
#[tokio::test]
async fn same_site_clients_need_no_setting() {
    let app = TestApp::start().await;
    let own = app.url("");
    let own = own.as_str();

    for headers in [
        &[][..],
        &[("host", "localhost:8000")],
        &[("host", "192.0.2.7")],
        &[("host", "[2001:db8::1]:8000")],
        &[("host", "halkspeech:8000")],
        &[("host", "gpu.local")],
        &[("host", "host.docker.internal:8000")],
        &[("host", "halkspeech.speech.svc.cluster.local:8000")],
        &[("origin", own), ("sec-fetch-site", "same-origin")],
        &[("host", "gpu:8000"), ("origin", "http://gpu:8000")],
        &[
            ("origin", "http://localhost:5173"),
            ("sec-fetch-site", "same-site"),
        ],
        &[
            ("origin", "tauri://localhost"),
            ("sec-fetch-site", "cross-site"),
        ],
        &[("sec-fetch-site", "none")],
    ] {
        let request = app.form(tone(500.0), &[("model", MODEL)]);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let answer = request.send().await.unwrap();

        assert_eq!(answer.status(), 200, "{headers:?}");
    }
}

#[tokio::test]
async fn the_settings_allow_a_host_and_an_origin() {
    let mut setup = TestSetup::default();
    setup.settings.allowed_hosts = vec!["stt.example".to_owned()];
    setup.settings.allow_origins = vec!["https://app.example".to_owned()];
    let app = TestApp::start_with(setup).await;
    let page = |origin| {
        [
            ("host", "stt.example"),
            ("origin", origin),
            ("sec-fetch-site", "cross-site"),
        ]
    };

    let friend = send(&app, ("GET", "/v1/models"), &page("https://app.example")).await;
    let stranger = send(&app, ("GET", "/v1/models"), &page("https://other.example")).await;
    let renamed = [("host", "other.example"), ("origin", "https://app.example")];
    let renamed = send(&app, ("GET", "/v1/models"), &renamed).await;

    assert_eq!(friend.status(), 200);
    let allowed = header(&friend, "access-control-allow-origin");
    assert_eq!(allowed, "https://app.example");
    assert_eq!(stranger.status(), 403);
    assert_eq!(renamed.status(), 403);
    // Without the header the page could not read the error.
    let allowed = header(&renamed, "access-control-allow-origin");
    assert_eq!(allowed, "https://app.example");
}

#[tokio::test]
async fn host_and_origin_are_ignored_if_keys_are_set() {
    let mut setup = TestSetup::default();
    setup.settings.api_keys = vec![Secret::new("open sesame")];
    let app = TestApp::start_with(setup).await;
    let request = |key: &str| {
        let request = app
            .post(TRANSCRIPTIONS)
            .multipart(form(tone(500.0), &[("model", MODEL)]));
        let headers = [EVIL_PAGE[0], EVIL_PAGE[1], ("host", "evil.example")];
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.bearer_auth(key).send()
    };

    assert_eq!(request("open sesame").await.unwrap().status(), 200);
    assert_eq!(request("guessed").await.unwrap().status(), 401);
}
