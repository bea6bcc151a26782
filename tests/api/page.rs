//! The page for people: its files, and the headers that protect it.

use reqwest::Response;

use crate::helpers::{TestApp, TestSetup, error, header};

async fn app_with_pages() -> TestApp {
    let mut setup = TestSetup::default();
    setup.settings.enable_ui = true;
    TestApp::start_with(setup).await
}

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = headers
        .iter()
        .fold(app.get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.send().await.unwrap()
}

#[tokio::test]
async fn the_document_names_files_that_are_served() {
    let app = app_with_pages().await;

    let document = get(&app, "/", &[]).await;

    assert_eq!(
        header(&document, "content-type"),
        "text/html; charset=utf-8"
    );
    let document = document.text().await.unwrap();
    let named: Vec<&str> = document
        .split('"')
        .filter(|value| value.starts_with("page/"))
        .collect();
    assert!(named.contains(&"page/app.js"), "{named:?}");
    for path in named {
        let answer = get(&app, &format!("/{path}"), &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
    let script = get(&app, "/page/i18n/tr.js", &[]).await;
    assert_eq!(
        header(&script, "content-type"),
        "text/javascript; charset=utf-8"
    );
    let unknown = get(&app, "/page/../Cargo.toml", &[]).await;
    assert_eq!(unknown.status(), 404);
    let unknown = get(&app, "/page/nothing.js", &[]).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(error(unknown).await["code"], "unknown_url");
}

#[tokio::test]
async fn every_page_is_protected() {
    let app = app_with_pages().await;

    for path in ["/", "/page/app.js", "/page/nothing.js", "/docs/"] {
        let answer = get(&app, path, &[]).await;

        let policy = header(&answer, "content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self';",
            "connect-src 'self';",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: no {rule} in {policy}");
        }
        let is_docs = path == "/docs/";
        assert_eq!(policy.contains("unsafe"), is_docs, "{path}: {policy}");
        assert_eq!(policy.contains("media-src blob:"), !is_docs, "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            (
                "permissions-policy",
                "microphone=(self), display-capture=(self)",
            ),
        ] {
            assert_eq!(header(&answer, name), value, "{path}");
        }
    }
}

#[tokio::test]
async fn files_are_compressed_and_validated() {
    let app = app_with_pages().await;

    for path in ["/", "/page/app.js", "/openapi.json"] {
        let whole = get(&app, path, &[]).await;
        let small = get(&app, path, &[("accept-encoding", "gzip")]).await;

        assert_eq!(header(&whole, "content-encoding"), "", "{path}");
        assert_eq!(header(&small, "content-encoding"), "gzip", "{path}");
        assert_eq!(header(&small, "cache-control"), "no-cache", "{path}");
        let vary = small.headers().get_all("vary").iter();
        let vary: Vec<_> = vary.map(|value| value.to_str().unwrap()).collect();
        assert!(vary.join(",").contains("accept-encoding"), "{vary:?}");
        let tag = header(&whole, "etag").to_owned();
        assert_ne!(tag, header(&small, "etag"), "{path}");
        let whole_bytes = whole.bytes().await.unwrap().len();
        let small_bytes = small.bytes().await.unwrap().len();
        assert!(small_bytes * 2 < whole_bytes, "{path}: {small_bytes}");

        let known = get(&app, path, &[("if-none-match", &tag)]).await;

        assert_eq!(known.status(), 304, "{path}");
        assert!(known.bytes().await.unwrap().is_empty());
    }
}
