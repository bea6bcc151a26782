//! The path of a request: audio in, transcript out.
//!
//! The model is leased and a permit of its queue taken; the audio is decoded and cut into windows
//! of speech; each window's features wait in the queue until an engine takes them in a batch shared
//! with other requests; the generations are turned into timed text and joined.
//! HTTP and the command line call [`Transcriber::transcribe`].

mod error;
mod front_end;
mod cpu_time;
mod decoding;
mod generating;
pub mod hallucinations;
mod window_transcript;
mod pcm_memory;
mod prompting;
mod recordings;
mod options;
mod urgency;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;

use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use crate::models::{LoadedModel, LoadedModels, ModelId};
use crate::queue::{Arrival, NewWindow, Place};
use crate::schedule::{Lane, RequestId};
use crate::telemetry::Metrics;
use crate::transcript::{Speaker, Transcript};
use halkspeech_audio::{DecodeLimits, NextWindow, PcmBudget, Source, Window};
use halkspeech_whisper::engine::DecodingOptions;
use halkspeech_whisper::{PromptSpec, Task};

pub use error::TranscribeError;
pub use front_end::{FrontEnd, FrontEndPanicked, Stage};
pub use options::TranscriptionOptions;
use prompting::{check_languages, continue_with, keep_last, previous_tokens};
use recordings::Recordings;
pub use urgency::Urgency;
pub use window_transcript::TranscriptPart;
use window_transcript::{TranscriptBuilder, WindowTranscript, clip_end_s};

/// Turns audio into transcripts.
pub struct Transcriber {
    models: Arc<LoadedModels>,
    front_end: FrontEnd,
    limits: DecodeLimits,
    memory: Arc<PcmBudget>,
    metrics: Metrics,
    next_request: AtomicU64,
}

/// A recording to transcribe, with its options.
#[derive(Debug)]
pub struct Request {
    /// The audio as it was uploaded.
    pub audio: Source,
    /// The model to run.
    pub model: ModelId,
    /// Transcribe in the language spoken, or translate into English.
    pub task: Task,
    /// How to transcribe it.
    pub options: TranscriptionOptions,
    /// The sender of the request; callers take turns in the CPU work and for the engines.
    pub caller: Caller,
    /// How urgent its windows are.
    pub urgency: Urgency,
    /// Limits the audio of the caller.
    pub quota: Option<Arc<AudioQuota>>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// How it arrives at the model's queue.
    pub arrival: Arrival,
}

/// A progress report of a running request.
#[derive(Clone, Debug)]
pub enum TranscriptionProgress {
    /// The audio has been decoded; its length.
    Decoded(Duration),
    /// The next part of the text.
    Part(TranscriptPart),
}

/// The data that all windows of one request share.
struct Plan<'a> {
    model: &'a LoadedModel,
    request: RequestId,
    caller: Caller,
    options: &'a TranscriptionOptions,
    decoding: Arc<DecodingOptions>,
    prompt: PromptSpec,
    /// End of the requested part of the recording, in seconds.
    end_s: f64,
    deadline: Instant,
}

/// How a window enters the queue.
struct QueueEntry {
    lane: Lane,
    /// The place that the first window of a request has already.
    place: Option<Place>,
}

impl Transcriber {
    /// Decodes audio within `limits` on `front_end` and runs `models` on it; decoded audio of all
    /// requests takes at most `memory`.
    #[must_use]
    pub fn new(
        models: Arc<LoadedModels>,
        front_end: FrontEnd,
        limits: DecodeLimits,
        memory: Arc<PcmBudget>,
        metrics: Metrics,
    ) -> Self {
        let next_request = AtomicU64::new(0);
        Self {
            models,
            front_end,
            limits,
            memory,
            metrics,
            next_request,
        }
    }

    /// The memory that decoded audio of all requests takes, and its limit.
    #[must_use]
    pub fn memory(&self) -> &PcmBudget {
        &self.memory
    }

