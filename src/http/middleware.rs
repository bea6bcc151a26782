//! What every request goes through: its id, its trace span, its metrics, panics.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response as HttpResponse};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, Span, field};
use uuid::Uuid;

use super::Context;
use super::error::{self, ApiError};
use crate::models::ModelId;
use crate::telemetry::{Metrics, RequestLabels, traces};

/// Names a request in the answer and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Milliseconds from the request's arrival to its answer.
pub const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// Milliseconds the slowest window waited for its batch.
pub const QUEUE_MS: HeaderName = HeaderName::from_static("x-queue-ms");
/// Milliseconds of the slowest batch a window was in.
pub const INFERENCE_MS: HeaderName = HeaderName::from_static("x-inference-ms");
/// Windows in the largest batch a window was in.
pub const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
/// Transcriptions the server works on at a time.
pub const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
/// How many more of the caller it would take at this moment.
pub const REMAINING_REQUESTS: HeaderName =
    HeaderName::from_static("x-ratelimit-remaining-requests");
/// Seconds to wait before trying again, in milliseconds; OpenAI's SDK prefers it.
pub const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The request's id, for handlers whose answer goes on after they have returned.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The model that a request is for, for the metrics: an extension of the answer. None is one that is
/// not on disk, although the request could wait for its download.
#[derive(Clone, Debug)]
pub struct RunModel(pub Option<ModelId>);

/// Label of all models that are not on disk. Their names are the callers' to make up, and a label
/// stays as long as the process.
const UNKNOWN_MODEL: &str = "unknown";

/// The status that metrics and traces show of a request whose client left before the answer; the
/// number is nginx's.
pub const CLIENT_LEFT: u16 = 499;

/// Longest request id taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Gives the request an id and a span, counts its answer, and writes out its error if it has one.
pub async fn observe(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
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
    let arrived = Arrived {
        arrival: Instant::now(),
        route,
        method: request.method().to_string(),
        metrics: context.metrics.clone(),
        span: span.clone(),
        is_counted: false,
    };

    let answer = async move {
        let mut response = error::write_out(next.run(request).await, &id);
        let model = response.extensions_mut().remove::<RunModel>();
        let duration_ms = arrived.answered(response.status().as_u16(), model);
        let headers = response.headers_mut();
        headers.insert(PROCESSING_MS, HeaderValue::from(duration_ms));
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        response
    };
    answer.instrument(span).await
}

/// A request that came in and is counted once: when it is answered, or when it is dropped before,
/// which is what happens to it when its client leaves.
struct Arrived {
    arrival: Instant,
    route: String,
    method: String,
    metrics: Metrics,
    span: Span,
    is_counted: bool,
}

impl Arrived {
    /// Counts it; gives the milliseconds that it took.
    fn answered(mut self, status: u16, model: Option<RunModel>) -> u64 {
        let duration_ms = self.count(status, model);
        tracing::debug!(parent: &self.span, http.status = status, duration_ms, "request answered");
        duration_ms
    }

    fn count(&mut self, status: u16, model: Option<RunModel>) -> u64 {
        self.is_counted = true;
        let duration = self.arrival.elapsed();
        traces::record_response(&self.span, &self.method, &self.route, status);
        let labels = RequestLabels {
            route: std::mem::take(&mut self.route),
            status,
            model: model.map_or_else(String::new, |RunModel(id)| {
                id.map_or_else(|| UNKNOWN_MODEL.to_owned(), |id| id.to_string())
            }),
        };
        self.metrics.observe_request(&labels, duration);
        duration.as_millis() as u64
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if !self.is_counted {
            let duration_ms = self.count(CLIENT_LEFT, None);
            tracing::debug!(parent: &self.span, duration_ms, "client left before the answer");
        }
    }
}

/// The caller's id where it is fit for headers and logs, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@".contains(c);
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let given = given.filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()));
    match given.filter(|id| id.chars().all(plain)) {
        Some(id) => id.to_owned(),
        None => Uuid::new_v4().to_string(),
    }
}

/// Turns a panic in a handler into an answer.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
pub fn answer_panic(panic: Box<dyn Any + Send>) -> HttpResponse<Body> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::Panicked(message.unwrap_or_else(|| "no message".to_owned())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, kept: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(
            REQUEST_ID,
            HeaderValue::from_bytes(given.as_bytes()).unwrap(),
        );
        assert_eq!(request_id(&headers) == given, kept, "{given:?}");
    }

    #[test]
    fn keeps_request_ids_that_are_fit_for_a_log() {
        check("req_0123-abc", true);
        check("8f14e45f-ceea-467f-a8f0-123456789abc", true);
        check("", false);
        check("with space", false);
        check("quote\"", false);
        check("çay", false);
        check(&"x".repeat(129), false);
    }
}
