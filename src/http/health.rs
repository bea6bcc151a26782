//! What the machines that run the server ask it: alive, ready, how much.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::{Context, Phase};
use crate::telemetry::in_text_format;

/// The format of [`Metrics::encode`](crate::telemetry::Metrics::encode).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The format of [`in_text_format`].
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

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
pub async fn show_metrics(
    State(context): State<Arc<Context>>,
    headers: HeaderMap,
) -> impl IntoResponse {
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