    /// The loaded models.
    #[must_use]
    pub fn models(&self) -> &LoadedModels {
        &self.models
    }

    /// Transcribes; dropping the future cancels the request's windows.
    ///
    /// # Errors
    /// [`TranscribeError`]; past the deadline [`TranscribeError::DeadlinePassed`].
    pub async fn transcribe(&self, request: Request) -> Result<Transcript, TranscribeError> {
        self.until_deadline(request, None).await
    }

    /// As [`transcribe`](Self::transcribe), and reports progress in order; the first window runs
    /// ahead of the others, so that its text comes early. A full channel blocks the request.
    ///
    /// # Errors
    /// As [`transcribe`](Self::transcribe).
    pub async fn transcribe_in_parts(
        &self,
        request: Request,
        progress: mpsc::Sender<TranscriptionProgress>,
    ) -> Result<Transcript, TranscribeError> {
        self.until_deadline(request, Some(progress)).await
    }

    async fn until_deadline(
        &self,
        request: Request,
        progress: Option<mpsc::Sender<TranscriptionProgress>>,
    ) -> Result<Transcript, TranscribeError> {
        let deadline = request.deadline;
        tokio::time::timeout_at(deadline.into(), self.run(request, progress))
            .await
            .unwrap_or(Err(TranscribeError::DeadlinePassed))
    }

    async fn run(
        &self,
        request: Request,
        progress: Option<mpsc::Sender<TranscriptionProgress>>,
    ) -> Result<Transcript, TranscribeError> {
        let Request {
            audio,
            task,
            options,
            caller,
            urgency,
            quota,
            deadline,
            model,
            arrival,
        } = request;
        let id = model;
        let model = self.models.lease(&id).await?;
        check_languages(&model, &id, &options)?;
        let request = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        // A full queue, or one that takes too long, refuses here, before the audio has cost anything.
        let first = NewWindow {
            request,
            caller,
            lane: urgency.lane(0),
            deadline,
        };
        let (admitted, place) = model.queue.admit(first, arrival).await?;
        let mut first = Some(place);
        let started = Instant::now();
        let (recordings, _memory) = self
            .decode(audio, &options, caller, model.windows_in_flight)
            .await?;
        let decode_time = started.elapsed();
        if let Some(quota) = quota {
            quota.count(caller, recordings.duration, now())?;
        }
        let length = recordings.duration;
        admitted.announce(urgency.main_lane(length), length)?;
        self.metrics
            .decode_seconds
            .observe(decode_time.as_secs_f64());
        notify(progress.as_ref(), || {
            TranscriptionProgress::Decoded(recordings.duration)
        })
        .await;

        let mut plan = Plan {
            model: &model,
            request,
            caller,
            decoding: Arc::new(options.decoding()),
            prompt: PromptSpec {
                language: prompting::language(&model.vocabulary, &options),
                task,
                timestamps: options.search.timestamps,
                previous: previous_tokens(&model.vocabulary, &options),
            },
            end_s: clip_end_s(options.clip, recordings.duration),
            deadline,
            options: &options,
        };
        let duration = recordings.duration;
        self.report_damage(&recordings);
        let mut builder = TranscriptBuilder::new(&plan, &recordings, decode_time);
        let mut windows = Box::pin(self.windows(recordings, caller).enumerate());
        let mut entry = |index| QueueEntry {
            lane: urgency.lane(index),
            place: first.take(),
        };
        let detects = plan.prompt.language.is_none();
        let sequential = options.condition_on_previous_text;
        if sequential || detects || progress.is_some() {
            // The first window determines the language of all windows, and its text is sent early.
            // If each window continues the text of the previous one, all windows run in this loop.
            while let Some((index, next)) = windows.next().await {
                let (speaker, window) = next?;
                let transcribed = self
                    .transcribe_window(&plan, speaker, window, entry(index))
                    .await?;
                plan.prompt.language = plan.prompt.language.or(transcribed.language);
                if sequential {
                    continue_with(&mut plan.prompt, &transcribed);
                }
                let part = builder.add(transcribed);
                notify(progress.as_ref(), || TranscriptionProgress::Part(part)).await;
                if !sequential {
                    break;
                }
            }
        }
        let plan = &plan;
        let mut remaining = windows
            .map(|(index, next)| {
                let entry = entry(index);
                async move {
                    let (speaker, window) = next?;
                    self.transcribe_window(plan, speaker, window, entry).await
                }
            })
            .buffered(plan.model.windows_in_flight);
        while let Some(transcribed) = remaining.next().await {
            let part = builder.add(transcribed?);
            notify(progress.as_ref(), || TranscriptionProgress::Part(part)).await;
        }
        self.metrics.audio_seconds.inc_by(duration.as_secs_f64());
        if !duration.is_zero() {
            let factor = started.elapsed().div_duration_f64(duration);
            self.metrics.real_time_factor.observe(factor);
        }
        let transcript = builder.finish(plan.prompt.language);
        for dropped in &transcript.dropped {
            self.metrics.count_dropped(dropped.reason.name());
        }
        Ok(transcript)
    }

