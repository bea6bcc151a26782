//! Middleware of every request: its id, its trace span, its metrics, panics.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response as HttpResponse};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::Context;
use super::error::ApiError;
use crate::models::ModelId;
use crate::telemetry::{RequestLabels, traces};

/// Identifies a request in the response and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds from the request's arrival to its response.
pub const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// Longest time a window waited for its batch, in milliseconds.
pub const QUEUE_MS: HeaderName = HeaderName::from_static("x-queue-ms");
/// Longest time of a batch with one of the windows, in milliseconds.
pub const INFERENCE_MS: HeaderName = HeaderName::from_static("x-inference-ms");
/// Size of the largest batch with one of the windows.
pub const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
/// Limit on concurrent transcription requests.
pub const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
/// Further requests of the caller that would be admitted now.
pub const REMAINING_REQUESTS: HeaderName =
    HeaderName::from_static("x-ratelimit-remaining-requests");
/// Milliseconds to wait before a retry; OpenAI's SDK prefers it to `retry-after`.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

tokio::task_local! {
    static CURRENT_REQUEST: RequestId;
}

/// The id of a request. It is task-local, because an error becomes a response where nothing else of its
/// request is at hand.
#[derive(Clone, Debug, Default)]
pub struct RequestId(pub String);

/// Request extension: the model of the request, which its handler sets for the metrics.
#[derive(Clone, Debug, Default)]
pub struct RequestModel(Arc<OnceLock<ModelId>>);

/// Label of all models that are not on disk when the response is ready. Callers can invent any number of
/// names, and a label is kept until the process ends.
const UNKNOWN_MODEL: &str = "unknown";

/// Status in metrics and traces of a request whose client disconnected before the response; nginx uses
/// the same number.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Longest request id accepted from a caller, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;

impl RequestId {
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

impl RequestModel {
    /// The model of the request with these extensions.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Sets the model; only the first call has an effect.
    pub fn set(&self, id: &ModelId) {
        self.0.get_or_init(|| id.clone());
    }

    /// Its label in the metrics: empty if there is none.
    fn label(&self, context: &Context) -> String {
        let Some(id) = self.0.get() else {
            return String::new();
        };
        match context.transcriber.models().catalog().find(id) {
            Some(stored) => stored.id.to_string(),
            None => UNKNOWN_MODEL.to_owned(),
        }
    }
}

/// Gives the request an id and a span, and counts it.
pub async fn observe(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let model = RequestModel::default();
    request.extensions_mut().insert(model.clone());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        http.method = %request.method(),
        http.route = route,
        request.id = id,
        trace.id = field::Empty,
        otel.kind = field::Empty,
    );
    let headers = request.headers();
    let header = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(trace) = traces::continue_trace(&span, header) {
        span.record("trace.id", trace);
    }
    let observation = RequestObservation {
        arrival: Instant::now(),
        route,
        method: request.method().to_string(),
        model,
        context,
        span: span.clone(),
        is_counted: false,
    };

    let respond = async move {
        let mut response = RequestId(id.clone()).scope(next.run(request)).await;
        let duration_ms = observation.finish(response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(PROCESSING_MS, HeaderValue::from(duration_ms));
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    };
    respond.instrument(span).await
}

/// Counts a request once: when its response is ready, or when it is dropped before that because its
/// client has disconnected.
struct RequestObservation {
    arrival: Instant,
    route: String,
    method: String,
    model: RequestModel,
    context: Arc<Context>,
    span: Span,
    is_counted: bool,
}

impl RequestObservation {
    /// Counts the request and returns its duration in milliseconds.
    fn finish(mut self, status: u16) -> u64 {
        let model = self.model.label(&self.context);
        let duration_ms = self.count(status, model);
        tracing::debug!(parent: &self.span, http.status = status, duration_ms, "request answered");
        duration_ms
    }

    fn count(&mut self, status: u16, model: String) -> u64 {
        self.is_counted = true;
        let duration = self.arrival.elapsed();
        traces::record_response(&self.span, &self.method, &self.route, status);
        let labels = RequestLabels {
            route: std::mem::take(&mut self.route),
            status,
            model,
        };
        self.context.metrics.observe_request(&labels, duration);
        duration.as_millis() as u64
    }
}

impl Drop for RequestObservation {
    fn drop(&mut self) {
        if !self.is_counted {
            let duration_ms = self.count(CLIENT_CLOSED_REQUEST, String::new());
            tracing::debug!(parent: &self.span, duration_ms, "client disconnected before the response");
        }
    }
}

/// The caller's id if it is safe for headers and logs, otherwise a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@".contains(c);
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = id.filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
    match id.filter(|id| id.chars().all(plain)) {
        Some(id) => id.to_owned(),
        None => Uuid::new_v4().to_string(),
    }
}

/// Turns a panic in a handler into a response.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer requires"
)]
pub fn panic_response(panic: Box<dyn Any + Send>) -> HttpResponse<Body> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::Panicked(message.unwrap_or_else(|| "no message".to_owned())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, is_kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        assert_eq!(request_id(&headers) == id, is_kept, "{id:?}");
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
