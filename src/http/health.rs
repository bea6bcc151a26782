//! Liveness and readiness probes, and metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::ReadErrors;
use super::{Context, Phase};
use crate::models::ModelLookup;
use crate::telemetry::to_prometheus_text;

/// The format of [`Metrics::encode`](crate::telemetry::Metrics::encode).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The format of [`to_prometheus_text`].
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// State of the server.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `ready` or `not ready`.
    status: &'static str,
    /// Reason why it is not ready: `loading` or `draining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// `missing` if the default model is not on disk, so that requests for it get 404; otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_model: Option<&'static str>,
}

impl Health {
    const fn new(status: &'static str) -> Self {
        Self {
            status,
            reason: None,
            default_model: None,
        }
    }
}

/// Liveness probe: 200 while the process runs.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "showHealth",
    tag = "operation",
    security(()),
    responses((status = 200, description = "The process is alive.", body = Health)),
)]
pub async fn show_health() -> Json<Health> {
    Json(Health::new("ok"))
}

/// Readiness probe: 200 when the server accepts requests.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "showReadiness",
    tag = "operation",
    security(()),
    responses(
        (status = 200, description = "The server accepts requests.", body = Health),
        (status = 503, description = "The server is loading models or draining.", body = Health),
    ),
)]
pub async fn show_readiness(State(context): State<Arc<Context>>) -> (StatusCode, Json<Health>) {
    let catalog = &**context.transcriber.models().catalog();
    let is_missing = !catalog.has(&context.aliases.default_model(catalog));
    let default_model = is_missing.then_some("missing");
    let (status, reason) = match *context.phase.borrow() {
        Phase::Ready => (StatusCode::OK, None),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, Some("loading")),
        Phase::Draining | Phase::CutOff => (StatusCode::SERVICE_UNAVAILABLE, Some("draining")),
    };
    let health = Health {
        reason,
        default_model,
        ..Health::new(if reason.is_none() {
            "ready"
        } else {
            "not ready"
        })
    };
    (status, Json(health))
}

/// Returns the metrics for Prometheus.
///
/// The `Accept` header chooses `OpenMetrics` or the text format 0.0.4.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "showMetrics",
    tag = "operation",
    security(()),
    responses(
        (
            status = 200,
            description = "The metrics.",
            content((String = "text/plain"), (String = "application/openmetrics-text")),
        ),
        ReadErrors,
    ),
)]
pub async fn show_metrics(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let memory = context.transcriber.memory();
    context
        .metrics
        .observe_decoded(memory.used_bytes(), memory.limit_bytes());
    let open_metrics = context.metrics.encode();
    let accepted = headers.get_all(header::ACCEPT).iter();
    let wants_open_metrics = accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"));
    if wants_open_metrics {
        ([(header::CONTENT_TYPE, OPEN_METRICS)], open_metrics)
    } else {
        let text = to_prometheus_text(&open_metrics);
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
    }
}
