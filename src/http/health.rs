//! What the machines that run the server ask it: alive, ready, how much.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::OfReading;
use super::{Context, Phase};
use crate::models::ModelLookup;
use crate::telemetry::in_text_format;

/// The format of [`Metrics::encode`](crate::telemetry::Metrics::encode).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The format of [`in_text_format`].
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, `ready` or `not ready`.
    status: &'static str,
    /// Why it is not ready: `loading` or `draining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// `missing` where the default model is not on disk, so that requests for it get 404; else absent.
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

/// Says that the process is alive.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "showHealth",
    tag = "operation",
    security(()),
    responses((status = 200, description = "It is alive.", body = Health)),
)]
pub async fn show_health() -> Json<Health> {
    Json(Health::new("ok"))
}

/// Says whether requests are best sent here, and why not.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "showReadiness",
    tag = "operation",
    security(()),
    responses(
        (status = 200, description = "They are.", body = Health),
        (status = 503, description = "Not now.", body = Health),
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

/// Shows everything that is counted, for Prometheus.
///
/// `Accept` chooses between `OpenMetrics` and the text format 0.0.4.
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
        OfReading,
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
        let text = in_text_format(&open_metrics);
        ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
    }
}
