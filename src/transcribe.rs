//! The story of a request: audio in, transcript out.
//!
//! The model is leased and a place in its queue taken; the audio is decoded and cut into
//! windows; each window's features wait in the queue until an engine takes them in a batch
//! shared with other requests; the generations are turned back into text and joined.
//! HTTP and every later front door call [`Transcriber::transcribe`].

mod error;
mod front_end;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::oneshot;
use tracing::Span;

use crate::audio::{self, DecodeLimits, SAMPLE_RATE_HZ, Source};
use crate::batch::{BatchKey, GenerateOptions};
use crate::features::{WINDOW_FRAMES, frames_reached};
use crate::job::{Answer, Job, JobError, RequestId};
use crate::models::{LoadedModel, LoadedModels, ModelId};
use crate::queue::{Slot, UpstreamGuard};
use crate::telemetry::Metrics;
use crate::tokens::{Language, PromptSpec, Task};
use crate::transcript::{Timings, Transcript};

pub use error::TranscribeError;
pub use front_end::{FrontEnd, FrontEndPanicked};

/// Turns audio into transcripts.
pub struct Transcriber {
    models: Arc<LoadedModels>,
    front_end: FrontEnd,
    limits: DecodeLimits,
    windows_in_flight: usize,
    metrics: Metrics,
    next_request: AtomicU64,
}

/// What a caller wants transcribed, and how.
#[derive(Debug)]
pub struct Request {
    /// The audio as it was uploaded.
    pub audio: Source,
    /// The model to run.
    pub model: ModelId,
    /// Same language, or English.
    pub task: Task,
    /// The language spoken; none: detect it in the first window.
    pub language: Option<Language>,
    /// Text that the audio continues, or words to expect.
    pub prompt: Option<String>,
    /// How tokens are chosen.
    pub options: GenerateOptions,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// What the windows of one request have in common.
struct Plan<'a> {
    model: &'a LoadedModel,
    request: RequestId,
    prompt: PromptSpec,
    key: BatchKey,
    deadline: Instant,
}

/// A window that has a place in the queue and is counted as upstream.
struct Ticket {
    slot: Slot,
    coming: UpstreamGuard,
}

impl Transcriber {
    /// A request keeps at most `windows_in_flight` of its windows in the queue and the engines.
    #[must_use]
    pub fn new(
        models: Arc<LoadedModels>,
        front_end: FrontEnd,
        limits: DecodeLimits,
        windows_in_flight: usize,
        metrics: Metrics,
    ) -> Self {
        let next_request = AtomicU64::new(0);
        Self {
            models,
            front_end,
            limits,
            windows_in_flight,
            metrics,
            next_request,
        }
    }

    /// The models it runs.
    #[must_use]
    pub fn models(&self) -> &LoadedModels {
        &self.models
    }

    /// Transcribes; dropping the future cancels the request's windows.
    ///
    /// # Errors
    /// [`TranscribeError`]; past the deadline [`TranscribeError::DeadlinePassed`].
    pub async fn transcribe(&self, request: Request) -> Result<Transcript, TranscribeError> {
        let deadline = request.deadline;
        tokio::time::timeout_at(deadline.into(), self.run(request))
            .await
            .unwrap_or(Err(TranscribeError::DeadlinePassed))
    }

