//! Downloads a model; the response comes at its end, or reports its progress as events.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use tokio::time::MissedTickBehavior;

use super::download_event::DownloadProgressEvent;
use super::error::{ApiError, error_event};
use super::middleware::RequestId;
use super::model_object::{ModelObject, describe_model};
use super::models::{ModelPath, model_name_in_path, resolve};
use super::openapi::{DownloadErrors, DownloadResponses, ModelName};
use super::{Context, admission, stream as streaming};
use crate::format::sse;
use crate::models::{Download, DownloadProgress, ModelId};

/// Downloads a model from the Hugging Face hub, unless it is on disk.
///
/// Requests for a model that is being downloaded wait for the same download, which continues when all
/// clients have disconnected. With `Accept: text/event-stream` the response is a stream of events, of
/// which the last may be an error.
#[utoipa::path(
    post,
    path = "/v1/models/{*id}",
    operation_id = "downloadModel",
    tag = "models",
    params(ModelName),
    responses(
        DownloadResponses,
        (status = 201, description = "The model is downloaded.", body = ModelObject),
        DownloadErrors,
    ),
)]
pub async fn download_model(
    State(context): State<Arc<Context>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    uri: Uri,
    id: ModelPath,
) -> Result<Response, ApiError> {
    let id = resolve(&context, &model_name_in_path(&uri, id))?;
    let wants_events = accepts_events(&headers);
    if let Some(model) = model(&context, &id) {
        return Ok(if wants_events {
            let done = sse::event(&DownloadProgressEvent::Done {
                model: Box::new(model),
            });
            streaming::event_response(stream::iter([done]))
        } else {
            Json(model).into_response()
        });
    }
    let download = context.transcriber.models().downloads().start(&id);
    if wants_events {
        let events = download_events(Arc::clone(&context), download, id, request_id);
        return Ok(streaming::event_response(events));
    }
    let model = wait_for_download(&context, &download, &id).await?;
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// The events of a download until its end.
fn download_events(
    context: Arc<Context>,
    download: Download,
    id: ModelId,
    request_id: RequestId,
) -> impl Stream<Item = String> + Send {
    let mut keep_alive = tokio::time::interval(context.settings.keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let progress = download.progress();
    let state = (context, download, progress, keep_alive);
    stream::unfold(Some(state), move |state| {
        let (id, request_id) = (id.clone(), request_id.clone());
        async move {
            let (context, download, mut progress, mut keep_alive) = state?;
            tokio::select! {
                biased;
                Ok(()) = progress.changed() => {
                    let event = sse::event(&progress_event(&id, &progress.borrow_and_update()));
                    keep_alive.reset();
                    Some((event, Some((context, download, progress, keep_alive))))
                }
                ended = wait_for_download(&context, &download, &id) => {
                    let last = match ended {
                        Ok(model) => sse::event(&DownloadProgressEvent::Done { model: Box::new(model) }),
                        Err(error) => error_event(&error, &request_id),
                    };
                    Some((last, None))
                }
                _ = keep_alive.tick() => {
                    let event = sse::keep_alive().to_owned();
                    Some((event, Some((context, download, progress, keep_alive))))
                }
            }
        }
    })
}

/// Waits for the end of a download, or for the shutdown of the server.
async fn wait_for_download(
    context: &Context,
    download: &Download,
    id: &ModelId,
) -> Result<ModelObject, ApiError> {
    let ended = tokio::select! {
        ended = download.finished() => ended,
        () = admission::draining(context) => return Err(ApiError::Draining),
    };
    ended.map_err(|source| ApiError::Download {
        id: id.clone(),
        source,
    })?;
    // It may have been deleted in the meantime.
    model(context, id).ok_or_else(|| super::models::not_found(context, id.as_str()))
}

fn model(context: &Context, id: &ModelId) -> Option<ModelObject> {
    let stored = context.transcriber.models().catalog().find(id)?;
    Some(describe_model(context, &stored))
}

fn progress_event(id: &ModelId, progress: &DownloadProgress) -> DownloadProgressEvent {
    DownloadProgressEvent::Progress {
        id: id.to_string(),
        file: progress.file.clone(),
        bytes: progress.bytes,
        total: progress.total_bytes,
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}
