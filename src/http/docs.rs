//! Serves the `OpenAPI` document, and Swagger UI without external resources.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::error::ApiError;
use super::static_file::StaticFile;

/// URL of the document relative to `/docs/`.
const DOCUMENT: &str = "../openapi.json";

/// The serialized document.
#[derive(Clone)]
pub struct OpenApiDocument(StaticFile);

impl OpenApiDocument {
    /// Serializes the document once.
    pub fn new(document: &OpenApi) -> Self {
        let text = serde_json::to_vec(document);
        let text = text.expect("a tree of maps with text keys always serialises");
        Self(StaticFile::new("application/json", Bytes::from(text)))
    }

    /// `GET /openapi.json`.
    pub fn show(&self, request: &HeaderMap) -> Response {
        self.0.respond(request)
    }
}

/// `GET /docs`: redirects to `/docs/`, because the page links to its files relative to it.
pub async fn redirect_to_docs() -> Redirect {
    Redirect::permanent("docs/")
}

/// `GET /docs/`: the page.
pub async fn show_docs(method: Method, uri: Uri) -> Result<Response, ApiError> {
    file("index.html", method, &uri)
}

/// `GET /docs/{file}`: a file of the page.
pub async fn show_docs_file(
    method: Method,
    uri: Uri,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    file(&name, method, &uri)
}

fn file(name: &str, method: Method, uri: &Uri) -> Result<Response, ApiError> {
    // No validator: it would send the document's URL to a server on the internet.
    let config = Config::from(DOCUMENT).validator_url("none");
    let file = utoipa_swagger_ui::serve(name, Arc::new(config));
    let file = file.map_err(|error| ApiError::Docs(error.to_string()))?;
    let file = file.ok_or_else(|| ApiError::UnknownRoute {
        method,
        path: uri.path().to_owned(),
        nearest: Some("GET /docs".to_owned()),
    })?;
    let content_type = [(header::CONTENT_TYPE, file.content_type)];
    let mut response = (content_type, file.bytes.into_owned()).into_response();
    if file.gzpipped {
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(response)
}
