//! Normalizes request paths, and finds the route most similar to an unknown path.
//!
//! Clients join a base URL and a path: the base may or may not end with `/v1` or a slash, and the path may
//! begin with them.

use axum::extract::Request;
use axum::http::Uri;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

/// Compared length of an unknown path, in characters; no route is longer.
const MAX_COMPARED_CHARS: usize = 100;

/// The routes of the document, for suggestions in the error of an unknown path.
pub struct RouteIndex(Vec<IndexedRoute>);

struct IndexedRoute {
    /// The path in lower case.
    path: String,
    /// Its methods and path, for error messages.
    label: String,
}

impl RouteIndex {
    /// The routes of this document.
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let route = |(path, item): (&String, &PathItem)| IndexedRoute {
            path: path.to_ascii_lowercase(),
            label: format!("{} {path}", methods(item).join(" or ")),
        };
        Self(paths.map(route).collect())
    }

    /// The route with the most similar path, with its methods.
    pub fn nearest(&self, path: &str) -> Option<String> {
        let path: String = path.chars().take(MAX_COMPARED_CHARS).collect();
        let path = path.to_ascii_lowercase();
        let similarity =
            |route: &IndexedRoute| strsim::normalized_damerau_levenshtein(&path, &route.path);
        let routes = self.0.iter().map(|route| (similarity(route), route));
        let nearest = routes.max_by(|(one, _), (other, _)| one.total_cmp(other));
        nearest.map(|(_, route)| route.label.clone())
    }
}

fn methods(item: &PathItem) -> Vec<&'static str> {
    let methods = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("DELETE", &item.delete),
    ];
    let served = methods.iter().filter(|(_, operation)| operation.is_some());
    served.map(|(method, _)| *method).collect()
}

/// Normalizes the path of a request.
pub fn normalize(mut request: Request) -> Request {
    let uri = request.uri();
    if let Some(path) = normalized(uri.path()) {
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = target.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The path without empty segments, and with exactly one `/v1` if it is one of OpenAI's paths; `None` if it
/// is already normalized. A model's name contains only single slashes.
fn normalized(path: &str) -> Option<String> {
    // The target of `OPTIONS *` is not a path.
    if !path.starts_with('/') {
        return None;
    }
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let versions = segments
        .iter()
        .take_while(|segment| **segment == "v1")
        .count();
    let normalized = match &segments[versions..] {
        // The page links to its files relative to a path that ends with a slash.
        [] | ["docs", ..] => return None,
        below @ ["audio" | "models" | "realtime", ..] => format!("/v1/{}", below.join("/")),
        _ => format!("/{}", segments.join("/")),
    };
    (normalized != path).then_some(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_paths() {
        for (path, expected) in [
            ("/v1/audio/transcriptions/", "/v1/audio/transcriptions"),
            ("//v1//audio/transcriptions", "/v1/audio/transcriptions"),
            ("/v1/v1/audio/transcriptions", "/v1/audio/transcriptions"),
            ("/v1//v1/v1/models", "/v1/models"),
            ("/audio/translations", "/v1/audio/translations"),
            ("/models", "/v1/models"),
            ("/realtime", "/v1/realtime"),
            ("/v1/models/", "/v1/models"),
            ("/models/owner/name", "/v1/models/owner/name"),
            ("/v1/models//owner//name/", "/v1/models/owner/name"),
            ("/v1/models/v1/v1", "/v1/models/v1/v1"),
            ("/v1/models/owner%2Fname", "/v1/models/owner%2Fname"),
            ("/health/", "/health"),
            ("//api/ps/", "/api/ps"),
            ("/", "/"),
            ("/v1", "/v1"),
            ("/docs/", "/docs/"),
            ("/docs/swagger-ui.css", "/docs/swagger-ui.css"),
            ("/nothing/audio", "/nothing/audio"),
            ("*", "*"),
        ] {
            let normalized = normalized(path);
            assert_eq!(normalized.as_deref().unwrap_or(path), expected, "{path}");
        }
    }

    #[test]
    fn keeps_the_authority_and_the_query() {
        let uri = "http://localhost:8000/v1//models?a=%2F&b=//";
        let request = Request::builder().uri(uri).body("".into()).unwrap();

        let normalized = normalize(request);

        assert_eq!(
            normalized.uri(),
            "http://localhost:8000/v1/models?a=%2F&b=//"
        );
    }
}
