//! Connections beyond the bound, on which only probes are answered.
//!
//! Probes must be answered when all connections are taken, too: otherwise the server would
//! be restarted, with everything that it is working on.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// What is answered on a connection of the reserve.
const PROBES: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The request came on a connection of the reserve; an extension of it.
#[derive(Clone, Copy, Debug)]
pub struct Reserved;

/// Refuses everything but probes on connections of the reserve.
pub async fn answer_probes(request: Request, next: Next) -> Response {
    let is_reserved = request.extensions().get::<Reserved>().is_some();
    if is_reserved && !PROBES.contains(&request.uri().path()) {
        return ApiError::TooManyConnections.into_response();
    }
    next.run(request).await
}
