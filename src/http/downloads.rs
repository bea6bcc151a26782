//! The download of a model, answered when it is over, or told of as it goes on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use super::error::{ApiError, event};
use super::middleware::RequestId;
use super::models::{Model, PathId, describe, path_name, resolve};
use super::openapi::{Downloaded, ModelName, OfDownload};
use super::{Context, door, stream as streaming};
use crate::format::sse;
use crate::models::{Download, DownloadProgress, ModelId};

/// What a client is told while a model is fetched.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
#[schema(as = DownloadProgress)]
pub enum Event {
    /// So much has come.
    #[serde(rename = "model.download.progress")]
    Progress {
        /// The model.
        id: String,
        /// The file that comes now.
        file: String,
        /// Bytes of all files that have come.
        bytes: u64,
        /// Bytes of all files.
        total: u64,
    },
    /// All is here.
    #[serde(rename = "model.download.done")]
    Done {
        /// The model.
        model: Box<Model>,
    },
}

/// Downloads a model from the Hugging Face hub, unless it is here.
///
/// Whoever asks for one that is being fetched waits for that; when all have left, the fetching goes
/// on. With `Accept: text/event-stream` the answer is events, of which the last may be an error.
#[utoipa::path(
    post,
    path = "/v1/models/{*id}",
    operation_id = "downloadModel",
    tag = "models",
    params(ModelName),
    responses(
        Downloaded,
        (status = 201, description = "It is here now.", body = Model),
        OfDownload,
    ),
)]
pub async fn download_model(
    State(context): State<Arc<Context>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    uri: Uri,
    id: PathId,
) -> Result<Response, ApiError> {
    let id = resolve(&context, &path_name(&uri, id))?;
    let streams = wants_events(&headers);
    if let Some(model) = model(&context, &id) {
        return Ok(if streams {
            let done = written(&Event::Done {
                model: Box::new(model),
            });
            streaming::answer(stream::iter([done]))
        } else {
            Json(model).into_response()
        });
    }
    let download = context.transcriber.models().downloads().start(&id);
    if streams {
        let told = tell(Arc::clone(&context), download, id, request_id);
        return Ok(streaming::answer(told));
    }
    let model = finish(&context, &download, &id).await?;
    Ok((StatusCode::CREATED, Json(model)).into_response())
}

/// The events of a download, to its end.
fn tell(
    context: Arc<Context>,
    download: Download,
    id: ModelId,
    request_id: RequestId,
) -> impl Stream<Item = String> + Send {
    let mut keep_alive = tokio::time::interval(context.rules.keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let progress = download.progress();
    let all = (context, download, progress, keep_alive);
    stream::unfold(Some(all), move |all| {
        let (id, request_id) = (id.clone(), request_id.clone());
        async move {
            let (context, download, mut progress, mut keep_alive) = all?;
            tokio::select! {
                biased;
                Ok(()) = progress.changed() => {
                    let event = written(&said(&id, &progress.borrow_and_update()));
                    keep_alive.reset();
                    Some((event, Some((context, download, progress, keep_alive))))
                }
                ended = finish(&context, &download, &id) => {
                    let last = match ended {
                        Ok(model) => written(&Event::Done { model: Box::new(model) }),
                        Err(error) => event(&error, &request_id),
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

/// Waits for the end of a download, though not beyond the server's own.
async fn finish(context: &Context, download: &Download, id: &ModelId) -> Result<Model, ApiError> {
    let ended = tokio::select! {
        ended = download.finished() => ended,
        () = door::draining(context) => return Err(ApiError::Draining),
    };
    ended.map_err(|source| ApiError::Download {
        id: id.clone(),
        source,
    })?;
    // Somebody may have deleted it in this moment.
    model(context, id).ok_or_else(|| super::models::not_found(context, id.as_str()))
}

fn model(context: &Context, id: &ModelId) -> Option<Model> {
    let stored = context.transcriber.models().catalog().find(id)?;
    Some(describe(context, &stored))
}

fn said(id: &ModelId, progress: &DownloadProgress) -> Event {
    Event::Progress {
        id: id.to_string(),
        file: progress.file.clone(),
        bytes: progress.bytes,
        total: progress.total_bytes,
    }
}

fn written(event: &Event) -> String {
    sse::event(event)
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/event-stream"))
}
