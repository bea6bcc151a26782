//! Errors of live sessions and their text for the caller.

use std::time::Duration;

use axum::http::StatusCode;

use super::description::{Description, rate_limited, truncated};

/// `Retry-After` of a refused session: sessions last, so a place may become free at any time.
const RETRY_WHEN_TAKEN: Duration = Duration::from_secs(5);

/// A live session is not opened, or its client has made a mistake.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The request does not ask for a WebSocket.
    #[error("request is no upgrade to a WebSocket")]
    UpgradeRequired,
    /// All sessions are taken.
    #[error("all {limit} live sessions are taken")]
    TooManySessions {
        /// `LIVE__MAX_SESSIONS`.
        limit: usize,
    },
    /// The caller has as many sessions as one caller may have.
    #[error("caller's share of {share} live sessions is taken")]
    SessionShareExceeded {
        /// Sessions of one caller.
        share: usize,
    },
    /// WebRTC, SIP and sessions that speak are not offered.
    #[error("{path} is not offered")]
    NotOffered {
        /// The path.
        path: String,
    },
    /// The client secret has expired, or was not issued with a key of this server.
    #[error("client secret is not valid")]
    InvalidSecret,
    /// The key is too short to sign client secrets.
    #[error("API key is too short to sign client secrets")]
    WeakKey,
    /// The session is too long for a client secret.
    #[error("session of a client secret is longer than {limit} bytes")]
    SecretTooLong {
        /// The limit, in bytes of JSON.
        limit: usize,
    },
    /// A body or a message is not JSON.
    #[error("JSON is malformed: {0}")]
    MalformedJson(String),
    /// A field is missing or has an invalid value.
    #[error("{param}: {code}")]
    Field {
        /// Machine-readable code.
        code: &'static str,
        /// The field.
        param: String,
        /// The error, as a sentence.
        message: String,
    },
    /// The session has reached its longest time.
    #[error("session has expired")]
    SessionExpired,
    /// A stream without turn detection has reached its longest time.
    #[error("stream is longer than {minutes} minutes")]
    StreamTooLong {
        /// The limit.
        minutes: u64,
    },
    /// The engine cannot go on with the session.
    #[error("session cannot go on")]
    SessionFailed,
}

impl LiveError {
    /// A field has a value that is not allowed; `value` is JSON.
    pub fn invalid_value(param: String, value: &str, expected: &str) -> Self {
        Self::Field {
            code: "invalid_value",
            message: format!(
                "Invalid value for '{param}': {}. Expected {expected}.",
                truncated(value)
            ),
            param,
        }
    }

    /// A field is missing.
    pub fn missing(param: &str) -> Self {
        Self::Field {
            code: "missing_required_parameter",
            message: format!("Missing required parameter: '{param}'."),
            param: param.to_owned(),
        }
    }
}

pub(super) fn describe(error: &LiveError) -> Description {
    let bad_request = |message: &str| Description::new(StatusCode::BAD_REQUEST, message);
    match error {
        LiveError::UpgradeRequired => Description::new(
            StatusCode::UPGRADE_REQUIRED,
            "This path is a WebSocket: connect with ws:// or wss://. A proxy in between must pass \
             the headers Upgrade and Connection.",
        )
        .code("upgrade_required"),
        LiveError::TooManySessions { limit } => rate_limited(&format!(
            "The server's limit on live sessions ({limit}, LIVE__MAX_SESSIONS) is reached."
        ))
        .retry_after(RETRY_WHEN_TAKEN),
        LiveError::SessionShareExceeded { share } => rate_limited(&format!(
            "Your share of the server's live sessions ({share}) is reached."
        ))
        .retry_after(RETRY_WHEN_TAKEN),
        LiveError::NotOffered { path } => Description::new(
            StatusCode::NOT_FOUND,
            &format!(
                "{} is not offered: this server transcribes through a WebSocket, without WebRTC and \
                 SIP. Connect to GET /v1/realtime, with a client secret from POST \
                 /v1/realtime/client_secrets in a browser.",
                truncated(path)
            ),
        )
        .code("unknown_url"),
        LiveError::InvalidSecret => Description::new(
            StatusCode::UNAUTHORIZED,
            "The client secret has expired, or was not issued with a key of this server. Request a \
             new one with POST /v1/realtime/client_secrets.",
        )
        .code("invalid_api_key"),
        LiveError::WeakKey => bad_request(
            "Client secrets are signed with the API key, and this key is shorter than 16 \
             characters, so it could be guessed from one. Use a longer key, or set SERVER__SECRET.",
        )
        .code("weak_api_key"),
        LiveError::SecretTooLong { limit } => bad_request(&format!(
            "The session of a client secret is limited to {limit} bytes of JSON. Send long prompts \
             and lists with session.update."
        ))
        .code("invalid_value")
        .param("session"),
        LiveError::MalformedJson(reason) => {
            bad_request(&format!("Invalid JSON: {}.", truncated(reason))).code("invalid_json")
        }
        LiveError::Field {
            code,
            param,
            message,
        } => bad_request(message).code(code).param(param),
        LiveError::SessionExpired => {
            bad_request("The session has reached its limit of 60 minutes.").code("session_expired")
        }
        LiveError::StreamTooLong { minutes } => bad_request(&format!(
            "A stream without enable_vad=true is limited to {minutes} minutes."
        ))
        .code("stream_too_long"),
        LiveError::SessionFailed => Description::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The session cannot go on: the engine failed.",
        ),
    }
}
