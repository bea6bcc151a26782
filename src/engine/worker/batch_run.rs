//! A batch in an engine's hands: what is run of it, and the one answer of each window.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::panic_message;
use crate::batch::{Batch, BatchKey};
use crate::engine::split::generate_each;
use crate::engine::{Attempt, DecodingOptions, Engine, EngineError, EngineInput, Generation};
use crate::features::Features;
use crate::job::{Answer, Job, JobError, Reply};
use crate::telemetry::{Metrics, traces};
use crate::tokens::PromptSpec;

/// The engine panicked; what this left without an answer may be tried on another.
pub struct Panicked(String);

/// A batch that is being worked on. Whoever has no answer when it is dropped hears that the engine
/// is gone.
pub struct Work<'m> {
    key: BatchKey,
    asked: Vec<Asked>,
    open: Vec<Option<Open>>,
    started: Instant,
    /// Whether a window got its text.
    pub has_answered: bool,
    metrics: &'m Metrics,
}

impl<'m> Work<'m> {
    /// Begins with nothing answered.
    pub fn of(batch: Batch, metrics: &'m Metrics) -> Self {
        let batch_size = batch.jobs.len();
        let part = |job| Asked::part(job, batch_size);
        let (asked, open) = batch.jobs.into_iter().map(part).unzip();
        Self {
            key: batch.key,
            asked,
            open,
            started: Instant::now(),
            has_answered: false,
            metrics,
        }
    }

    /// Runs all of it as one batch.
    pub fn run_together(&mut self, engine: &mut dyn Engine) -> Result<(), Panicked> {
        let all: Vec<usize> = (0..self.asked.len()).collect();
        self.run(engine, &all)
    }

    /// Gives what has no answer yet its second try, where a window that breaks the engine again
    /// harms no other.
    pub fn run_each_alone(&mut self, engine: &mut dyn Engine) -> Result<(), Panicked> {
        for index in 0..self.open.len() {
            let Some(open) = &self.open[index] else {
                continue;
            };
            if open.reply.is_closed() {
                self.open[index] = None;
                continue;
            }
            if let Err(Panicked(message)) = self.run(engine, &[index]) {
                if let Some(open) = self.open[index].take() {
                    open.answer(Err(JobError::Panicked(message.clone())), self.metrics);
                }
                return Err(Panicked(message));
            }
        }
        Ok(())
    }

    /// Runs the windows with these indices, and answers each unless the engine panics.
    fn run(&mut self, engine: &mut dyn Engine, indices: &[usize]) -> Result<(), Panicked> {
        let inputs: Vec<EngineInput<'_>> = indices
            .iter()
            .map(|&index| self.asked[index].input())
            .collect();
        let (started, batch_size) = (Instant::now(), indices.len());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut answer = |position: usize, result: Result<Generation, EngineError>| {
                if let Some(open) = self.open[indices[position]].take() {
                    self.has_answered |= result.is_ok();
                    let result = result.map(|generation| Answer {
                        generation,
                        queue_time: self.started.saturating_duration_since(open.queued_at),
                        inference_time: self.started.elapsed(),
                        batch_size,
                    });
                    let result = result.map_err(|error| JobError::Failed(error.to_string()));
                    open.answer(result, self.metrics);
                }
            };
            generate_each(engine, &self.key, &inputs, &mut answer);
        }));
        self.metrics
            .inference_seconds
            .observe(started.elapsed().as_secs_f64());
        outcome.map_err(|panic| {
            let message = panic_message(panic.as_ref());
            tracing::error!(batch.size = batch_size, panic = message, "engine panicked");
            Panicked(message)
        })
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        for open in self.open.drain(..).flatten() {
            open.answer(Err(JobError::EngineGone), self.metrics);
        }
    }
}

/// What the engine reads of a job.
struct Asked {
    features: Features,
    length: usize,
    prompt: PromptSpec,
    decoding: Arc<DecodingOptions>,
    before: Option<Attempt>,
}

/// What is left of a job until it is answered.
struct Open {
    reply: Reply,
    span: Span,
    /// The span of the time in the engine; it ends with the answer.
    inference: Span,
    queued_at: Instant,
}

impl Asked {
    fn part(job: Job, batch_size: usize) -> (Self, Option<Open>) {
        let asked = Self {
            features: job.features,
            length: job.length,
            prompt: job.prompt,
            decoding: job.decoding,
            before: job.before,
        };
        let open = Open {
            reply: job.reply,
            inference: traces::inference(&job.span, batch_size),
            span: job.span,
            queued_at: job.queued_at,
        };
        (asked, Some(open))
    }

    fn input(&self) -> EngineInput<'_> {
        EngineInput {
            features: &self.features,
            length: self.length,
            prompt: &self.prompt,
            decoding: &self.decoding,
            before: self.before.as_ref(),
        }
    }
}

impl Open {
    fn answer(self, answer: Result<Answer, JobError>, metrics: &Metrics) {
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
        // Before the caller goes on, and ends the request's span.
        drop(self.inference);
        let _gone = self.reply.send(answer);
    }
}
