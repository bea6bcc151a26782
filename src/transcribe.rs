//! The story of a request: audio in, transcript out.
//!
//! The model is leased and a place in its queue taken; the audio is decoded and cut into windows
//! where somebody speaks; each window's features wait in the queue until an engine takes them in a
//! batch shared with other requests; the generations are turned into timed text and joined.
//! HTTP and the command line call [`Transcriber::transcribe`].

mod error;
mod front_end;
mod cpu_time;
mod generating;
pub mod guard;
mod hearing;
mod prompting;
mod recordings;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;

use crate::audio::{
    self, DecodeLimits, MemoryBudget, MemoryClaim, Requester, Source, Step, Window,
};
use crate::caller::Caller;
use crate::engine::DecodingOptions;
use crate::job::RequestId;
use crate::models::{LoadedModel, LoadedModels, ModelId};
use crate::queue::{Slot, UpstreamGuard};
use crate::telemetry::Metrics;
use crate::tokens::{PromptSpec, Task};
use crate::transcript::{Speaker, Transcript};

pub use error::TranscribeError;
pub use front_end::{FrontEnd, FrontEndPanicked, Stage};
pub use hearing::Part;
use hearing::{Heard, Joiner, clip_end_s};
use prompting::{check_languages, continue_with, keep_last, previous_tokens};
use recordings::Recordings;
pub use wishes::Wishes;

/// Turns audio into transcripts.
pub struct Transcriber {
    models: Arc<LoadedModels>,
    front_end: FrontEnd,
    limits: DecodeLimits,
    memory: Arc<MemoryBudget>,
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
    /// How it is to be done.
    pub wishes: Wishes,
    /// Who asks; callers take turns in the CPU work.
    pub caller: Caller,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// What a caller who does not wait for the end hears on the way.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The audio is sound and this long, and the model works on it.
    Decoded(Duration),
    /// The next piece of the text.
    Part(Part),
}

/// What the windows of one request have in common.
struct Plan<'a> {
    model: &'a LoadedModel,
    request: RequestId,
    caller: Caller,
    wishes: &'a Wishes,
    decoding: Arc<DecodingOptions>,
    prompt: PromptSpec,
    /// Where the wanted part of the recording ends, in seconds.
    end_s: f64,
    deadline: Instant,
}

/// A window that has a place in the queue and is counted as upstream.
struct Ticket {
    slot: Slot,
    coming: UpstreamGuard,
}

