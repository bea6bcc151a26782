//! What the machines that run the server ask it: alive, ready, how much.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::{Context, Phase};

/// The format of [`Metrics::encode`](crate::telemetry::Metrics::encode).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /health`: the process is alive.
pub async fn show_health() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// `GET /ready`: whether requests are best sent here, and why not.
pub async fn show_readiness(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let reason = match *context.phase.borrow() {
        Phase::Ready => return (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Phase::Starting => "loading",
        Phase::Draining | Phase::CutOff => "draining",
    };
    let body = json!({ "status": "not ready", "reason": reason });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// `GET /metrics`: everything that is counted.
pub async fn show_metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, OPEN_METRICS)],
        context.metrics.encode(),
    )
}
