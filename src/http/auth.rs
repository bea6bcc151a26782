//! Lets in who shows the key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::error::ApiError;
use crate::config::Secret;

/// Refuses a request without `Authorization: Bearer <key>`, where keys are set.
pub async fn require_key(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    if is_let_in(&context.rules.api_keys, request.headers()) {
        next.run(request).await
    } else {
        ApiError::InvalidApiKey.into_response()
    }
}

fn is_let_in(keys: &[Secret], headers: &HeaderMap) -> bool {
    let Some(shown) = bearer(headers) else {
        return keys.is_empty();
    };
    // Every key is looked at, so that the time does not tell which one was shown.
    let found = keys.iter().filter(|key| key.verify(shown)).count();
    keys.is_empty() || found > 0
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
    fn any_of_the_keys_opens() {
        let keys = [Secret::new("one"), Secret::new("two")];
        let showing = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
        };
        assert!(is_let_in(&keys, &showing("Bearer one")));
        assert!(is_let_in(&keys, &showing("Bearer two")));
        assert!(!is_let_in(&keys, &showing("Bearer three")));
        assert!(!is_let_in(&keys, &HeaderMap::new()));
        assert!(is_let_in(&[], &HeaderMap::new()));
        assert!(is_let_in(&[], &showing("Bearer any")));
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
