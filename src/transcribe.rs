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
mod live;
mod analysis;
pub mod hallucinations;
mod window_transcript;
mod transcript_builder;
mod sent_text;
mod progress;
mod pcm_memory;
mod prompting;
mod recordings;
mod speakers;
mod options;
mod plan;
mod urgency;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;

use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use crate::models::{LoadedModels, ModelId, ModelLease};
use crate::queue::{Arrival, Place};
use crate::schedule::RequestId;
use crate::telemetry::Metrics;
use crate::transcript::{Speaker, Transcript};
use halkspeech_audio::{DecodeLimits, NextWindow, PcmBudget, PcmClaim, Source, Window};
use halkspeech_whisper::search::ScoredToken;
use halkspeech_whisper::{PromptSpec, Task};

pub use analysis::{AnalysisRequest, SpeechOptions};
pub use error::TranscribeError;
pub use front_end::{FrontEnd, FrontEndPanicked, Stage};
pub use live::LiveContext;
pub use options::{MAX_SEED, TranscriptionOptions};
use plan::{Origin, Plan, QueueEntry};
use progress::ProgressReport;
pub use progress::{ReportUnit, TextDelta, TranscriptionProgress};
use prompting::{check_languages, continue_with, keep_last};
use recordings::Recordings;
pub use speakers::{FoundSpeakers, KnownSpeaker, ReferenceError, ReferenceProblem, SpeakerOptions};
use transcript_builder::{TranscriptBuilder, clip_end_s};
pub use urgency::Urgency;
pub use window_transcript::TranscriptPart;
use window_transcript::WindowTranscript;

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
    pub fn memory(&self) -> &Arc<PcmBudget> {
        &self.memory
    }

    /// A claim on the memory of decoded audio, of nothing yet.
    #[must_use]
    pub fn claim_memory(&self) -> PcmClaim {
        self.memory.claim()
    }

    /// The threads for CPU work outside the engines.
    #[must_use]
    pub fn front_end(&self) -> &FrontEnd {
        &self.front_end
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
        let report = ProgressReport::new(None, ReportUnit::Windows);
        self.until_deadline(request, report).await
    }

    /// As [`transcribe`](Self::transcribe), and reports progress in order; the first window runs
    /// ahead of the others, so that its text comes early. What was reported is the begin of the
    /// transcript's text. A full channel blocks the request.
    ///
    /// # Errors
    /// As [`transcribe`](Self::transcribe).
    pub async fn transcribe_in_parts(
        &self,
        request: Request,
        progress: mpsc::Sender<TranscriptionProgress>,
        unit: ReportUnit,
    ) -> Result<Transcript, TranscribeError> {
        // Whether text is a hallucination is known when its window is done.
        let unit = match request.options.hallucination_silence_threshold_s {
            Some(_) => ReportUnit::Windows,
            None => unit,
        };
        let report = ProgressReport::new(Some(progress), unit);
        self.until_deadline(request, report).await
    }

    /// Leases a model, which may load it, for transcriptions with these options.
    ///
    /// # Errors
    /// [`TranscribeError`] if it cannot be used, or does not know a language of the options.
    pub async fn lease(
        &self,
        id: &ModelId,
        options: &TranscriptionOptions,
    ) -> Result<ModelLease, TranscribeError> {
        let model = self.models.lease(id).await?;
        check_languages(&model, id, options)?;
        Ok(model)
    }

    fn next_request(&self) -> RequestId {
        RequestId(self.next_request.fetch_add(1, Ordering::Relaxed))
    }

    async fn until_deadline(
        &self,
        request: Request,
        report: ProgressReport,
    ) -> Result<Transcript, TranscribeError> {
        let deadline = request.deadline;
        // On the heap, because it is large.
        tokio::time::timeout_at(deadline.into(), Box::pin(self.run(request, report)))
            .await
            .unwrap_or(Err(TranscribeError::DeadlinePassed))
    }

    async fn run(
        &self,
        request: Request,
        report: ProgressReport,
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
        let model = self.lease(&model, &options).await?;
        let origin = Origin {
            request: self.next_request(),
            caller,
            urgency,
            deadline,
        };
        // A full queue, or one that takes too long, refuses here, before the audio has cost anything.
        let (admitted, first) = model.queue.admit(origin.window(0), arrival).await?;
        let speakers = match &options.speakers {
            Some(speakers) => Some(self.speaker_search(speakers, caller).await?),
            None => None,
        };
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
        report
            .send(|| TranscriptionProgress::Decoded(recordings.duration))
            .await;
        self.report_damage(&recordings);
        let duration = recordings.duration;
        let mut plan = Plan::new(&model, &options, task, origin);
        plan.end_s = clip_end_s(options.clip, duration);
        let clip = speakers.as_ref().map(|_| recordings.clip());
        let transcribing =
            self.transcribe_recordings(plan, recordings, first, (decode_time, &report));
        let transcript = match (speakers, clip) {
            (Some(speakers), Some(clip)) => {
                // Beside the engines, which do not wait for it.
                let finding = self.find_speakers(speakers, clip, caller);
                let (mut transcript, found) = tokio::try_join!(transcribing, finding)?;
                found.label(&mut transcript);
                transcript
            }
            _ => transcribing.await?,
        };
        self.metrics.audio_seconds.inc_by(duration.as_secs_f64());
        if !duration.is_zero() {
            let factor = started.elapsed().div_duration_f64(duration);
            self.metrics.real_time_factor.observe(factor);
        }
        Ok(transcript)
    }

    /// Transcribes decoded recordings; `first` is the place of their first window.
    async fn transcribe_recordings(
        &self,
        mut plan: Plan<'_>,
        recordings: Recordings,
        first: Place,
        (decode_time, report): (Duration, &ProgressReport),
    ) -> Result<Transcript, TranscribeError> {
        let mut builder = TranscriptBuilder::new(&plan, &recordings, decode_time);
        let mut windows = Box::pin(self.windows(recordings, plan.origin.caller).enumerate());
        let urgency = plan.origin.urgency;
        let mut first = Some(first);
        let mut entry = |index, certain| QueueEntry {
            lane: urgency.lane(index),
            place: first.take(),
            certain,
        };
        let detects = plan.prompt.language.is_none();
        let sequential = plan.options.condition_on_previous_text;
        if sequential || detects || report.has_listener() {
            // The first window determines the language of all windows, and its text is sent early.
            // If each window continues the text of the previous one, all windows run in this loop.
            while let Some((index, next)) = windows.next().await {
                let (speaker, window) = next?;
                let entry = entry(index, report.begin_window());
                let end = self.transcribe_window(&plan, speaker, window, entry);
                let words = |certain: &[ScoredToken]| builder.words(&plan, certain);
                let transcribed = report.words_until(end, words).await?;
                plan.prompt.language = plan.prompt.language.or(transcribed.language);
                if sequential {
                    continue_with(&mut plan.prompt, &transcribed);
                }
                report.end_window(builder.add(transcribed)).await;
                if !sequential {
                    break;
                }
            }
        }
        let plan = &plan;
        let mut remaining = windows
            .map(|(index, next)| {
                let entry = entry(index, report.begin_window());
                async move {
                    let (speaker, window) = next?;
                    self.transcribe_window(plan, speaker, window, entry).await
                }
            })
            .buffered(plan.model.windows_in_flight);
        loop {
            let words = |certain: &[ScoredToken]| builder.words(plan, certain);
            let Some(transcribed) = report.words_until(remaining.next(), words).await else {
                break;
            };
            report.end_window(builder.add(transcribed?)).await;
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
        let (lane, certain) = (entry.lane, entry.certain.clone());
        let output = self
            .generate(plan, prompt, Arc::clone(&window), entry)
            .await?;
        let sent = certain.map_or_else(Vec::new, |certain| certain.tokens());
        let (mut transcribed, mut skipped) =
            WindowTranscript::new(plan, speaker.as_ref(), &window.clock, output, &sent);
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
            let entry = QueueEntry {
                lane,
                place: None,
                certain: None,
            };
            let output = self
                .generate(plan, prompt, Arc::clone(&window), entry)
                .await?;
            let (continuation, next) =
                WindowTranscript::new(plan, speaker.as_ref(), &window.clock, output, &[]);
            transcribed.append(continuation);
            skipped = next;
        }
        Ok(transcribed)
    }
}