impl Transcriber {
    /// Runs `models` on what `front_end` makes of audio within `limits`; decoded audio of all requests
    /// takes no more than `memory`.
    #[must_use]
    pub fn new(
        models: Arc<LoadedModels>,
        front_end: FrontEnd,
        limits: DecodeLimits,
        memory: Arc<MemoryBudget>,
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

    /// What decoded audio of all requests takes and may take.
    #[must_use]
    pub fn memory(&self) -> &MemoryBudget {
        &self.memory
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
        self.until_deadline(request, None).await
    }

    /// As [`transcribe`](Self::transcribe), and says how it goes on, in order; the first window
    /// goes ahead of the others, so that its text comes early. A full channel makes it wait.
    ///
    /// # Errors
    /// As [`transcribe`](Self::transcribe).
    pub async fn transcribe_in_parts(
        &self,
        request: Request,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Transcript, TranscribeError> {
        self.until_deadline(request, Some(progress)).await
    }

    async fn until_deadline(
        &self,
        request: Request,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<Transcript, TranscribeError> {
        let deadline = request.deadline;
        tokio::time::timeout_at(deadline.into(), self.run(request, progress))
            .await
            .unwrap_or(Err(TranscribeError::DeadlinePassed))
    }

    async fn run(
        &self,
        request: Request,
        progress: Option<mpsc::Sender<Progress>>,
    ) -> Result<Transcript, TranscribeError> {
        let Request {
            audio,
            task,
            wishes,
            caller,
            deadline,
            model,
        } = request;
        let id = model;
        let model = self.models.lease(&id).await?;
        check_languages(&model, &id, &wishes)?;
        // A full queue refuses here, before the audio has cost anything.
        let first = Ticket {
            slot: model.queue.try_reserve()?,
            coming: model.queue.expect_window(),
        };
        let started = Instant::now();
        let (recordings, _memory) = self
            .decode(audio, &wishes, caller, model.windows_in_flight)
            .await?;
        let decode_time = started.elapsed();
        self.metrics
            .decode_seconds
            .observe(decode_time.as_secs_f64());
        say(progress.as_ref(), || Progress::Decoded(recordings.duration)).await;

        let mut plan = Plan {
            model: &model,
            request: RequestId(self.next_request.fetch_add(1, Ordering::Relaxed)),
            caller,
            decoding: Arc::new(wishes.decoding()),
            prompt: PromptSpec {
                language: prompting::language(&model.vocabulary, &wishes),
                task,
                timestamps: wishes.options.timestamps,
                previous: previous_tokens(&model.vocabulary, &wishes),
            },
            end_s: clip_end_s(wishes.clip, recordings.duration),
            deadline,
            wishes: &wishes,
        };
        let duration = recordings.duration;
        self.report_damage(&recordings);
        let mut joiner = Joiner::new(&plan, &recordings, decode_time);
        let mut windows = Box::pin(self.windows(recordings, caller));
        let mut first = Some(first);
        let detects = plan.prompt.language.is_none();
        let in_turn = wishes.condition_on_previous_text;
        if in_turn || detects || progress.is_some() {
            // The first window names the language of all, or is to come early. Where a window
            // continues the text of the one before, they all come this way.
            while let Some(next) = windows.next().await {
                let (speaker, window) = next?;
                let heard = self.hear(&plan, speaker, window, first.take()).await?;
                plan.prompt.language = plan.prompt.language.or(heard.language);
                if in_turn {
                    continue_with(&mut plan.prompt, &heard);
                }
                let part = joiner.add(heard);
                say(progress.as_ref(), || Progress::Part(part)).await;
                if !in_turn {
                    break;
                }
            }
        }
        let plan = &plan;
        let mut rest = windows
            .map(|next| {
                let first = first.take();
                async move {
                    let (speaker, window) = next?;
                    self.hear(plan, speaker, window, first).await
                }
            })
            .buffered(plan.model.windows_in_flight);
        while let Some(heard) = rest.next().await {
            let part = joiner.add(heard?);
            say(progress.as_ref(), || Progress::Part(part)).await;
        }
        self.metrics.audio_seconds.inc_by(duration.as_secs_f64());
        if !duration.is_zero() {
            let factor = started.elapsed().div_duration_f64(duration);
            self.metrics.real_time_factor.observe(factor);
        }
        let transcript = joiner.finish(plan.prompt.language);
        for dropped in &transcript.dropped {
            self.metrics.count_dropped(dropped.reason.as_str());
        }
        Ok(transcript)
    }

    /// Decodes the audio and prepares its cutting at speech; returns the claim on the memory of the PCM and
    /// of up to `windows` windows in flight.
    async fn decode(
        &self,
        audio: Source,
        wishes: &Wishes,
        caller: Caller,
        windows: usize,
    ) -> Result<(Recordings, MemoryClaim), TranscribeError> {
        let limits = self.limits.clone();
        let (channels, clip, vad) = (wishes.channels, wishes.clip, wishes.vad);
        // Dropped with this future, which is how the decoding learns that nobody waits for it.
        let alive = Arc::new(());
        let waiting = Arc::downgrade(&alive);
        let memory = self.memory.claim();
        let decode = move || {
            let is_wanted = || waiting.strong_count() > 0;
            let requester = Requester {
                is_wanted: &is_wanted,
                memory: &memory,
                cpu_clock: cpu_time::of_this_thread,
            };
            let decoded = audio::decode_for(requester, audio, &limits, channels)?;
            // All at once: a request that lacked memory later would wait while it holds some.
            memory.hold(recordings::bytes_of(&decoded.streams, windows))?;
            Ok((Recordings::new(decoded, clip, vad), memory))
        };
        self.front_end.run(Stage::Decode, caller, decode).await?
    }

    /// Counts and logs what was lost in decoding.
    fn report_damage(&self, recordings: &Recordings) {
        let pieces = &recordings.damaged;
        if pieces.is_empty() {
            return;
        }
        let lost_s: f64 = pieces.iter().map(|piece| piece.end_s - piece.start_s).sum();
        self.metrics.damaged_seconds.inc_by(lost_s);
        tracing::warn!(
            audio.damaged_pieces = pieces.len(),
            audio.damaged_ms = (lost_s * 1000.0).round(),
            audio.duration_ms = recordings.duration.as_millis(),
            "parts of the audio could not be decoded"
        );
    }

    /// The windows of a request, cut when they are wanted: nothing is looked at before its turn.
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
                    (speaker, Step::Window(window)) => {
                        let time = started.elapsed();
                        self.metrics.vad_seconds.observe(time.as_secs_f64());
                        return Ok(Some(((speaker, window), recordings)));
                    }
                    (_, Step::Unsettled) => {}
                    (_, Step::End) => return Ok(None),
                }
            }
        })
    }

    /// Has a window written down; what the model left unheard at its end is a window of its own.
    async fn hear(
        &self,
        plan: &Plan<'_>,
        speaker: Option<Speaker>,
        window: Window,
        ticket: Option<Ticket>,
    ) -> Result<Heard, TranscribeError> {
        let mut window = Arc::new(window);
        let prompt = plan.prompt.clone();
        let answer = self
            .generate(plan, prompt, Arc::clone(&window), ticket)
            .await?;
        let (mut heard, mut unheard) = Heard::new(plan, speaker, &window.clock, answer);
        while let Some(from_s) = unheard {
            window = Arc::new(window.rest(from_s));
            // Alone it is short: it continues what was heard before, and is heard to its end.
            let mut prompt = PromptSpec {
                language: plan.prompt.language.or(heard.language),
                timestamps: false,
                previous: heard.tokens.clone(),
                ..plan.prompt.clone()
            };
            keep_last(&mut prompt.previous);
            let answer = self
                .generate(plan, prompt, Arc::clone(&window), None)
                .await?;
            let (more, rest) = Heard::new(plan, speaker, &window.clock, answer);
            heard.append(more);
            unheard = rest;
        }
        Ok(heard)
    }
}

/// Tells a caller who listens; one who has stopped listening is found out by dropping the request.
async fn say(listener: Option<&mpsc::Sender<Progress>>, progress: impl FnOnce() -> Progress) {
    if let Some(listener) = listener {
        let _gone = listener.send(progress()).await;
    }
}
