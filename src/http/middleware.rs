//! Middleware of every request: its id, its trace span, its metrics, its error, panics.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderValue, Response as HttpResponse};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, Span, field};

use super::Context;
use super::error::{ApiError, CLIENT_CLOSED_REQUEST};
use super::headers::{PROCESSING_MS, REQUEST_ID};
use super::request_id::RequestId;
use crate::models::ModelId;
use crate::telemetry::{RequestLabels, traces};

/// Request extension: the model of the request, which its handler sets for the metrics.
#[derive(Clone, Debug, Default)]
pub struct RequestModel(Arc<OnceLock<ModelId>>);

/// Label of all models that are not on disk when the response is ready. Callers can invent any number of
/// names, and a label is kept until the process ends.
const UNKNOWN_MODEL: &str = "unknown";

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
        let catalog = context.transcriber.models().catalog();
        let speakers = || Some(catalog.find_speaker_model(id)?.id.to_string());
        let stored = catalog.find(id).map(|stored| stored.id.to_string());
        let label = stored.or_else(speakers);
        label.unwrap_or_else(|| UNKNOWN_MODEL.to_owned())
    }
}

/// Gives the request an id and a span, and counts it.
pub async fn observe(
    State(context): State<Arc<Context>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(request.headers());
    let model = RequestModel::default();
    request.extensions_mut().insert(model.clone());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unknown", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        http.method = %request.method(),
        http.route = route,
        request.id = id.0,
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
        let mut response = id.clone().scope(next.run(request)).await;
        let duration_ms = observation.finish(response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(PROCESSING_MS, HeaderValue::from(duration_ms));
        if let Ok(id) = HeaderValue::from_str(&id.0) {
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

/// Logs the error that the response consists of, if it is one: here and nowhere else.
pub async fn log_error(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<Arc<ApiError>>() {
        error.log();
    }
    response
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
