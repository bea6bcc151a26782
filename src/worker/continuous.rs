//! The windows in a continuous engine: they enter and leave one by one, and each of them gets one answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{MAX_FAILED_BATCHES, panic_message};
use crate::clock::now;
use crate::job::{JobError, JobOutput};
use crate::queue::{Attempts, Report, RunnerHandle, RunnerWindow, RunnerWork};
use crate::schedule::{Outcome, WindowId};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::writer::{self, WrittenText};
use halkspeech_whisper::engine::{ContinuousEngine, Engine, EngineError, Generation};

/// Maximum number of attempts of a window that runs out of memory alone.
const MAX_ALONE_ATTEMPTS: usize = 3;

/// The engine panicked or fails again and again: it has to be replaced. The windows that are left are written one by
/// one by the next.
pub struct EngineBroken;

/// The windows of one engine. Those without an answer when it is dropped get [`JobError::EngineGone`].
pub struct Windows<'m> {
    runner: RunnerHandle,
    #[expect(
        clippy::vec_box,
        reason = "windows move between queue and engine without being copied"
    )]
    open: Vec<Box<RunnerWindow>>,
    batch_size: usize,
    /// Number of open windows that the metrics know of.
    counted: usize,
    /// Calls of the engine that have failed since the last answer.
    failures: usize,
    metrics: &'m Metrics,
}

impl<'m> Windows<'m> {
    /// An engine for `batch_size` windows without one.
    pub fn new(runner: RunnerHandle, batch_size: usize, metrics: &'m Metrics) -> Self {
        Self {
            runner,
            open: Vec::new(),
            batch_size,
            counted: 0,
            failures: 0,
            metrics,
        }
    }

    /// Waits for work; none when the model is unloaded and nothing is left to write.
    pub fn next_work(&self) -> Option<RunnerWork> {
        self.runner.next()
    }

