//! The two parts of a job: what the engine reads, and what is needed for its one answer.

use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::{CertainText, Job, JobError, JobOutput, Reply};
use crate::telemetry::{Metrics, traces};
use halkspeech_whisper::PromptSpec;
use halkspeech_whisper::engine::{
    Attempt, DecodingOptions, EngineInput, GenerateOptions, RandomSeed,
};
use halkspeech_whisper::features::Features;
use halkspeech_whisper::search::ScoredToken;

/// The part of a job that the engine reads.
#[derive(Debug)]
pub struct JobInput {
    /// How its text is searched.
    pub options: GenerateOptions,
    /// Log-mel features of the window's own length.
    pub features: Features,
    padded_frames: usize,
    prompt: PromptSpec,
    decoding: Arc<DecodingOptions>,
    previous_attempt: Option<Attempt>,
    random_seed: Option<RandomSeed>,
    certain: Option<CertainText>,
    /// What `certain` holds.
    sent: Vec<ScoredToken>,
}

/// The part of a job that is needed for its answer.
#[derive(Debug)]
pub struct PendingReply {
    /// The channel for the one reply.
    pub reply: Reply,
    /// When the job entered the queue.
    pub queued_at: Instant,
    span: Span,
    /// The span of the time in the queue, then that of the time in the engine; it ends with the answer.
    stage: Span,
}

impl Job {
    /// Takes the job apart.
    #[must_use]
    pub fn into_parts(self) -> (JobInput, PendingReply) {
        let certain = self.certain.as_ref();
        let input = JobInput {
            options: self.key.options,
            features: self.features,
            padded_frames: self.length,
            prompt: self.prompt,
            decoding: self.decoding,
            previous_attempt: self.previous_attempt,
            random_seed: self.random_seed,
            // Not empty if an attempt with a shorter encoding has written it.
            sent: certain.map(CertainText::tokens).unwrap_or_default(),
            certain: self.certain,
        };
        let pending = PendingReply {
            reply: self.reply,
            queued_at: self.queued_at,
            span: self.span,
            stage: self.queue_span,
        };
        (input, pending)
    }
}

impl JobInput {
    /// The window for the engine.
    #[must_use]
    pub fn engine_input(&self) -> EngineInput<'_> {
        EngineInput {
            features: &self.features,
            padded_frames: self.padded_frames,
            prompt: &self.prompt,
            decoding: &self.decoding,
            previous_attempt: self.previous_attempt.as_ref(),
            random_seed: self.random_seed,
            sent: self.certain.as_ref().map(|_| self.sent.as_slice()),
        }
    }

    /// Whether its text is reported while it is written.
    pub fn reports_text(&self) -> bool {
        self.certain.is_some()
    }

    /// Reports the begin of its text that is certain. The window begins with it if it is written again.
    pub fn report(&mut self, tokens: &[ScoredToken]) {
        if let Some(certain) = &self.certain
            && tokens.len() > self.sent.len()
        {
            certain.publish(tokens);
            self.sent = tokens.to_vec();
        }
    }
}

impl PendingReply {
    /// The job leaves the queue and begins in an engine together with `windows - 1` others.
    pub fn begin(&mut self, windows: usize) {
        // The span of the queue ends first.
        self.stage = Span::none();
        self.stage = traces::inference(&self.span, windows);
    }

    /// Answers a job whose caller has left or whose deadline has passed.
    pub fn skip(self) {
        drop(self.stage);
        let _receiver_gone = self.reply.send(Err(JobError::Expired));
    }

    /// Sends the one answer.
    pub fn answer(self, answer: Result<JobOutput, JobError>, metrics: &Metrics) {
        match &answer {
            Ok(answer) => tracing::debug!(
                parent: &self.span,
                batch.size = answer.batch_size,
                queue_ms = answer.queue_time.as_millis() as u64,
                inference_ms = answer.inference_time.as_millis() as u64,
                temperature = answer.generation.temperature,
                "window left the engine"
            ),
            Err(_) => {
                metrics.jobs_failed.inc();
            }
        }
        // Ends before the caller continues and ends the request's span.
        drop(self.stage);
        let _receiver_gone = self.reply.send(answer);
    }
}
