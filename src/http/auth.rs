//! Authenticates requests by API key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::error::ApiError;
use crate::caller::Caller;
use crate::config::Secret;

/// Refuses a request without a valid `Authorization: Bearer <key>` if keys are set.
pub async fn require_key(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let keys = &context.settings.api_keys;
    let caller = if keys.is_empty() {
        Caller::without_key(request.extensions())
    } else {
        let token = bearer_token(request.headers());
        match token.and_then(|token| matching_key(keys, token)) {
            Some(index) => Caller::Key(index),
            None => return ApiError::InvalidApiKey.into_response(),
        }
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Index of the key that equals the token, if it is one of these.
pub fn matching_key(keys: &[Secret], token: &str) -> Option<usize> {
    // All keys are compared, so that the time does not reveal which one matched.
    let verified = keys.iter().map(|key| key.verify(token)).enumerate();
    verified.fold(
        None,
        |matching, (index, is_match)| {
            if is_match { Some(index) } else { matching }
        },
    )
}

/// The token in `Authorization`.
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
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
        assert_eq!(bearer_token(&headers), key, "{value:?}");
    }

    #[test]
    fn accepts_any_of_the_keys() {
        let keys = [Secret::new("one"), Secret::new("two")];
        assert_eq!(matching_key(&keys, "one"), Some(0));
        assert_eq!(matching_key(&keys, "two"), Some(1));
        assert_eq!(matching_key(&keys, "three"), None);
        assert_eq!(matching_key(&keys, ""), None);
        assert_eq!(bearer_token(&HeaderMap::new()), None);
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
