//! Cross-origin resource sharing (CORS): pages whose requests are accepted may read the responses.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::headers::{
    BATCH_SIZE, INFERENCE_MS, LIMIT_REQUESTS, PROCESSING_MS, QUEUE_MS, REMAINING_REQUESTS,
    REQUEST_ID, RETRY_AFTER_MS,
};
use super::{Context, cross_site};

/// Time a browser may cache a preflight response, so that it sends about one per session.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// The layer that adds the headers for pages that [`cross_site::is_origin_allowed`] accepts; `*` accepts
/// every page.
pub fn layer(context: &Arc<Context>) -> CorsLayer {
    let origin = if cross_site::is_any_origin_allowed(&context.settings) {
        AllowOrigin::any()
    } else {
        let context = Arc::clone(context);
        AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            let origin = origin.to_str();
            origin.is_ok_and(|origin| cross_site::is_origin_allowed(origin, &context.settings))
        })
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // `*` would exclude `Authorization`.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            REQUEST_ID,
            PROCESSING_MS,
            QUEUE_MS,
            INFERENCE_MS,
            BATCH_SIZE,
            LIMIT_REQUESTS,
            REMAINING_REQUESTS,
            header::RETRY_AFTER,
            RETRY_AFTER_MS,
        ])
        .max_age(MAX_AGE)
}

/// Adds the CORS headers to responses and answers preflight requests. By itself the layer would answer
/// every `OPTIONS` request, whatever its path.
pub async fn apply(State(layer): State<CorsLayer>, request: Request, next: Next) -> Response {
    let is_preflight = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !is_preflight {
        return next.run(request).await;
    }
    match layer.layer(next).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