    async fn run(&self, request: Request) -> Result<Transcript, TranscribeError> {
        let model = self.models.lease(&request.model).await?;
        check_language(&model, &request)?;
        // A full queue refuses here, before the audio has cost anything.
        let first = Ticket {
            slot: model.queue.try_reserve()?,
            coming: model.queue.expect_window(),
        };

        let started = Instant::now();
        let limits = self.limits.clone();
        let audio = request.audio;
        let decode =
            move || audio::decode(audio, &limits).map(|pcm| (pcm.len(), audio::into_windows(pcm)));
        let (samples, windows) = self.front_end.run(decode).await??;
        let decode_time = started.elapsed();
        let duration = Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE_HZ));
        self.metrics
            .decode_seconds
            .observe(decode_time.as_secs_f64());

        let previous = request
            .prompt
            .map(|text| model.vocabulary.encode_prompt_text(&text));
        let previous = previous.unwrap_or_default();
        let mut plan = Plan {
            request: RequestId(self.next_request.fetch_add(1, Ordering::Relaxed)),
            key: BatchKey {
                frames: WINDOW_FRAMES,
                previous_tokens: previous.len(),
                options: request.options,
            },
            prompt: PromptSpec {
                language: request.language,
                task: request.task,
                timestamps: request.options.timestamps,
                previous,
            },
            deadline: request.deadline,
            model: &model,
        };

        // The first window names the language of all; with the language given, all run at once.
        let mut windows = windows.into_iter();
        let mut answers = Vec::with_capacity(windows.len());
        let mut first = Some(first);
        let detect = plan.prompt.language.is_none() && model.vocabulary.is_multilingual();
        if detect && let Some(window) = windows.next() {
            let answer = self.generate(&plan, window, first.take()).await?;
            plan.prompt.language = answer.generation.language.map(|found| found.language);
            answers.push(answer);
        }
        let rest = windows.map(|window| self.generate(&plan, window, first.take()));
        let rest = stream::iter(rest).buffered(self.windows_in_flight);
        answers.extend(rest.try_collect::<Vec<Answer>>().await?);

        self.metrics.audio_seconds.inc_by(duration.as_secs_f64());
        Ok(merge(&plan, duration, decode_time, &answers))
    }

    /// Sends one window through features, queue and engine.
    async fn generate(
        &self,
        plan: &Plan<'_>,
        pcm: Vec<f32>,
        ticket: Option<Ticket>,
    ) -> Result<Answer, TranscribeError> {
        let queue = &plan.model.queue;
        let Ticket { slot, coming } = match ticket {
            Some(ticket) => ticket,
            None => Ticket {
                slot: queue.reserve().await?,
                coming: queue.expect_window(),
            },
        };
        let log_mel = Arc::clone(&plan.model.log_mel);
        // The silence behind the window is added by the engine, so that it is not stored here.
        let frames = frames_reached(pcm.len()).min(plan.key.frames);
        let features = self
            .front_end
            .run(move || log_mel.compute(&pcm, frames))
            .await?;

        let (reply, answer) = oneshot::channel();
        let job = Job {
            request: plan.request,
            features,
            prompt: plan.prompt.clone(),
            key: plan.key,
            deadline: plan.deadline,
            queued_at: tokio::time::Instant::now().into_std(),
            reply,
            span: Span::current(),
        };
        queue.send(slot, job)?;
        // Only now: while the count was above zero the batcher may have waited for this window.
        drop(coming);
        answer
            .await
            .unwrap_or(Err(JobError::EngineGone))
            .map_err(TranscribeError::from)
    }
}

fn check_language(model: &LoadedModel, request: &Request) -> Result<(), TranscribeError> {
    let vocabulary = &model.vocabulary;
    let unknown = |language: &Language| !vocabulary.languages().contains(language);
    match request.language.filter(unknown) {
        Some(language) => Err(TranscribeError::UnknownLanguage {
            language,
            model: request.model.clone(),
        }),
        None => Ok(()),
    }
}

fn merge(plan: &Plan<'_>, duration: Duration, decode: Duration, answers: &[Answer]) -> Transcript {
    let vocabulary = &plan.model.vocabulary;
    let language = answers.iter().find_map(|answer| answer.generation.language);
    let language = language
        .map(|found| found.language)
        .or(plan.prompt.language);
    let mut text = String::new();
    let mut timings = Timings {
        decode,
        ..Timings::default()
    };
    for answer in answers {
        let piece = vocabulary.decode(&answer.generation.tokens);
        // Whisper writes the space before a word with the word, but not always at a window's start.
        let spaced = language.is_none_or(Language::puts_spaces_between_words);
        if spaced && !text.is_empty() && !piece.starts_with(char::is_whitespace) {
            text.push(' ');
        }
        text.push_str(&piece);
        timings = timings.max(Timings {
            decode,
            queue: answer.queue_time,
            inference: answer.inference_time,
            batch_size: answer.batch_size,
        });
    }
    let text = text.trim().to_owned();
    Transcript {
        task: plan.prompt.task,
        language,
        duration,
        text,
        timings,
    }
}
