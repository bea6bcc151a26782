//! One window waiting for generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Span;

use crate::batch::BatchKey;
use crate::engine::{Attempt, DecodingOptions, Generation};
use crate::features::Features;
use crate::tokens::PromptSpec;

/// Names the request a job belongs to, so that requests take turns in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A window on its way to an engine, with everything needed to answer it.
#[derive(Debug)]
pub struct Job {
    /// The request whose window this is.
    pub request: RequestId,
    /// Whether it is the first window of its request; the further ones of a long recording let
    /// those of others go first (`batch/policy.rs`).
    pub is_first: bool,
    /// Log-mel features of the window's own length.
    pub features: Features,
    /// What the window is padded to, in frames.
    pub length: usize,
    /// What precedes the generated text.
    pub prompt: PromptSpec,
    /// What is to be found out about the window.
    pub decoding: Arc<DecodingOptions>,
    /// What came of the window when it was padded to less, and looked wrong.
    pub before: Option<Attempt>,
    /// What a batch mate must have in common with this job.
    pub key: BatchKey,
    /// After this moment nobody wants the answer any more.
    pub deadline: Instant,
    /// When the job entered the queue.
    pub queued_at: Instant,
    /// Where the one answer goes.
    pub reply: Reply,
    /// The request's trace span.
    pub span: Span,
    /// The span of the wait for a batch; it ends when it is dropped.
    pub waiting: Span,
}

/// The sending half of a job's one answer.
pub type Reply = oneshot::Sender<Result<Answer, JobError>>;

/// What the engine made of a job, with the times it took.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The engine's answer.
    pub generation: Generation,
    /// From entering the queue to entering a batch.
    pub queue_time: Duration,
    /// Time the window spent in the engine.
    pub inference_time: Duration,
    /// Number of windows in that batch.
    pub batch_size: usize,
}

/// Why a job has no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The deadline passed while the job waited.
    #[error("deadline passed while waiting for an engine")]
    Expired,
    /// The engine refused or failed this very job.
    #[error("engine failed: {0}")]
    Failed(String),
    /// The engine panicked while this job's batch ran.
    #[error("engine panicked: {0}")]
    Panicked(String),
    /// No engine is left, or the model is being unloaded.
    #[error("no engine is running for this model")]
    EngineGone,
}

/// Why a job left the queue without reaching an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Nobody waits for the answer any more.
    Cancelled,
    /// The deadline passed.
    Expired,
}

impl Job {
    /// Says whether the job is still worth an engine's time.
    #[must_use]
    pub fn dropped(&self, now: Instant) -> Option<Dropped> {
        if self.reply.is_closed() {
            Some(Dropped::Cancelled)
        } else if now >= self.deadline {
            Some(Dropped::Expired)
        } else {
            None
        }
    }

    /// Gives the job its one answer; a caller who has left is no error.
    pub fn answer(self, answer: Result<Answer, JobError>) {
        let _gone = self.reply.send(answer);
    }
}

/// Jobs for tests of what hands them on.
#[cfg(test)]
pub mod test_jobs {
    use super::*;
    use crate::tokens::Task;

    /// A window of no length, and where its answer will come.
    pub fn job(
        request: u64,
        key: BatchKey,
        now: Instant,
        lasts: Duration,
    ) -> (Job, oneshot::Receiver<Result<Answer, JobError>>) {
        let (reply, answers) = oneshot::channel();
        let job = Job {
            request: RequestId(request),
            is_first: true,
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
            before: None,
            key,
            deadline: now + lasts,
            queued_at: now,
            reply,
            span: Span::none(),
            waiting: Span::none(),
        };
        (job, answers)
    }
}
