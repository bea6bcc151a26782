//! Lets in who shows the key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::error::ApiError;

/// Refuses a request without `Authorization: Bearer <key>`, where a key is set.
pub async fn require_key(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    let key = context.rules.api_key.as_ref();
    if key.is_none_or(|key| bearer(request.headers()).is_some_and(|shown| key.verify(shown))) {
        next.run(request).await
    } else {
        ApiError::InvalidApiKey.into_response()
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(value: &'static str, key: Option<&str>) {
        let headers =
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&headers), key, "{value:?}");
    }

    #[test]
    fn reads_the_key_of_a_bearer_header() {
        check("Bearer abc", Some("abc"));
        check("bearer  abc ", Some("abc"));
        check("Basic abc", None);
        check("abc", None);
        check("", None);
    }
}
