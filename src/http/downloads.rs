//! Downloads a model; the response comes at its end, or reports its progress as events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};

use super::download_event::DownloadProgressEvent;
use super::error::{ApiError, error_event};
use super::model_object::{ModelObject, find_model};
use super::models::{ModelPath, model_name_in_path, not_found, resolve};
use super::openapi::{DownloadErrors, DownloadResponses, ModelName};
use super::request_id::RequestId;
use super::stream::{EventResult, event_response};
use super::{Context, admission};
use crate::models::files::SPEAKER_MODEL;
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
    headers: HeaderMap,
    uri: Uri,
    id: ModelPath,
) -> Result<Response, ApiError> {
    let id = resolve(&context, &model_name_in_path(&uri, id))?;
    let wants_events = accepts_events(&headers);
    let keep_alive = context.settings.keep_alive;
    if let Some(model) = find_model(&context, &id) {
        return Ok(if wants_events {
            let done = Event::default().json_data(DownloadProgressEvent::Done {
                model: Box::new(model),
            });
            event_response(stream::iter([done]), keep_alive)
        } else {
            Json(model).into_response()
        });
    }
    if id.as_str().eq_ignore_ascii_case(SPEAKER_MODEL) {
        return Err(not_found(&context, id.as_str(), &id));
    }
    let download = context.transcriber.models().downloads().start(&id);
    if wants_events {
        let events = download_events(Arc::clone(&context), download, id);
        return Ok(event_response(events, keep_alive));
    }
    let model = wait_for_download(&context, &download, &id).await?;
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// The events of a download until its end.
fn download_events(
    context: Arc<Context>,
    download: Download,
    id: ModelId,
) -> impl Stream<Item = EventResult> + Send {
    let request_id = RequestId::current();
    let progress = download.progress();
    let state = (context, download, progress);
    stream::unfold(Some(state), move |state| {
        let (id, request_id) = (id.clone(), request_id.clone());
        async move {
            let (context, download, mut progress) = state?;
            tokio::select! {
                biased;
                Ok(()) = progress.changed() => {
                    let event = progress_event(&id, &progress.borrow_and_update());
                    let event = Event::default().json_data(event);
                    Some((event, Some((context, download, progress))))
                }
                ended = wait_for_download(&context, &download, &id) => {
                    let last = match ended {
                        Ok(model) => {
                            let model = Box::new(model);
                            Event::default().json_data(DownloadProgressEvent::Done { model })
                        }
                        Err(error) => {
                            error.log();
                            error_event(&error, &request_id)
                        }
                    };
                    Some((last, None))
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
    find_model(context, id).ok_or_else(|| not_found(context, id.as_str(), id))
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
