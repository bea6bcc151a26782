//! Answers of server-sent events; `stream=true` sends a window's text as soon as it is known.

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

use super::door::{self, Admission};
use super::error::{ApiError, error_event};
use super::middleware::RequestId;
use super::{Context, transcriptions};
use crate::format::{ResponseFormat, Wish, sse};
use crate::transcribe::{Progress, Request};
use crate::transcript::Transcript;

/// The whole work of a request, as a task of its own: it ends with the deadline, and makes its place
/// and its model free, however slowly the client reads. Dropping it, as happens when the client leaves,
/// ends all of it.
struct Work(JoinSet<Result<Transcript, ApiError>>);

struct Events {
    work: Work,
    progress: mpsc::Receiver<Progress>,
    keep_alive: Interval,
    wish: Wish,
    /// Segments sent so far.
    segments: usize,
    request_id: RequestId,
    is_over: bool,
}

/// Starts a request, and answers with its events once its audio is known to be sound.
///
/// # Errors
/// Whatever goes wrong before that is an ordinary error answer.
pub async fn respond(
    context: Arc<Context>,
    admission: Admission,
    request: Request,
    wish: Wish,
    request_id: RequestId,
) -> Result<Response, ApiError> {
    // One event ahead of the client: a client that does not read holds up its own request only.
    let (sender, progress) = mpsc::channel(1);
    let mut keep_alive = tokio::time::interval(context.settings.keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let work = async move {
        tokio::select! {
            result = context.transcriber.transcribe_in_parts(request, sender) => {
                result.map_err(|error| transcriptions::refused(&context, admission, error))
            }
            () = door::cut_off(&context) => Err(ApiError::CutOff),
        }
    };
    let mut events = Events {
        work: Work::begin(work.instrument(Span::current())),
        progress,
        keep_alive,
        wish,
        segments: 0,
        request_id,
        is_over: false,
    };
    let first = tokio::select! {
        biased;
        Some(said) = events.progress.recv() => events.said(said),
        result = events.work.end() => Some(events.ending(Ok(result?))),
    };
    let rest = stream::unfold(events, async |mut events| {
        events.next().await.map(|event| (event, events))
    });
    Ok(answer(stream::iter(first).chain(rest)))
}

/// An answer of these events.
pub fn answer(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let body = events.map(|event| Ok::<_, Infallible>(Bytes::from(event)));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    // Proxies that gather an answer before they pass it on are asked not to.
    let unbuffered = [("x-accel-buffering", "no")];
    (headers, unbuffered, Body::from_stream(body)).into_response()
}

impl Work {
    fn begin(work: impl Future<Output = Result<Transcript, ApiError>> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(work);
        Self(task)
    }

    /// Waits for its end; may be dropped and called again until it has come.
    async fn end(&mut self) -> Result<Transcript, ApiError> {
        let over = || Err(ApiError::Panicked("work of a stream is over".to_owned()));
        let ended = self.0.join_next().await;
        ended.map_or_else(over, |ended| {
            ended.unwrap_or_else(|panic| Err(ApiError::Panicked(panic.to_string())))
        })
    }
}

impl Events {
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                Some(progress) = self.progress.recv() => {
                    if let Some(event) = self.said(progress) {
                        self.keep_alive.reset();
                        return Some(event);
                    }
                }
                result = self.work.end() => return Some(self.ending(result)),
                _ = self.keep_alive.tick() => return Some(sse::keep_alive().to_owned()),
            }
        }
    }

    /// The events of the last things said, and the one that ends the stream.
    fn ending(&mut self, result: Result<Transcript, ApiError>) -> String {
        self.is_over = true;
        let mut events = String::new();
        while let Ok(progress) = self.progress.try_recv() {
            events.extend(self.said(progress));
        }
        events.push_str(&match result {
            Ok(transcript) => sse::done(&transcript, &self.wish),
            Err(error) => error_event(&error, &self.request_id),
        });
        events
    }

    fn said(&mut self, progress: Progress) -> Option<String> {
        let Progress::Part(part) = progress else {
            return None;
        };
        if self.wish.format == ResponseFormat::VerboseJson {
            let words = self.wish.granularities.words;
            let numbered = (self.segments + 1..).zip(&part.segments);
            let events: String = numbered
                .map(|(number, segment)| sse::segment(segment, number, words))
                .collect();
            self.segments += part.segments.len();
            return (!events.is_empty()).then_some(events);
        }
        let logprobs = self.wish.logprobs.then_some(part.logprobs.as_slice());
        (!part.delta.is_empty()).then(|| sse::delta(&part.delta, logprobs))
    }
}
