//! A window of a scheduled queue, from its arrival to its answer.

use std::time::Instant;

use crate::job::{Job, JobError, JobInput, PendingReply};
use crate::schedule::{Outcome, WindowId};
use crate::telemetry::Metrics;

/// A window that waits for a runner or is in one.
#[derive(Debug)]
pub struct RunnerWindow {
    /// Its identity in the scheduler.
    pub id: WindowId,
    /// What the engine reads.
    pub input: JobInput,
    /// What is needed for its one answer.
    pub reply: PendingReply,
    /// What has become of it in engines.
    pub attempts: Attempts,
}

/// What has become of a window in engines.
#[derive(Debug, Default)]
pub struct Attempts {
    /// When it left the queue.
    pub began: Option<Instant>,
    /// The most windows that were open together with it, itself included.
    pub windows: usize,
    /// Attempts that failed while it was alone.
    pub failed_alone: usize,
    /// The panic of an engine in which it was.
    pub panic: Option<String>,
}

impl RunnerWindow {
    /// A window that arrives in the queue.
    #[must_use]
    pub fn new(id: WindowId, job: Job, metrics: &Metrics) -> Self {
        let (input, reply) = job.into_parts();
        metrics.enter_queue(input.features.frames);
        Self {
            id,
            input,
            reply,
            attempts: Attempts::default(),
        }
    }

    /// Begins in an engine together with `windows - 1` others; the first time it leaves the queue.
    pub fn begin(&mut self, windows: usize, now: Instant, metrics: &Metrics) {
        if self.attempts.began.is_none() {
            self.leave_queue(metrics);
            metrics.observe_queue_time(now.saturating_duration_since(self.reply.queued_at));
            self.reply.begin(windows);
            self.attempts.began = Some(now);
        }
    }

    /// Fails for good.
    pub fn fail(self, error: JobError, metrics: &Metrics) {
        if self.attempts.began.is_none() {
            self.leave_queue(metrics);
        }
        self.reply.answer(Err(error), metrics);
    }

    /// Leaves without a text, because its caller has left or its deadline has passed.
    pub fn skip(self, outcome: Outcome, metrics: &Metrics) {
        if self.attempts.began.is_none() {
            self.leave_queue(metrics);
        }
        match outcome {
            Outcome::Expired => metrics.jobs_expired.inc(),
            Outcome::Cancelled | Outcome::Ended => metrics.jobs_cancelled.inc(),
        };
        self.reply.skip();
    }

    fn leave_queue(&self, metrics: &Metrics) {
        metrics.leave_queue(self.input.features.frames);
    }
}
