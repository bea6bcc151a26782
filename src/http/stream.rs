//! Responses of server-sent events; with `stream=true`, words are sent as soon as they are certain.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::Context;
use super::admission::{self, AdmissionPermit};
use super::error::{ApiError, error_event};
use super::overload::transcription_error;
use super::request_id::RequestId;
use crate::format::{OutputOptions, Passages, ResponseFormat, sse};
use crate::telemetry::Metrics;
use crate::transcribe::{ReportUnit, Request, TranscriptionProgress};
use crate::transcript::{TokenLogprob, Transcript};

/// An event, or the error of its serialization.
pub type EventResult = Result<Event, axum::Error>;

/// The transcription of a request in its own task: it ends with the deadline, and frees its permit and
/// its model, however slowly the client reads. Dropping it aborts the task, for example when the client
/// disconnects.
struct TranscriptionTask(JoinSet<Result<Transcript, ApiError>>);

/// The state of a stream of events.
struct Events {
    task: TranscriptionTask,
    progress: mpsc::Receiver<TranscriptionProgress>,
    output: OutputOptions,
    /// Segments sent so far.
    segments: usize,
    /// The passages of the text sent so far.
    passages: Passages,
    request_id: RequestId,
    /// When the request arrived; none once text was sent.
    waiting_since: Option<Instant>,
    metrics: Metrics,
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
    arrival: Instant,
) -> Result<Response, ApiError> {
    // One event ahead of the client: a client that does not read blocks its own request only.
    let (sender, progress) = mpsc::channel(1);
    let keep_alive = context.settings.keep_alive;
    let metrics = context.metrics.clone();
    // The times of segments and passages are known when their window is done.
    let unit = match output.format {
        ResponseFormat::VerboseJson | ResponseFormat::DiarizedJson => ReportUnit::Windows,
        _ => ReportUnit::Words,
    };
    let work = async move {
        let transcribing = context
            .transcriber
            .transcribe_in_parts(request, sender, unit);
        let result = admission::unless_cut_off(&context, transcribing).await?;
        result.map_err(|error| transcription_error(&context.metrics, permit, error))
    };
    let mut events = Events {
        task: TranscriptionTask::begin(work.instrument(Span::current())),
        progress,
        output,
        segments: 0,
        passages: Passages::default(),
        request_id: RequestId::current(),
        waiting_since: Some(arrival),
        metrics,
        is_finished: false,
    };
    let first = tokio::select! {
        biased;
        Some(progress) = events.progress.recv() => events.render_progress(progress),
        result = events.task.end() => events.final_events(Ok(result?)),
    };
    let rest = stream::unfold(events, async |mut events| {
        events.next().await.map(|next| (next, events))
    });
    let events = stream::iter(first).chain(rest.flat_map(stream::iter));
    Ok(event_response(events, keep_alive))
}

/// A response with these events, and with a comment, which clients skip, after each `keep_alive` without
/// one.
pub fn event_response(
    events: impl Stream<Item = EventResult> + Send + 'static,
    keep_alive: Duration,
) -> Response {
    let keep_alive = KeepAlive::new().interval(keep_alive).text("keep-alive");
    let headers = [
        // With the character set, which axum leaves out.
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        // Disables the buffering of responses in proxies.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
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
    /// The next events, possibly none; `None` after those that end the stream.
    async fn next(&mut self) -> Option<Vec<EventResult>> {
        if self.is_finished {
            return None;
        }
        Some(tokio::select! {
            biased;
            Some(progress) = self.progress.recv() => self.render_progress(progress),
            result = self.task.end() => self.final_events(result),
        })
    }

    /// The events of the remaining progress, and the one that ends the stream.
    fn final_events(&mut self, result: Result<Transcript, ApiError>) -> Vec<EventResult> {
        self.is_finished = true;
        let mut events = Vec::new();
        while let Ok(progress) = self.progress.try_recv() {
            events.extend(self.render_progress(progress));
        }
        match result {
            Ok(transcript) => {
                if self.output.format == ResponseFormat::DiarizedJson {
                    let segments = sse::speaker_segments(&transcript);
                    events.extend(segments.iter().map(|segment| Ok(event(segment))));
                }
                events.push(Ok(event(&sse::done(&transcript, &self.output))));
            }
            Err(error) => {
                error.log();
                events.push(error_event(&error, &self.request_id));
            }
        }
        events
    }

    fn render_progress(&mut self, progress: TranscriptionProgress) -> Vec<EventResult> {
        let events = self.progress_events(progress);
        if !events.is_empty()
            && let Some(arrival) = self.waiting_since.take()
        {
            let time = arrival.elapsed();
            self.metrics.first_text_seconds.observe(time.as_secs_f64());
        }
        events
    }

    fn progress_events(&mut self, progress: TranscriptionProgress) -> Vec<EventResult> {
        let part = match progress {
            TranscriptionProgress::Decoded(_) => return Vec::new(),
            TranscriptionProgress::Words(delta) => {
                return vec![self.delta(&delta.text, &delta.logprobs)];
            }
            TranscriptionProgress::Part(part) => part,
        };
        if self.output.format == ResponseFormat::VerboseJson {
            let words = self.output.granularities.words;
            let numbered = (self.segments + 1..).zip(&part.segments);
            let events = numbered
                .map(|(number, segment)| Ok(event(&sse::segment(segment, number, words))))
                .collect();
            self.segments += part.segments.len();
            return events;
        }
        if self.output.format == ResponseFormat::DiarizedJson {
            let cut = self.passages.cut(&part.segments, &part.delta);
            let events = cut
                .into_iter()
                .map(|(passage, text)| Ok(event(&sse::passage_delta(text, passage))));
            return events.collect();
        }
        // A token without visible text has a probability, too.
        let has_logprobs = self.output.logprobs && !part.logprobs.is_empty();
        if part.delta.is_empty() && !has_logprobs {
            return Vec::new();
        }
        vec![self.delta(&part.delta, &part.logprobs)]
    }

    fn delta(&self, text: &str, logprobs: &[TokenLogprob]) -> EventResult {
        let logprobs = self.output.logprobs.then_some(logprobs);
        Ok(event(&sse::delta(text, logprobs)))
    }
}

fn event(data: &str) -> Event {
    Event::default().data(data)
}