    /// Carries out work.
    ///
    /// # Errors
    /// [`EngineBroken`]: no window is lost.
    pub fn carry_out(
        &mut self,
        engine: &mut dyn Engine,
        work: RunnerWork,
    ) -> Result<(), EngineBroken> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if let Some(engine) = engine.continuous() {
                match work {
                    RunnerWork::Begin(window) => self.begin(engine, window),
                    RunnerWork::Step(ids) => self.step(engine, &ids),
                    RunnerWork::Align(id) => self.align(engine, id),
                    RunnerWork::Close(ids) => self.close(engine, &ids),
                }
            }
        }));
        let result = match outcome {
            Ok(()) if self.failures < MAX_FAILED_BATCHES => Ok(()),
            Ok(()) => {
                self.failures = 0;
                let windows = std::mem::take(&mut self.open);
                self.report(|report| {
                    for window in windows {
                        report.retry_alone(window);
                    }
                });
                Err(EngineBroken)
            }
            Err(panic) => {
                self.panicked(&panic_message(panic.as_ref()));
                Err(EngineBroken)
            }
        };
        self.count_open();
        result
    }

    /// Answers all windows, because there is no engine any more. No further ones are taken until
    /// [`resume`](Self::resume).
    pub fn suspend(&mut self) {
        let windows = std::mem::take(&mut self.open);
        self.report(|report| {
            for window in &windows {
                report.end(window.id);
            }
        });
        for window in windows {
            window.fail(JobError::EngineGone, self.metrics);
        }
        self.count_open();
        self.runner.suspend();
    }

    /// Takes windows again; `false` if none are to be written any more.
    pub fn resume(&mut self) -> bool {
        self.runner.resume()
    }

    /// Whether no further windows will come.
    pub fn is_closed(&self) -> bool {
        self.runner.is_closed()
    }

    fn begin(&mut self, engine: &mut dyn ContinuousEngine, mut window: Box<RunnerWindow>) {
        let id = window.id;
        let windows = self.open.len() + 1;
        window.begin(windows, now(), self.metrics);
        // From here on a panic of the engine concerns it.
        self.open.push(window);
        for window in &mut self.open {
            window.attempts.windows = window.attempts.windows.max(windows);
        }
        let Some(window) = self.open.last() else {
            return;
        };
        self.metrics.encoder_calls.inc();
        let input = window.input.engine_input();
        match engine.open(engine_id(id), &window.input.options, &input) {
            Ok(()) => self.report_done(),
            Err(error) => {
                let failed = self.open.pop();
                self.failed(failed.into_iter().collect(), &error);
            }
        }
    }

    fn step(&mut self, engine: &mut dyn ContinuousEngine, ids: &[WindowId]) {
        let ids: Vec<writer::WindowId> = ids.iter().copied().map(engine_id).collect();
        self.metrics.decoder_steps.inc();
        self.metrics.decoder_rows.inc_by(engine.rows(&ids) as u64);
        match engine.step(&ids) {
            Ok(written) => {
                self.report(|report| {
                    report.done();
                    for (id, text) in &written {
                        match text {
                            WrittenText::Final(_) => report.end(WindowId(id.0)),
                            WrittenText::ToAlign => report.align(WindowId(id.0)),
                        }
                    }
                });
                for (id, text) in written {
                    if let WrittenText::Final(generation) = text {
                        self.answer(WindowId(id.0), generation);
                    }
                }
                self.report_certain(engine);
            }
            Err(error) => self.all_failed(&error),
        }
    }

    fn align(&mut self, engine: &mut dyn ContinuousEngine, id: WindowId) {
        match engine.align(engine_id(id)) {
            Ok(generation) => {
                self.report(|report| {
                    report.done();
                    report.end(id);
                });
                self.answer(id, generation);
            }
            Err(error) => self.all_failed(&error),
        }
    }

    fn close(&mut self, engine: &mut dyn ContinuousEngine, ids: &[WindowId]) {
        for id in ids {
            engine.close(engine_id(*id));
        }
        self.report_done();
    }

    /// Reports to the scheduler, and lets the windows go whose slots it has taken back.
    fn report(&mut self, report: impl FnOnce(&mut Report<'_>)) {
        let mut ongoing = self.runner.report();
        report(&mut ongoing);
        let left = ongoing.finish();
        for departure in left {
            if departure.outcome != Outcome::Ended
                && let Some(window) = self.remove(departure.window.id)
            {
                window.skip(departure.outcome, self.metrics);
            }
        }
    }

    /// Reports that the work is done.
    fn report_done(&mut self) {
        self.report(|report| {
            report.done();
        });
    }

    /// Reports what has become certain of the texts that are sent while they are written.
    fn report_certain(&mut self, engine: &dyn ContinuousEngine) {
        let windows = self.open.iter_mut();
        for window in windows.filter(|window| window.input.reports_text()) {
            if let Some(tokens) = engine.certain(engine_id(window.id)) {
                window.input.report(tokens);
            }
        }
    }

    fn remove(&mut self, id: WindowId) -> Option<Box<RunnerWindow>> {
        let index = self.open.iter().position(|window| window.id == id)?;
        Some(self.open.swap_remove(index))
    }

    fn answer(&mut self, id: WindowId, generation: Generation) {
        let Some(window) = self.remove(id) else {
            return;
        };
        self.count_open();
        self.failures = 0;
        let RunnerWindow {
            reply, attempts, ..
        } = *window;
        let now = now();
        let began = attempts.began.unwrap_or(now);
        let output = JobOutput {
            generation,
            queue_time: began.saturating_duration_since(reply.queued_at),
            inference_time: now.saturating_duration_since(began),
            batch_size: attempts.windows,
        };
        self.metrics
            .inference_seconds
            .observe(output.inference_time.as_secs_f64());
        self.metrics
            .observe_batch(attempts.windows, self.batch_size);
        let tokens = output.generation.tokens.len();
        self.metrics.generated_tokens.inc_by(tokens as u64);
        reply.answer(Ok(output), self.metrics);
    }

    /// A call has failed, and all slots are closed.
    fn all_failed(&mut self, error: &EngineError) {
        let windows = std::mem::take(&mut self.open);
        self.failed(windows, error);
    }

    /// Windows that a call of the engine has failed with: several of them are written again alone, one that was alone is
    /// answered, unless the device has run out of memory.
    #[expect(
        clippy::vec_box,
        reason = "windows move between queue and engine without being copied"
    )]
    fn failed(&mut self, mut windows: Vec<Box<RunnerWindow>>, error: &EngineError) {
        self.failures += 1;
        let is_out_of_memory = matches!(error, EngineError::OutOfMemory(_));
        tracing::warn!(windows = windows.len(), %error, "the engine failed");
        let were_alone = windows.len() == 1 && self.open.is_empty();
        for window in &mut windows {
            window.attempts.failed_alone += usize::from(were_alone);
        }
        let is_final = |attempts: &Attempts| {
            were_alone && (!is_out_of_memory || attempts.failed_alone >= MAX_ALONE_ATTEMPTS)
        };
        let windows = windows.into_iter();
        let (failed, retried): (Vec<_>, Vec<_>) =
            windows.partition(|window| is_final(&window.attempts));
        self.report(|report| {
            if is_out_of_memory {
                report.reduce_memory();
            }
            report.failed();
            failed.iter().for_each(|window| report.end(window.id));
            retried
                .into_iter()
                .for_each(|window| report.retry_alone(window));
        });
        for window in failed {
            window.fail(JobError::Failed(error.to_string()), self.metrics);
        }
    }

    /// Windows in an engine that has panicked are written alone by the next one, once.
    fn panicked(&mut self, message: &str) {
        tracing::error!(
            windows = self.open.len(),
            panic = message,
            "engine panicked"
        );
        let mut windows = std::mem::take(&mut self.open);
        let has_panicked_before = |attempts: &mut Attempts| {
            let before = attempts.panic.replace(message.to_owned());
            before.is_some()
        };
        let failed: Vec<_> = windows
            .extract_if(.., |window| has_panicked_before(&mut window.attempts))
            .collect();
        self.report(|report| {
            report.failed();
            failed.iter().for_each(|window| report.end(window.id));
            windows
                .into_iter()
                .for_each(|window| report.retry_alone(window));
        });
        for window in failed {
            window.fail(JobError::Panicked(message.to_owned()), self.metrics);
        }
    }

    fn count_open(&mut self) {
        let open = self.open.len();
        let change = open as i64 - self.counted as i64;
        self.metrics.open_windows.inc_by(change);
        self.counted = open;
    }
}

impl Drop for Windows<'_> {
    fn drop(&mut self) {
        self.suspend();
    }
}

/// The engine's name of a window.
fn engine_id(id: WindowId) -> writer::WindowId {
    writer::WindowId(id.0)
}

#[cfg(test)]
mod tests;
