//! A batch in an engine: runs its windows and gives each of them one answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::batch_split::generate_each;
use super::panic_message;
use crate::batch::Batch;
use crate::job::{Job, JobError, JobInput, JobOutput, PendingReply};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::{BatchKey, Engine, EngineError, EngineInput, Generation};

/// The engine panicked; the unanswered windows may be retried on another engine.
pub struct EnginePanic(String);

/// A batch that is being run. Windows without an answer when it is dropped get
/// [`JobError::EngineGone`].
pub struct BatchRun<'m> {
    /// None of a batch without jobs.
    key: Option<BatchKey>,
    inputs: Vec<JobInput>,
    pending: Vec<Option<PendingReply>>,
    started: Instant,
    /// Whether any window has got its text.
    pub has_answered: bool,
    metrics: &'m Metrics,
}

impl<'m> BatchRun<'m> {
    /// No window is answered yet.
    pub fn new(batch: Batch, metrics: &'m Metrics) -> Self {
        let batch_size = batch.jobs.len();
        // All of them have the same.
        let key = batch.jobs.first().map(|job| job.key.clone());
        let begin = |job: Job| {
            let (input, mut reply) = job.into_parts();
            reply.begin(batch_size);
            (input, reply)
        };
        let windows = batch.jobs.into_iter().map(begin);
        let (inputs, pending) = windows.map(|(input, reply)| (input, Some(reply))).unzip();
        Self {
            key,
            inputs,
            pending,
            started: Instant::now(),
            has_answered: false,
            metrics,
        }
    }

    /// Runs all windows as one batch.
    pub fn run_together(&mut self, engine: &mut dyn Engine) -> Result<(), EnginePanic> {
        let all: Vec<usize> = (0..self.inputs.len()).collect();
        self.run(engine, &all)
    }

    /// Retries the unanswered windows once, one by one, so that a window on which the engine panics
    /// again affects no other.
    pub fn run_one_by_one(&mut self, engine: &mut dyn Engine) -> Result<(), EnginePanic> {
        for index in 0..self.pending.len() {
            let Some(pending) = &self.pending[index] else {
                continue;
            };
            if pending.reply.is_closed() {
                self.pending[index] = None;
                continue;
            }
            if let Err(EnginePanic(message)) = self.run(engine, &[index]) {
                if let Some(pending) = self.pending[index].take() {
                    pending.answer(Err(JobError::Panicked(message.clone())), self.metrics);
                }
                return Err(EnginePanic(message));
            }
        }
        Ok(())
    }

    /// Runs the windows with these indices, and answers each unless the engine panics.
    fn run(&mut self, engine: &mut dyn Engine, indices: &[usize]) -> Result<(), EnginePanic> {
        let inputs: Vec<EngineInput<'_>> = indices
            .iter()
            .map(|&index| self.inputs[index].engine_input())
            .collect();
        let (started, batch_size) = (Instant::now(), indices.len());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut answer = |position: usize, result: Result<Generation, EngineError>| {
                if let Some(pending) = self.pending[indices[position]].take() {
                    self.has_answered |= result.is_ok();
                    let result = result.map(|generation| JobOutput {
                        generation,
                        queue_time: self.started.saturating_duration_since(pending.queued_at),
                        inference_time: self.started.elapsed(),
                        batch_size,
                    });
                    let result = result.map_err(|error| JobError::Failed(error.to_string()));
                    pending.answer(result, self.metrics);
                }
            };
            if let Some(key) = &self.key {
                generate_each(engine, key, &inputs, &mut answer);
            }
        }));
        self.metrics
            .inference_seconds
            .observe(started.elapsed().as_secs_f64());
        outcome.map_err(|panic| {
            let message = panic_message(panic.as_ref());
            tracing::error!(batch.size = batch_size, panic = message, "engine panicked");
            EnginePanic(message)
        })
    }
}

impl Drop for BatchRun<'_> {
    fn drop(&mut self) {
        for pending in self.pending.drain(..).flatten() {
            pending.answer(Err(JobError::EngineGone), self.metrics);
        }
    }
}
