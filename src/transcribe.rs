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
mod windows;
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
use std::time::Instant;

use tokio::sync::mpsc;

use crate::caller::{AudioQuota, Caller};
use crate::clock::now;
use crate::models::{LoadedModels, ModelId, ModelLease};
use crate::queue::Arrival;
use crate::schedule::RequestId;
use crate::telemetry::Metrics;
use crate::transcript::Transcript;
use halkspeech_audio::{DecodeLimits, PcmBudget, PcmClaim, Source};
use halkspeech_whisper::Task;

pub use analysis::{AnalysisRequest, SpeechOptions};
pub use error::TranscribeError;
pub use front_end::{FrontEnd, FrontEndPanicked, Stage};
pub use live::LiveContext;
pub use options::{MAX_SEED, TranscriptionOptions};
use plan::{Origin, Plan, QueueEntry};
use progress::ProgressReport;
pub use progress::{ReportUnit, TextDelta, TranscriptionProgress};
use prompting::check_languages;
pub use speakers::{FoundSpeakers, KnownSpeaker, ReferenceError, ReferenceProblem, SpeakerOptions};
use transcript_builder::clip_end_s;
pub use urgency::Urgency;
pub use window_transcript::TranscriptPart;

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
        until(deadline, Box::pin(self.run(request, report))).await
    }

    async fn run(
        &self,
        request: Request,
        report: ProgressReport,
    ) -> Result<Transcript, TranscribeError> {
        let Request {
            audio,
            task,
            mut options,
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
        // The references are not kept for longer than their voices are read.
        let speakers = match options.speakers.take() {
            Some(speakers) => Some(self.speaker_search(speakers, caller).await?),
            None => None,
        };
        let started = Instant::now();
        let in_flight = model.windows_in_flight;
        let (finds_speakers, clip) = (speakers.is_some(), options.clip);
        let bytes = move |channels: &[Vec<f32>]| {
            let finding = if finds_speakers {
                speakers::bytes_of(channels, clip)
            } else {
                0
            };
            recordings::bytes_of(channels, in_flight) + finding
        };
        let decoding = self.decode(audio, &options, caller, bytes);
        let (recordings, memory) = decoding.await?;
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
                // On other threads than the engines', which do not wait for it.
                let finding = self.find_speakers(speakers, clip, &memory, caller);
                let (mut transcript, found) = tokio::try_join!(transcribing, finding)?;
                let label = move || {
                    found.label(&mut transcript);
                    transcript
                };
                self.front_end.run(Stage::Speakers, caller, label).await?
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
}

/// The result of `work`, which ends at the deadline.
async fn until<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, TranscribeError>>,
) -> Result<T, TranscribeError> {
    let ended = tokio::time::timeout_at(deadline.into(), work).await;
    ended.unwrap_or(Err(TranscribeError::DeadlinePassed))
}
