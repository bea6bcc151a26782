//! Paths that clients write a little differently than the routes, and the route nearest to any other.
//!
//! Clients put a base address and a path together: the base may end with `/v1` or a slash, or lack it,
//! and the path may begin with them.

use axum::extract::Request;
use axum::http::Uri;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

/// How much of an unknown path is compared, in characters; no route is longer.
const MAX_COMPARED_CHARS: usize = 100;

/// The routes of the document, by which an unknown path is told the nearest.
pub struct Routes(Vec<Route>);

struct Route {
    /// The path in lower case.
    path: String,
    /// Its methods and the path, as a message shows them.
    shown: String,
}

impl Routes {
    /// Those of this document.
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let route = |(path, item): (&String, &PathItem)| Route {
            path: path.to_ascii_lowercase(),
            shown: format!("{} {path}", methods(item).join(" or ")),
        };
        Self(paths.map(route).collect())
    }

    /// The route whose path takes the fewest changes, with its methods.
    pub fn nearest(&self, path: &str) -> Option<String> {
        let path: String = path.chars().take(MAX_COMPARED_CHARS).collect();
        let path = path.to_ascii_lowercase();
        let likeness = |route: &Route| strsim::normalized_damerau_levenshtein(&path, &route.path);
        let routes = self.0.iter().map(|route| (likeness(route), route));
        let nearest = routes.max_by(|(one, _), (other, _)| one.total_cmp(other));
        nearest.map(|(_, route)| route.shown.clone())
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

/// Gives a request the path of the route that its own path means.
pub fn tidy(mut request: Request) -> Request {
    let uri = request.uri();
    if let Some(path) = tidied(uri.path()) {
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

/// The path without empty pieces, and below `/v1` once where it is one of OpenAI's; `None` where it is
/// written so already. The slashes in a model's name are single ones.
fn tidied(path: &str) -> Option<String> {
    // `OPTIONS *` has none.
    if !path.starts_with('/') {
        return None;
    }
    let pieces: Vec<&str> = path.split('/').filter(|piece| !piece.is_empty()).collect();
    let versions = pieces.iter().take_while(|piece| **piece == "v1").count();
    let tidied = match &pieces[versions..] {
        // The files of the page name each other from a path with a slash at its end.
        [] | ["docs", ..] => return None,
        below @ ["audio" | "models", ..] => format!("/v1/{}", below.join("/")),
        _ => format!("/{}", pieces.join("/")),
    };
    (tidied != path).then_some(tidied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_right() {
        for (path, expected) in [
            ("/v1/audio/transcriptions/", "/v1/audio/transcriptions"),
            ("//v1//audio/transcriptions", "/v1/audio/transcriptions"),
            ("/v1/v1/audio/transcriptions", "/v1/audio/transcriptions"),
            ("/v1//v1/v1/models", "/v1/models"),
            ("/audio/translations", "/v1/audio/translations"),
            ("/models", "/v1/models"),
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
            let tidied = tidied(path);
            assert_eq!(tidied.as_deref().unwrap_or(path), expected, "{path}");
        }
    }

    #[test]
    fn the_rest_of_a_request_stays() {
        let uri = "http://localhost:8000/v1//models?a=%2F&b=//";
        let request = Request::builder().uri(uri).body("".into()).unwrap();

        let tidied = tidy(request);

        assert_eq!(tidied.uri(), "http://localhost:8000/v1/models?a=%2F&b=//");
    }
}
