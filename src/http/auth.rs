//! Lets in who shows the key.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Context;
use super::error::ApiError;
use crate::caller::Caller;
use crate::config::Secret;

/// Refuses a request without `Authorization: Bearer <key>`, where keys are set.
pub async fn require_key(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let keys = &context.settings.api_keys;
    let caller = if keys.is_empty() {
        Caller::without_key(request.extensions())
    } else {
        match shown_key(keys, request.headers()) {
            Some(place) => Caller::Key(place),
            None => return ApiError::InvalidApiKey.into_response(),
        }
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The place of the key that is shown, if it is one of these.
fn shown_key(keys: &[Secret], headers: &HeaderMap) -> Option<usize> {
    let shown = bearer(headers)?;
    // Every key is looked at, so that the time does not tell which one was shown.
    let verified = keys.iter().map(|key| key.verify(shown)).enumerate();
    verified.fold(
        None,
        |found, (place, is_shown)| {
            if is_shown { Some(place) } else { found }
        },
    )
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
        assert_eq!(shown_key(&keys, &showing("Bearer one")), Some(0));
        assert_eq!(shown_key(&keys, &showing("Bearer two")), Some(1));
        assert_eq!(shown_key(&keys, &showing("Bearer three")), None);
        assert_eq!(shown_key(&keys, &HeaderMap::new()), None);
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
