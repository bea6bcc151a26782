//! Maps paths to handlers.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::openapi::{self, KeyPolicy};
use super::paths::{self, RouteIndex};
use super::{
    Context, analysis, auth, compatible_apis, cors, cross_site, docs, downloads, drain_body,
    health, live, loaded_models, middleware, models, page, probe_connections, transcriptions,
};

/// All routes, with the middleware of every request.
pub fn router(context: Arc<Context>) -> Router {
    let keys = if context.settings.api_keys.is_empty() {
        KeyPolicy::Ignored
    } else {
        KeyPolicy::Required
    };
    let (keyed, keyed_document) = keyed().split_for_parts();
    let (sockets, sockets_document) = sockets().split_for_parts();
    let (public, public_document) = public().split_for_parts();
    let document = keyed_document
        .merge_from(sockets_document)
        .merge_from(public_document);
    let document = openapi::document(document, keys);
    let routes = Arc::new(RouteIndex::of(&document));
    let unknown_route = move |method, uri: Uri| {
        ready(ApiError::UnknownRoute {
            method,
            path: uri.path().to_owned(),
            nearest: routes.nearest(uri.path()),
        })
    };
    let document = docs::OpenApiDocument::new(&document);

    let sockets = sockets
        .route("/v1/realtime", post(live::refuse_webrtc))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(
            Arc::clone(&context),
            live::require_access,
        ));
    let keyed = keyed
        .route("/v1/realtime/calls", any(live::refuse_webrtc))
        .route("/v1/realtime/calls/{*rest}", any(live::refuse_webrtc))
        .route("/v1/realtime/sessions", any(live::refuse_webrtc))
        // Separate routes, so that nothing under /v1 or /api reveals what exists without the key.
        .route("/v1/{*rest}", any(unknown_route.clone()))
        .route("/api/{*rest}", any(unknown_route.clone()))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&context), auth::require_key));
    let public = public.route(
        "/openapi.json",
        get(move |headers: HeaderMap| ready(document.show(&headers))),
    );
    let public = if context.settings.enable_ui {
        public.merge(pages())
    } else {
        public
    };

    // From the outside in. An error from any of them has the id that `observe` gives the request; on the
    // way out it waits in `drain_body` for a client that is still sending, and gets its CORS headers.
    let layers = ServiceBuilder::new()
        // `body` enforces the configured limit.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(
            Arc::clone(&context),
            middleware::observe,
        ))
        .layer(from_fn_with_state(cors::layer(&context), cors::apply))
        .layer(from_fn_with_state(
            Arc::clone(&context),
            drain_body::drain_request_body,
        ))
        // Inside `drain_body`, whose wait a client may not survive.
        .layer(from_fn(middleware::log_error))
        .layer(from_fn(probe_connections::refuse_non_probes))
        .layer(CatchPanicLayer::custom(middleware::panic_response))
        .layer(from_fn_with_state(Arc::clone(&context), cross_site::refuse));
    let routes = public
        .method_not_allowed_fallback(wrong_method)
        .merge(keyed)
        .merge(sockets)
        .fallback(unknown_route)
        .layer(layers)
        .with_state(context);
    // Outside the routes, because their layers run after the route is chosen.
    Router::new().fallback_service(routes.map_request(paths::normalize))
}

/// Routes that require a key if keys are set.
fn keyed() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::default()
        .routes(routes!(transcriptions::create_transcription))
        .routes(routes!(transcriptions::create_translation))
        .routes(routes!(analysis::detect_languages))
        .routes(routes!(analysis::create_diarization))
        .routes(routes!(analysis::detect_speech))
        .routes(routes!(compatible_apis::recognise_speech))
        .routes(routes!(compatible_apis::detect_language))
        .routes(routes!(compatible_apis::infer))
        .routes(routes!(models::list_models))
        .routes(routes!(
            models::show_model,
            downloads::download_model,
            models::delete_model
        ))
        .routes(routes!(loaded_models::list_loaded_models))
        .routes(routes!(
            loaded_models::load_model,
            loaded_models::unload_model
        ))
        .routes(routes!(live::create_client_secret))
        .routes(routes!(live::create_transcription_session))
}

/// Sockets, which a client secret opens too.
fn sockets() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::default()
        .routes(routes!(live::connect_realtime))
        .routes(routes!(live::connect_stream))
}

/// Routes without a key.
fn public() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::default()
        .routes(routes!(health::show_health))
        .routes(routes!(health::show_readiness))
        .routes(routes!(health::show_metrics))
}

/// HTML pages.
fn pages() -> Router<Arc<Context>> {
    Router::new()
        .route("/", get(page::show_page))
        .route("/page/{*file}", get(page::show_page_file))
        .route("/docs", get(docs::redirect_to_docs))
        .route("/docs/", get(docs::show_docs))
        .route("/docs/{*file}", get(docs::show_docs_file))
        .layer(from_fn(page::protect))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod {
        method,
        path: uri.path().to_owned(),
    }
}