    /// The windows of a request, cut lazily: speech detection runs only as far as the next window.
    fn windows(
        &self,
        recordings: Recordings,
        caller: Caller,
    ) -> impl Stream<Item = Result<(Option<Speaker>, Window), TranscribeError>> + Send {
        stream::try_unfold(recordings, move |mut recordings| async move {
            let started = Instant::now();
            loop {
                let cut = move || (recordings.next_window(), recordings);
                let step;
                (step, recordings) = self.front_end.run(Stage::Vad, caller, cut).await?;
                match step {
                    (speaker, NextWindow::Ready(window)) => {
                        let time = started.elapsed();
                        self.metrics.vad_seconds.observe(time.as_secs_f64());
                        return Ok(Some(((speaker, window), recordings)));
                    }
                    (_, NextWindow::Pending) => {}
                    (_, NextWindow::End) => return Ok(None),
                }
            }
        })
    }

    /// Transcribes a window; audio that the model skipped at its end becomes another window.
    async fn transcribe_window(
        &self,
        plan: &Plan<'_>,
        speaker: Option<Speaker>,
        window: Window,
        entry: QueueEntry,
    ) -> Result<WindowTranscript, TranscribeError> {
        let mut window = Arc::new(window);
        let prompt = plan.prompt.clone();
        let lane = entry.lane;
        let output = self
            .generate(plan, prompt, Arc::clone(&window), entry)
            .await?;
        let (mut transcribed, mut skipped) =
            WindowTranscript::new(plan, speaker, &window.clock, output);
        while let Some(from_s) = skipped {
            window = Arc::new(window.tail_from(from_s));
            // The part is short: it continues the previous text, and is generated without time
            // stamps, so that the model does not skip its end.
            let mut prompt = PromptSpec {
                language: plan.prompt.language.or(transcribed.language),
                timestamps: false,
                previous: transcribed.tokens.clone(),
                ..plan.prompt.clone()
            };
            keep_last(&mut prompt.previous);
            let entry = QueueEntry { lane, place: None };
            let output = self
                .generate(plan, prompt, Arc::clone(&window), entry)
                .await?;
            let (continuation, next) = WindowTranscript::new(plan, speaker, &window.clock, output);
            transcribed.append(continuation);
            skipped = next;
        }
        Ok(transcribed)
    }
}

/// Sends a report to the listener, if there is one. A closed channel is ignored: a caller who leaves
/// drops the request.
async fn notify(
    listener: Option<&mpsc::Sender<TranscriptionProgress>>,
    progress: impl FnOnce() -> TranscriptionProgress,
) {
    if let Some(listener) = listener {
        let _gone = listener.send(progress()).await;
    }
}
