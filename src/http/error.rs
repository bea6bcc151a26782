//! Everything a caller may be refused with, its status, and the two texts of it: one for the
//! caller, one for the log.

mod description;
mod transcription;
mod models;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use description::Description;
pub use description::is_lack_of_resources;

use super::cross_site::CrossSite;
use super::middleware::{RETRY_AFTER_MS, RequestId};
use super::rate::Exceeded;
use crate::format::sse;
use crate::models::{DeleteError, HubError, InvalidModelId, ModelId, UnloadError};
use crate::telemetry::error_chain;
use crate::transcribe::TranscribeError;

/// Why a request has no other answer. The message is the log's; the caller's is in `description`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// `model` is missing.
    #[error("model is missing")]
    MissingModel {
        /// The model that OpenAI's names stand for.
        default: String,
    },
    /// The recording is missing.
    #[error("{param} is missing")]
    MissingFile {
        /// The field that holds it.
        param: &'static str,
    },
    /// The upload has no bytes.
    #[error("file is empty")]
    EmptyFile,
    /// The file is a field of text: a path or an address, most of the time.
    #[error("file is text")]
    FileIsText {
        /// What it holds.
        text: String,
    },
    /// The body is of a kind that holds no recording.
    #[error("body is {kind}")]
    NotAudio {
        /// What it is.
        kind: &'static str,
    },
    /// There are two uploads in one form.
    #[error("form has more than one file")]
    SecondFile,
    /// A field holds what it may not.
    #[error("{param} must be {expected}")]
    InvalidValue {
        /// The field.
        param: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// A text field is longer than any use of it.
    #[error("field {name} is longer than {limit} bytes")]
    FieldTooLong {
        /// The field.
        name: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A text field is not UTF-8.
    #[error("field {name} is not UTF-8")]
    FieldNotText {
        /// The field.
        name: String,
    },
    /// Nobody knows this field, and the settings want every field known.
    #[error("field {name} is unknown")]
    UnknownField {
        /// The field.
        name: String,
    },
    /// The body is no form.
    #[error("form is malformed: {0}")]
    MalformedForm(String),
    /// The query string is none.
    #[error("query is malformed: {0}")]
    MalformedQuery(String),
    /// The body breaks HTTP's rules.
    #[error("body is malformed")]
    MalformedBody(#[source] axum::Error),
    /// The body is compressed in a way that is not read here.
    #[error("encoding {encoding} is unknown")]
    UnknownEncoding {
        /// What the header says.
        encoding: String,
    },
    /// The body is not compressed as its headers say.
    #[error("body is not compressed as it says")]
    MalformedEncoding(#[source] std::io::Error),
    /// The client left before its body was complete.
    #[error("body broke off")]
    ClientLeft(#[source] axum::Error),
    /// The key is missing or wrong.
    #[error("API key is missing or wrong")]
    InvalidApiKey,
    /// A page of another site sent it.
    #[error(transparent)]
    CrossSite(CrossSite),
    /// The model is not on disk.
    #[error("model {name} is not on disk")]
    ModelNotFound {
        /// The name that was asked for.
        name: String,
        /// The models on disk.
        present: Vec<String>,
    },
    /// No model can be called so.
    #[error("{name:?} cannot name a model")]
    InvalidModelId {
        /// The name that was sent.
        name: String,
        /// What a name looks like.
        #[source]
        source: InvalidModelId,
    },
    /// The model could not be fetched from the hub.
    #[error("model {id} could not be downloaded")]
    Download {
        /// The model.
        id: ModelId,
        /// What the hub said.
        #[source]
        source: Arc<HubError>,
    },
    /// The model is in memory already.
    #[error("model {0} is loaded already")]
    AlreadyLoaded(ModelId),
    /// The model cannot be unloaded.
    #[error(transparent)]
    Unload(#[from] UnloadError),
    /// The model cannot be deleted.
    #[error(transparent)]
    Delete(DeleteError),
    /// Nothing is served at this path.
    #[error("nothing is served at {method} {path}")]
    UnknownRoute {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The route that is nearest, with its methods.
        nearest: Option<String>,
    },
    /// The path is served for other methods.
    #[error("{path} is not served for {method}")]
    WrongMethod {
        /// The method.
        method: Method,
        /// The path.
        path: String,
    },
    /// The upload took all the time there was.
    #[error("upload was not complete when its time was over")]
    UploadTooSlow,
    /// The body is larger than the limit.
    #[error("body is larger than {limit} bytes")]
    UploadTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// All permits at the door are taken.
    #[error("all {limit} places are taken")]
    TooManyRequests {
        /// How many there are.
        limit: usize,
        /// When one is likely to be free for this request.
        wait: Duration,
    },
    /// The caller has as many permits as one may while others ask.
    #[error("caller's share of {share} places is taken")]
    ShareTaken {
        /// How many one may have.
        share: usize,
        /// When one of them is likely to be free.
        wait: Duration,
    },
    /// All connections are taken, and the reserve is for probes.
    #[error("all connections are taken")]
    TooManyConnections,
    /// The caller has made too many requests within a minute.
    #[error("caller's limit of {} requests a minute is reached", .0.per_minute)]
    TooOften(Exceeded),
    /// The server is about to stop.
    #[error("server is draining")]
    Draining,
    /// The server could not wait for this request any longer.
    #[error("server stops before the request is done")]
    CutOff,
    /// The upload could not be kept.
    #[error("upload cannot be written to a temporary file")]
    Spool(#[source] std::io::Error),
    /// A handler panicked.
    #[error("handler panicked: {0}")]
    Panicked(String),
    /// A file of Swagger UI could not be written.
    #[error("documentation cannot be shown: {0}")]
    Docs(String),
    /// The transcriber gave up.
    #[error(transparent)]
    Transcribe(#[from] TranscribeError),
    /// The transcriber has no room for it at this moment.
    #[error("{source}")]
    Busy {
        /// What it lacks.
        source: TranscribeError,
        /// When it is likely to have room.
        wait: Duration,
    },
}

/// An error as OpenAI writes it.
#[derive(Serialize, ToSchema)]
pub struct ErrorResponse {
    error: ErrorObject,
}

/// What went wrong; every key is always there.
#[derive(Serialize, ToSchema)]
struct ErrorObject {
    /// For people.
    message: String,
    /// `invalid_request_error`, `rate_limit_exceeded` or `server_error`.
    r#type: &'static str,
    /// The field that is wrong, a list without its brackets.
    #[schema(required)]
    param: Option<String>,
    /// For programs, such as `invalid_value` or `model_not_found`.
    #[schema(required)]
    code: Option<&'static str>,
}

/// Writes the body of an error that a handler or a layer answered with, and logs it; any other
/// response passes through.
pub fn write_out(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() else {
        return response;
    };
    let body = ErrorResponse {
        error: report(&error, request_id),
    };
    let (mut head, body) = (response.into_parts().0, Json(body).into_response());
    head.headers.extend(body.headers().clone());
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, body.into_body())
}

/// The error as the last event of a stream whose status has been sent long ago; logs it.
pub fn event(error: &ApiError, request_id: &RequestId) -> String {
    let fields = report(error, &request_id.0);
    sse::error(
        &fields.message,
        fields.r#type,
        fields.param.as_deref(),
        fields.code,
    )
}

/// What the caller is told; the log is told at the same time, which happens nowhere else.
fn report(error: &ApiError, request_id: &str) -> ErrorObject {
    let Description {
        status,
        code,
        param,
        mut message,
        ..
    } = error.describe();
    let reason = error_chain(error);
    // Whoever can fill the connections could fill the log, too: `listen` tells of it.
    let is_told = matches!(error, ApiError::TooManyConnections);
    if status == StatusCode::SERVICE_UNAVAILABLE && !is_told {
        tracing::warn!(http.status = status.as_u16(), reason, "request refused");
    } else if status.is_server_error() && !is_told {
        tracing::error!(http.status = status.as_u16(), reason, "request failed");
    } else {
        tracing::debug!(http.status = status.as_u16(), reason, "request refused");
    }
    if status.is_server_error() {
        message = format!("{message} Request id: {request_id}");
    }
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
        _ if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    ErrorObject {
        message,
        r#type: kind,
        param,
        code,
    }
}

impl IntoResponse for ApiError {
    /// Everything but the body, which [`write_out`] adds: it takes the request's id.
    fn into_response(self) -> Response {
        let Description {
            status,
            retry_after,
            ..
        } = self.describe();
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if let Some(wait) = retry_after {
            // Rounded up: who comes a moment too early is refused again.
            let wait_ms = wait.as_micros().div_ceil(1000) as u64;
            let wait_s = wait_ms.div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait_ms));
        }
        if let Self::InvalidApiKey = self {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests;
