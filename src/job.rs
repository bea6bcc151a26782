//! One window waiting for generation.

mod certain_text;
mod parts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use crate::caller::Caller;
use crate::schedule::{Lane, RequestId};
pub use certain_text::CertainText;
use halkspeech_whisper::PromptSpec;
use halkspeech_whisper::engine::{Attempt, BatchKey, DecodingOptions, Generation, RandomSeed};
use halkspeech_whisper::features::Features;

pub use parts::{JobInput, PendingReply};

/// Length of a frame of features.
const FRAME: Duration = Duration::from_millis(10);

/// A window waiting for an engine, with everything needed to generate it and to reply.
#[derive(Debug)]
pub struct Job {
    /// The request that the window belongs to.
    pub request: RequestId,
    /// Whether it is the first window of its request; later windows of a long recording have a lower
    /// priority in batches (`batch/policy.rs`).
    pub is_first: bool,
    /// The caller of the request; callers take turns.
    pub caller: Caller,
    /// Its urgency.
    pub lane: Lane,
    /// Log-mel features of the window's own length.
    pub features: Features,
    /// Length that the window is padded to, in frames.
    pub length: usize,
    /// The prompt before the generated text.
    pub prompt: PromptSpec,
    /// Language candidates, fallback rules and whether words are aligned.
    pub decoding: Arc<DecodingOptions>,
    /// The doubtful attempt with less padding, if there was one.
    pub previous_attempt: Option<Attempt>,
    /// The seed of its random numbers; none: a hash of its audio.
    pub random_seed: Option<RandomSeed>,
    /// Receives its text while it is written; none: it is needed when it is final.
    pub certain: Option<CertainText>,
    /// Jobs share a batch only if their keys are equal.
    pub key: BatchKey,
    /// After this time the result is no longer needed.
    pub deadline: Instant,
    /// When the job entered the queue.
    pub queued_at: Instant,
    /// The channel for the one reply.
    pub reply: Reply,
    /// The request's trace span.
    pub span: Span,
    /// The trace span of the time in the queue; it ends when it is dropped.
    pub queue_span: Span,
}

/// The sending half of a job's one reply.
pub type Reply = oneshot::Sender<Result<JobOutput, JobError>>;

/// The engine's output for a job, with timings.
#[derive(Clone, Debug)]
pub struct JobOutput {
    /// The generated tokens.
    pub generation: Generation,
    /// Time from entering the queue to entering a batch.
    pub queue_time: Duration,
    /// Time the window spent in the engine.
    pub inference_time: Duration,
    /// Number of windows in the batch.
    pub batch_size: usize,
}

/// Why a job has no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The deadline passed while the job waited.
    #[error("deadline passed while waiting for an engine")]
    Expired,
    /// The engine rejected this job or failed on it.
    #[error("engine failed: {0}")]
    Failed(String),
    /// The engine panicked while this job's batch ran.
    #[error("engine panicked: {0}")]
    Panicked(String),
    /// No engine is left, or the model is being unloaded.
    #[error("no engine is running for this model")]
    EngineGone,
}

/// Why a job is skipped instead of given to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The caller has left.
    Cancelled,
    /// The deadline passed.
    Expired,
}

impl Job {
    /// Length of its audio.
    #[must_use]
    pub fn audio(&self) -> Duration {
        let frames = u32::try_from(self.features.frames).unwrap_or(u32::MAX);
        FRAME.saturating_mul(frames)
    }

    /// Why the job should be skipped; none if its result is still needed.
    #[must_use]
    pub fn skip_reason(&self, now: Instant) -> Option<SkipReason> {
        if self.reply.is_closed() {
            Some(SkipReason::Cancelled)
        } else if now >= self.deadline {
            Some(SkipReason::Expired)
        } else {
            None
        }
    }

    /// Sends the job's one reply; it is not an error if the caller has left.
    pub fn answer(self, result: Result<JobOutput, JobError>) {
        let _closed = self.reply.send(result);
    }
}

/// Jobs for the tests of the batcher and of the engine's worker.
#[cfg(test)]
pub mod test_jobs {
    use super::*;
    use halkspeech_whisper::Task;

    /// A window of length zero, and the receiver of its reply.
    pub fn job(
        request: u64,
        key: BatchKey,
        now: Instant,
        timeout: Duration,
    ) -> (Job, oneshot::Receiver<Result<JobOutput, JobError>>) {
        let (reply, receiver) = oneshot::channel();
        let job = Job {
            request: RequestId(request),
            is_first: true,
            caller: Caller::LOCAL,
            lane: Lane::Interactive,
            features: Features {
                n_mels: 80,
                frames: 0,
                values: Vec::new(),
            },
            length: 0,
            prompt: PromptSpec {
                language: None,
                task: Task::Transcribe,
                timestamps: false,
                previous: Vec::new(),
            },
            decoding: Arc::default(),
            previous_attempt: None,
            random_seed: None,
            certain: None,
            key,
            deadline: now + timeout,
            queued_at: now,
            reply,
            span: Span::none(),
            queue_span: Span::none(),
        };
        (job, receiver)
    }
}
