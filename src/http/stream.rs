//! Responses of server-sent events; with `stream=true`, the text of each window is sent at once.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{Instrument, Span};

use super::admission::{self, AdmissionPermit};
use super::error::{ApiError, error_event};
use super::middleware::RequestId;
use super::{Context, transcriptions};
use crate::format::{OutputOptions, ResponseFormat, sse};
use crate::transcribe::{Request, TranscriptionProgress};
use crate::transcript::Transcript;

/// The transcription of a request in its own task: it ends with the deadline, and frees its permit and
/// its model, however slowly the client reads. Dropping it aborts the task, for example when the client
/// disconnects.
struct TranscriptionTask(JoinSet<Result<Transcript, ApiError>>);

/// The state of a stream of events.
struct Events {
    task: TranscriptionTask,
    progress: mpsc::Receiver<TranscriptionProgress>,
    keep_alive: Interval,
    output: OutputOptions,
    /// Segments sent so far.
    segments: usize,
    request_id: RequestId,
    is_finished: bool,
}

/// Starts a request, and responds with its events once its audio has been decoded.
///
/// # Errors
/// Errors before that are ordinary error responses.
pub async fn respond(
    context: Arc<Context>,
    permit: AdmissionPermit,
    request: Request,
    output: OutputOptions,
) -> Result<Response, ApiError> {
    // One event ahead of the client: a client that does not read blocks its own request only.
    let (sender, progress) = mpsc::channel(1);
    let mut keep_alive = tokio::time::interval(context.settings.keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let work = async move {
        tokio::select! {
            result = context.transcriber.transcribe_in_parts(request, sender) => {
                result.map_err(|error| transcriptions::transcription_error(&context, permit, error))
            }
            () = admission::cut_off(&context) => Err(ApiError::CutOff),
        }
    };
    let mut events = Events {
        task: TranscriptionTask::begin(work.instrument(Span::current())),
        progress,
        keep_alive,
        output,
        segments: 0,
        request_id: RequestId::current(),
        is_finished: false,
    };
    let first = tokio::select! {
        biased;
        Some(progress) = events.progress.recv() => events.render_progress(progress),
        result = events.task.end() => Some(events.final_events(Ok(result?))),
    };
    let rest = stream::unfold(events, async |mut events| {
        events.next().await.map(|event| (event, events))
    });
    Ok(event_response(stream::iter(first).chain(rest)))
}

/// A response with these events.
pub fn event_response(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = events.map(|event| Ok::<_, Infallible>(Bytes::from(event)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    // Disables the buffering of responses in proxies.
    let unbuffered = [("x-accel-buffering", "no")];
    (headers, unbuffered, Body::from_stream(body)).into_response()
}

impl TranscriptionTask {
    fn begin(work: impl Future<Output = Result<Transcript, ApiError>> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(work);
        Self(task)
    }

    /// Waits for its end. Cancel safe: it may be dropped and called again until the task has ended.
    async fn end(&mut self) -> Result<Transcript, ApiError> {
        let no_task = || {
            Err(ApiError::Panicked(
                "the task of a stream is gone".to_owned(),
            ))
        };
        let joined = self.0.join_next().await;
        joined.map_or_else(no_task, |joined| {
            joined.unwrap_or_else(|panic| Err(ApiError::Panicked(panic.to_string())))
        })
    }
}

impl Events {
    async fn next(&mut self) -> Option<String> {
        if self.is_finished {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                Some(progress) = self.progress.recv() => {
                    if let Some(event) = self.render_progress(progress) {
                        self.keep_alive.reset();
                        return Some(event);
                    }
                }
                result = self.task.end() => return Some(self.final_events(result)),
                _ = self.keep_alive.tick() => return Some(sse::keep_alive().to_owned()),
            }
        }
    }

    /// The events of the remaining progress, and the one that ends the stream.
    fn final_events(&mut self, result: Result<Transcript, ApiError>) -> String {
        self.is_finished = true;
        let mut events = String::new();
        while let Ok(progress) = self.progress.try_recv() {
            events.extend(self.render_progress(progress));
        }
        events.push_str(&match result {
            Ok(transcript) => sse::done(&transcript, &self.output),
            Err(error) => error_event(&error, &self.request_id),
        });
        events
    }

    fn render_progress(&mut self, progress: TranscriptionProgress) -> Option<String> {
        let TranscriptionProgress::Part(part) = progress else {
            return None;
        };
        if self.output.format == ResponseFormat::VerboseJson {
            let words = self.output.granularities.words;
            let numbered = (self.segments + 1..).zip(&part.segments);
            let events: String = numbered
                .map(|(number, segment)| sse::segment(segment, number, words))
                .collect();
            self.segments += part.segments.len();
            return (!events.is_empty()).then_some(events);
        }
        let logprobs = self.output.logprobs.then_some(part.logprobs.as_slice());
        (!part.delta.is_empty()).then(|| sse::delta(&part.delta, logprobs))
    }
}
