//! The id of a request, in its response and in the log.

use axum::http::HeaderMap;
use uuid::Uuid;

use super::headers::REQUEST_ID;

/// Longest request id accepted from a caller, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

tokio::task_local! {
    static CURRENT_REQUEST: RequestId;
}

/// The id of a request. It is task-local, because an error becomes a response where nothing else of its
/// request is at hand.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub String);

impl RequestId {
    /// The caller's id if it is safe for headers and logs, otherwise a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@".contains(c);
        let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let id = id.filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
        match id.filter(|id| id.chars().all(plain)) {
            Some(id) => Self(id.to_owned()),
            None => Self(Uuid::new_v4().to_string()),
        }
    }

    /// The id of the request that the current task answers, and empty elsewhere: a task that a handler
    /// spawns, or a body that is sent after it, keeps a copy.
    pub fn current() -> Self {
        CURRENT_REQUEST.try_get().unwrap_or_default()
    }

    /// Runs `work` with this id as the [`current`](Self::current) one.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT_REQUEST.scope(self, work).await
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(id: &str, is_kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        assert_eq!(RequestId::of(&headers).0 == id, is_kept, "{id:?}");
    }

    #[test]
    fn keeps_request_ids_that_are_safe_to_log() {
        check("req_0123-abc", true);
        check("8f14e45f-ceea-467f-a8f0-123456789abc", true);
        check("", false);
        check("with space", false);
        check("quote\"", false);
        check("çay", false);
        check(&"x".repeat(129), false);
    }
}
