//! Answers only probes on the connections beyond the limit.
//!
//! Without these connections a probe would fail when all others are taken, and the orchestrator would
//! restart the server with everything it is working on.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Paths that are answered on a probe connection.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Request extension: the request came on a probe connection.
#[derive(Clone, Copy, Debug)]
pub struct ProbeConnection;

/// Refuses all requests but probes on probe connections.
pub async fn refuse_non_probes(request: Request, next: Next) -> Response {
    let is_probe_connection = request.extensions().get::<ProbeConnection>().is_some();
    if is_probe_connection && !PROBES.contains(&request.uri().path()) {
        return ApiError::TooManyConnections.into_response();
    }
    next.run(request).await
}
