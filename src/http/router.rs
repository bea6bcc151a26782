//! Which path leads to which handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::{
    Context, auth, downloads, health, linger, memory, middleware, models, page, transcriptions,
};

/// All routes with everything that every request goes through.
pub fn router(context: Arc<Context>) -> Router {
    let keyed = Router::new()
        .route(
            "/v1/audio/transcriptions",
            post(transcriptions::create_transcription),
        )
        .route(
            "/v1/audio/translations",
            post(transcriptions::create_translation),
        )
        .route("/v1/models", get(models::list_models))
        .route(
            "/v1/models/{*id}",
            get(models::show_model)
                .post(downloads::download_model)
                .delete(models::delete_model),
        )
        .route("/api/ps", get(memory::list_loaded))
        .route(
            "/api/ps/{*id}",
            post(memory::load_model).delete(memory::unload_model),
        )
        // A route of its own, so that without the key nothing under /v1 or /api tells what exists.
        .route("/v1/{*rest}", any(unknown_route))
        .route("/api/{*rest}", any(unknown_route))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&context), auth::require_key));
    let public = Router::new()
        .route("/health", get(health::show_health))
        .route("/ready", get(health::show_readiness))
        .route("/metrics", get(health::show_metrics));
    let public = if context.rules.enable_ui {
        public.route("/", get(page::show_page))
    } else {
        public
    };

    // From the outside in. A refusal made in any of them is turned into an answer by `observe`,
    // gets its CORS headers on the way, and waits in `linger` for a client that is still sending.
    let layers = ServiceBuilder::new()
        // `body` has its own limit, which is a setting.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(
            Arc::clone(&context),
            middleware::observe,
        ))
        .option_layer(middleware::cors(&context.rules.allow_origins))
        .layer(from_fn_with_state(
            Arc::clone(&context),
            linger::read_to_the_end,
        ))
        .layer(CatchPanicLayer::custom(middleware::answer_panic));
    public
        .method_not_allowed_fallback(wrong_method)
        .merge(keyed)
        .fallback(unknown_route)
        .layer(layers)
        .with_state(context)
}

async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    ApiError::UnknownRoute {
        method,
        path: uri.path().to_owned(),
    }
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod {
        method,
        path: uri.path().to_owned(),
    }
}
