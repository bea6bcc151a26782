//! All errors of the HTTP API, with their status and two texts each: one for the caller, one for the
//! log.

mod caller_text;
mod transcription;
mod models;
mod speakers;
mod cross_site;
mod live;
mod description;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use cross_site::CrossSite;
use description::Description;
pub use description::is_lack_of_resources;
pub use live::LiveError;

use super::headers::RETRY_AFTER_MS;
use super::rate_limit::RateLimitExceeded;
use super::request_id::RequestId;
use crate::caller::AudioQuotaExceeded;
use crate::models::{DeleteError, HubError, InvalidModelId, ModelId, UnloadError};
use crate::telemetry::error_chain;
use crate::transcribe::TranscribeError;

/// Status in metrics, traces and logs of a request whose client disconnected before the response; nginx uses
/// the same number.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// An error response. The `Display` text is for the log; the caller's text is in `caller_text`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// `model` is missing.
    #[error("model is missing")]
    MissingModel {
        /// The default model, for which OpenAI's names are aliases.
        default: String,
    },
    /// The recording is missing.
    #[error("{param} is missing")]
    MissingFile {
        /// The field of the recording.
        param: &'static str,
    },
    /// The upload has no bytes.
    #[error("file is empty")]
    EmptyFile,
    /// The file field contains text, usually a path or a URL.
    #[error("file is text")]
    FileIsText {
        /// The text.
        text: String,
    },
    /// The content type of the body cannot contain a recording.
    #[error("body is {kind}")]
    NotAudio {
        /// Description of the content.
        kind: &'static str,
    },
    /// The form has more than one file.
    #[error("form has more than one file")]
    MultipleFiles,
    /// A field has an invalid value.
    #[error("{param} must be {expected}")]
    InvalidValue {
        /// The field.
        param: &'static str,
        /// Its value.
        value: String,
        /// The valid values.
        expected: String,
    },
    /// A parameter conflicts with another one.
    #[error("{message}")]
    ParameterConflict {
        /// The parameter that the error names.
        param: &'static str,
        /// The conflict, without a full stop.
        message: String,
    },
    /// A text field exceeds the length limit.
    #[error("field {name} is longer than {limit} bytes")]
    FieldTooLong {
        /// The field; a list without its brackets.
        name: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A text field is not UTF-8.
    #[error("field {name} is not UTF-8")]
    FieldNotText {
        /// The field; a list without its brackets.
        name: &'static str,
    },
    /// The field is unknown, and the settings reject unknown fields.
    #[error("field {name} is unknown")]
    UnknownField {
        /// The field.
        name: String,
    },
    /// The body is not a valid form.
    #[error("form is malformed: {0}")]
    MalformedForm(String),
    /// The query string is invalid.
    #[error("query is malformed: {0}")]
    MalformedQuery(String),
    /// The body violates the HTTP protocol.
    #[error("body is malformed")]
    MalformedBody(#[source] axum::Error),
    /// The content encoding is not supported.
    #[error("encoding {encoding} is unknown")]
    UnknownEncoding {
        /// The value of the header.
        encoding: String,
    },
    /// The body is not compressed as its `Content-Encoding` says.
    #[error("body does not match its content encoding")]
    MalformedEncoding(#[source] std::io::Error),
    /// The client disconnected before the end of the body.
    #[error("connection closed before the end of the body")]
    ClientDisconnected(#[source] axum::Error),
    /// The key is missing or wrong.
    #[error("API key is missing or wrong")]
    InvalidApiKey,
    /// The request comes from a page of another site.
    #[error(transparent)]
    CrossSite(CrossSite),
    /// A live session is not opened, or its client has made a mistake.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The model is not on disk.
    #[error("model {name} is not on disk")]
    ModelNotFound {
        /// The requested name.
        name: String,
        /// The model that the name stands for, if it is not the model's own name.
        stands_for: Option<ModelId>,
        /// Names of the models on disk.
        available: Vec<String>,
    },
    /// The name is not a valid model name.
    #[error("{name:?} is not a valid model name")]
    InvalidModelId {
        /// The requested name.
        name: String,
        /// The reason, with the valid form of a name.
        #[source]
        source: InvalidModelId,
    },
    /// The model could not be fetched from the hub.
    #[error("model {id} could not be downloaded")]
    Download {
        /// The model.
        id: ModelId,
        /// The error of the hub or the download.
        #[source]
        source: Arc<HubError>,
    },
    /// The model is already in memory.
    #[error("model {0} is already loaded")]
    AlreadyLoaded(ModelId),
    /// The model cannot be unloaded.
    #[error(transparent)]
    Unload(#[from] UnloadError),
    /// The model cannot be deleted.
    #[error(transparent)]
    Delete(DeleteError),
    /// There is no route for this path.
    #[error("no route for {method} {path}")]
    UnknownRoute {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The most similar route, with its methods.
        nearest: Option<String>,
    },
    /// The path supports other methods only.
    #[error("{path} does not support {method}")]
    WrongMethod {
        /// The method.
        method: Method,
        /// The path.
        path: String,
    },
    /// The upload timed out, stalled or was too slow.
    #[error("upload timed out or was too slow")]
    UploadTooSlow,
    /// The body is larger than the limit.
    #[error("body is larger than {limit} bytes")]
    UploadTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// All permits are in use.
    #[error("all {limit} permits are in use")]
    TooManyRequests {
        /// Number of permits.
        limit: usize,
        /// Estimated time until one is free for this request.
        wait: Duration,
    },
    /// The caller's share of the permits is in use; it is limited while other callers send requests.
    #[error("caller's share of {share} permits is in use")]
    CallerShareExceeded {
        /// Number of permits in the share.
        share: usize,
        /// Estimated time until one of them is free.
        wait: Duration,
    },
    /// The caller holds as many permits as any caller may.
    #[error("caller's limit of {limit} permits is reached")]
    CallerLimitReached {
        /// The most permits of a caller.
        limit: NonZeroUsize,
        /// Estimated time until one of them is free.
        wait: Duration,
    },
    /// All ordinary connections are in use; the others are for probes.
    #[error("all connections are in use")]
    TooManyConnections,
    /// The caller's limit of requests per minute is reached.
    #[error("caller's limit of {} requests per minute is reached", .0.per_minute)]
    RateLimitReached(RateLimitExceeded),
    /// The caller's limit of audio per minute is reached.
    #[error(transparent)]
    AudioLimitReached(AudioQuotaExceeded),
    /// The server is shutting down.
    #[error("server is draining")]
    Draining,
    /// The server stopped before the request was finished.
    #[error("server stopped before the request was finished")]
    CutOff,
    /// The upload could not be stored.
    #[error("upload cannot be written to a temporary file")]
    Spool(#[source] std::io::Error),
    /// A handler panicked.
    #[error("handler panicked: {0}")]
    Panicked(String),
    /// A file of Swagger UI could not be generated.
    #[error("documentation could not be generated: {0}")]
    Docs(String),
    /// The transcription failed.
    #[error(transparent)]
    Transcribe(#[from] TranscribeError),
    /// The transcriber has no capacity at the moment.
    #[error("{source}")]
    Overloaded {
        /// The exhausted resource.
        source: TranscribeError,
        /// Estimated time until there is capacity.
        wait: Duration,
    },
}

/// An error in OpenAI's schema.
#[derive(Serialize, ToSchema)]
pub struct ErrorResponse {
    error: ErrorObject,
}

/// The error; every key is always present.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorObject {
    /// Human-readable message.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_exceeded` or `server_error`.
    pub r#type: &'static str,
    /// The invalid field; a list without its brackets.
    #[schema(required)]
    pub param: Option<String>,
    /// Machine-readable code, such as `invalid_value` or `model_not_found`.
    #[schema(required)]
    pub code: Option<&'static str>,
}

/// The error as the last event of a stream, whose status is already sent. OpenAI's SDK raises `APIError` for
/// an object with an `error` key.
pub fn error_event(error: &ApiError, request_id: &RequestId) -> Result<Event, axum::Error> {
    let body = ErrorResponse::new(error.describe(), request_id);
    Event::default().json_data(body)
}

impl ErrorResponse {
    fn new(description: Description, request_id: &RequestId) -> Self {
        let Description {
            status,
            code,
            param,
            mut message,
            ..
        } = description;
        if status.is_server_error() {
            message = format!("{message} Request id: {}", request_id.0);
        }
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            _ if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let error = ErrorObject {
            message,
            r#type: kind,
            param,
            code,
        };
        Self { error }
    }
}

impl ApiError {
    /// The error as an object, for an event of a socket.
    pub fn object(&self, request_id: &RequestId) -> ErrorObject {
        ErrorResponse::new(self.describe(), request_id).error
    }

    /// Logs the error; called where its response is complete, or where it ends a stream.
    pub fn log(&self) {
        let status = self.describe().status;
        let reason = error_chain(self);
        // A caller that fills the connections could also fill the log, so `listen` logs this at intervals.
        let is_throttled = matches!(self, Self::TooManyConnections);
        if status == StatusCode::SERVICE_UNAVAILABLE && !is_throttled {
            tracing::warn!(http.status = status.as_u16(), reason, "request refused");
        } else if status.is_server_error() && !is_throttled {
            tracing::error!(http.status = status.as_u16(), reason, "request failed");
        } else {
            tracing::debug!(http.status = status.as_u16(), reason, "request refused");
        }
    }
}

impl IntoResponse for ApiError {
    /// Describes the error to the caller of the request that the current task answers. The response carries
    /// the error itself too, for the layer that logs it.
    fn into_response(self) -> Response {
        let description = self.describe();
        let (status, retry_after) = (description.status, description.retry_after);
        let body = ErrorResponse::new(description, &RequestId::current());
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = retry_after {
            // Rounded up, because a request that returns too early is refused again.
            let wait_ms = wait.as_micros().div_ceil(1000) as u64;
            let wait_s = wait_ms.div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait_ms));
        }
        if let Self::InvalidApiKey | Self::Live(LiveError::InvalidSecret) = self {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::Live(LiveError::UpgradeRequired) = self {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests;
