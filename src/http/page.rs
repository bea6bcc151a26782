//! The page that people transcribe with: modules in `page/`, part of the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::error::ApiError;
use super::static_file::StaticFile;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! files {
    ($($content_type:expr => $($name:literal)+;)+) => {
        [$($(($name, $content_type, include_bytes!(concat!("page/", $name)).as_slice()),)+)+]
    };
}

/// Path below `/page/`, content type and content of each file but the document.
static FILES: [(&str, &str, &[u8]); 33] = files! {
    STYLE => "page.css" "transcript.css";
    "image/svg+xml" => "favicon.svg";
    SCRIPT =>
        "api.js" "app.js" "capture.js" "dom.js" "edits.js" "export-dialog.js" "export.js" "find.js"
        "history.js" "i18n.js" "i18n/en.js" "i18n/tr.js" "intake.js" "keyboard.js" "list.js" "live.js"
        "options.js" "pcm-worklet.js" "player.js" "queue.js" "recordings.js" "settings.js"
        "socket.js" "speakers.js" "sse.js" "storage.js" "subtitles.js" "transcript.js"
        "vendor/wavesurfer.js" "words.js";
};

/// The document.
const DOCUMENT: &[u8] = include_bytes!("page/index.html");

/// What the page may do: load its own files, play audio from memory, call its own server. The hash is
/// that of the one style element that wavesurfer.js creates at the height in `page/player.js`; a test
/// computes it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' \
    'sha256-GDz2FZP0i7VZaDhs1mgc43IRUXU2xajPIjvThHvZvbs='; img-src 'self' data:; media-src blob:; \
    connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What Swagger UI may do: it writes style attributes, and shows images from memory.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// Headers of every page, besides its policy.
const PAGE_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("microphone=(self), display-capture=(self)"),
    ),
];

/// The files by path, compressed at the first request.
static PAGE: LazyLock<HashMap<&'static str, StaticFile>> = LazyLock::new(|| {
    let document = ("", "text/html; charset=utf-8", DOCUMENT);
    let files = FILES.iter().copied().chain([document]);
    let file = |(name, content_type, bytes)| {
        let file = StaticFile::new(content_type, Bytes::from_static(bytes));
        (name, file)
    };
    files.map(file).collect()
});

/// `GET /`: the document.
pub async fn show_page(method: Method, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    file("", (method, uri), &headers)
}

/// `GET /page/{file}`: a file of the page.
pub async fn show_page_file(
    method: Method,
    uri: Uri,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    file(&name, (method, uri), &headers)
}

fn file(
    name: &str,
    (method, uri): (Method, Uri),
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let file = PAGE.get(name).ok_or_else(|| ApiError::UnknownRoute {
        method,
        path: uri.path().to_owned(),
        nearest: Some("GET /".to_owned()),
    })?;
    Ok(file.respond(headers))
}

/// Adds the security headers to every response of the pages.
pub async fn protect(request: Request, next: Next) -> Response {
    let is_docs = request.uri().path().starts_with("/docs");
    let policy = if is_docs { DOCS_POLICY } else { PAGE_POLICY };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(PAGE_HEADERS);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}

#[cfg(test)]
mod tests;
