//! Checks the key or the client secret of a request that opens a socket.
//!
//! Browsers cannot set headers on a WebSocket, so they send the key as a subprotocol.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::client_secret::{OpenedSecret, PREFIX};
use super::field_reader::Object;
use crate::caller::Caller;
use crate::http::error::{ApiError, LiveError};
use crate::http::{Context, auth};

/// Precedes the key among the subprotocols.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// Request extension: the session that the client secret names; empty without one.
#[derive(Clone, Debug, Default)]
pub struct SecretSession(pub Object);

/// Refuses a request without a valid key or client secret if keys are set, and one with a secret that is not valid.
pub async fn require_access(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    match check(&context, &request) {
        Ok((caller, session)) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn check(context: &Context, request: &Request) -> Result<(Caller, SecretSession), ApiError> {
    let keys = &context.settings.api_keys;
    let token = token(request.headers());
    if token.is_some_and(|token| token.starts_with(PREFIX)) {
        let Some(secret) = secret_of(context, request.headers()) else {
            return Err(LiveError::InvalidSecret.into());
        };
        let without_key = || Caller::without_key(request.extensions());
        let caller = secret.key.map_or_else(without_key, Caller::Key);
        return Ok((caller, SecretSession(secret.session)));
    }
    if keys.is_empty() {
        let caller = Caller::without_key(request.extensions());
        return Ok((caller, SecretSession::default()));
    }
    match token.and_then(|token| auth::matching_key(keys, token)) {
        Some(index) => Ok((Caller::Key(index), SecretSession::default())),
        None => Err(ApiError::InvalidApiKey),
    }
}

/// The client secret that the request sends, if it is valid.
pub fn secret_of(context: &Context, headers: &HeaderMap) -> Option<OpenedSecret> {
    let token = token(headers).filter(|token| token.starts_with(PREFIX))?;
    let keys = &context.settings.api_keys;
    context.live.secrets.open(keys, token, now_s())
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// The subprotocols that the request offers.
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',').map(str::trim))
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let in_protocol = || subprotocols(headers).find_map(|name| name.strip_prefix(KEY_PROTOCOL));
    auth::bearer_token(headers).or_else(in_protocol)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(headers: &[(HeaderName, &'static str)], expected: Option<&str>) {
        let values = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in values {
            map.append(name, value);
        }
        assert_eq!(token(&map), expected, "{headers:?}");
    }

    #[test]
    fn a_key_is_in_a_header_or_a_subprotocol() {
        let protocol = header::SEC_WEBSOCKET_PROTOCOL;
        check(&[], None);
        check(&[(protocol.clone(), "realtime")], None);
        let offered = "realtime, openai-insecure-api-key.abc, openai-organization.x";
        check(&[(protocol.clone(), offered)], Some("abc"));
        let two = [
            (protocol.clone(), "realtime"),
            (protocol.clone(), "openai-insecure-api-key.abc"),
        ];
        check(&two, Some("abc"));
        let bearer = (header::AUTHORIZATION, "Bearer def");
        check(&[(protocol, offered), bearer], Some("def"));
    }
}
