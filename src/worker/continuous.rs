//! The windows in a continuous engine: they enter and leave one by one, and each of them gets one answer.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::window::{JobInput, PendingReply, split};
use super::{MAX_FAILED_BATCHES, panic_message};
use crate::batch::{Batch, EngineSlot, HYPOTHESES_PER_WINDOW};
use crate::job::{Job, JobError, JobOutput};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::writer::WindowId;
use halkspeech_whisper::engine::{ContinuousEngine, Engine, EngineError, Generation};

/// Maximum number of attempts of a window that runs out of memory alone.
const MAX_ALONE_ATTEMPTS: usize = 3;

/// The engine panicked or fails again and again: it has to be replaced. The windows that are left are written one by
/// one by the next.
pub struct EngineBroken;

/// What the next turn of the engine begins with.
pub enum Turn {
    /// Another window.
    Enter(Box<Job>),
    /// Nothing new.
    Continue,
}

/// The windows of one engine. Those without an answer when it is dropped get [`JobError::EngineGone`].
pub struct Windows<'m> {
    open: Vec<OpenWindow>,
    /// Windows that are written alone, one after the other, since one of those they were with may have caused an error.
    alone: VecDeque<OpenWindow>,
    /// A place that was offered while other windows are written.
    offered: Option<oneshot::Receiver<Batch>>,
    next_id: u64,
    /// Maximum number of windows; lower after the device has run out of memory.
    places: usize,
    batch_size: usize,
    /// Number of open windows, for the batcher.
    load: Arc<AtomicUsize>,
    /// Calls of the engine that have failed since the last answer.
    failures: usize,
    metrics: &'m Metrics,
}

struct OpenWindow {
    id: WindowId,
    input: JobInput,
    reply: PendingReply,
    entered: Instant,
    /// The most windows that were open together with it, itself included.
    windows: usize,
    /// Attempts that failed while it was alone.
    failed_alone: usize,
    /// The panic of an engine in which it was.
    panic: Option<String>,
}

impl<'m> Windows<'m> {
    /// An engine for `batch_size` windows without one.
    pub fn new(batch_size: usize, metrics: &'m Metrics) -> Self {
        Self {
            open: Vec::new(),
            alone: VecDeque::new(),
            offered: None,
            next_id: 0,
            places: batch_size,
            batch_size,
            load: Arc::default(),
            failures: 0,
            metrics,
        }
    }

    /// Offers a place, and waits for a window if none is left to write; none when the model is unloaded.
    pub fn next_turn(&mut self, slots: &mpsc::Sender<EngineSlot>) -> Option<Turn> {
        let is_idle = self.open.is_empty() && self.alone.is_empty();
        if self.offered.is_none() && (is_idle || self.has_place()) {
            let (slot, batch) = EngineSlot::of_window(&self.load);
            if is_idle {
                slots.blocking_send(slot).ok()?;
                self.offered = Some(batch);
            } else if slots.try_send(slot).is_ok() {
                self.offered = Some(batch);
            }
        }
        let Some(mut batch) = self.offered.take() else {
            return Some(Turn::Continue);
        };
        let batch = if is_idle {
            batch.blocking_recv().ok()?
        } else {
            match batch.try_recv() {
                Ok(batch) => batch,
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.offered = Some(batch);
                    return Some(Turn::Continue);
                }
                // The model is being unloaded: the windows are written to their end.
                Err(oneshot::error::TryRecvError::Closed) => return Some(Turn::Continue),
            }
        };
        // A slot is for one window.
        let job = batch.jobs.into_iter().next();
        Some(job.map_or(Turn::Continue, |job| Turn::Enter(Box::new(job))))
    }

    /// Lets a window enter, and makes one step for all.
    ///
    /// # Errors
    /// [`EngineBroken`]: no window is lost.
    pub fn advance(&mut self, engine: &mut dyn Engine, turn: Turn) -> Result<(), EngineBroken> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if let Some(engine) = engine.continuous() {
                self.drop_skipped(engine);
                self.enter(engine, turn);
                self.step(engine);
            }
        }));
        let result = match outcome {
            Ok(()) if self.failures < MAX_FAILED_BATCHES => Ok(()),
            Ok(()) => {
                self.failures = 0;
                let open = std::mem::take(&mut self.open);
                self.alone.extend(open);
                Err(EngineBroken)
            }
            Err(panic) => {
                self.panicked(&panic_message(panic.as_ref()));
                Err(EngineBroken)
            }
        };
        self.publish_load();
        result
    }

    /// Answers all windows: there is no engine any more.
    pub fn fail_all(&mut self) {
        self.offered = None;
        let windows = self.open.drain(..).chain(self.alone.drain(..));
        for window in windows {
            window.reply.answer(Err(JobError::EngineGone), self.metrics);
        }
        self.publish_load();
    }

    fn publish_load(&self) {
        let open = self.open.len();
        let before = self.load.swap(open, Ordering::Relaxed);
        self.metrics
            .open_windows
            .inc_by(open as i64 - before as i64);
    }

    fn has_place(&self) -> bool {
        let hypotheses = |window: &OpenWindow| window.input.options.max_hypotheses();
        let hypotheses: usize = self.open.iter().map(hypotheses).sum();
        self.alone.is_empty()
            && self.open.len() < self.places
            && hypotheses < self.batch_size.saturating_mul(HYPOTHESES_PER_WINDOW)
    }

    /// Closes windows whose caller has left or whose deadline has passed.
    fn drop_skipped(&mut self, engine: &mut dyn ContinuousEngine) {
        let now = Instant::now();
        let is_needed =
            |window: &OpenWindow| !window.reply.reply.is_closed() && now < window.reply.deadline;
        if self.open.iter().chain(&self.alone).all(is_needed) {
            return;
        }
        let open = std::mem::take(&mut self.open).into_iter();
        let (kept, skipped): (Vec<_>, Vec<_>) = open.partition(is_needed);
        self.open = kept;
        for window in &skipped {
            engine.close(window.id);
        }
        let alone = std::mem::take(&mut self.alone).into_iter();
        let (kept, skipped_alone): (Vec<_>, Vec<_>) = alone.partition(is_needed);
        self.alone = kept.into();
        for window in skipped.into_iter().chain(skipped_alone) {
            let counter = if window.reply.reply.is_closed() {
                &self.metrics.jobs_cancelled
            } else {
                &self.metrics.jobs_expired
            };
            counter.inc();
            window.reply.skip();
        }
    }

    fn enter(&mut self, engine: &mut dyn ContinuousEngine, turn: Turn) {
        if let Turn::Enter(job) = turn {
            let (input, reply) = split(*job, self.open.len() + 1);
            let window = OpenWindow {
                id: WindowId(self.next_id),
                input,
                reply,
                entered: Instant::now(),
                windows: 1,
                failed_alone: 0,
                panic: None,
            };
            self.next_id += 1;
            if self.alone.is_empty() {
                self.open_window(engine, window);
                return;
            }
            self.alone.push_back(window);
        }
        if self.open.is_empty()
            && let Some(window) = self.alone.pop_front()
        {
            self.open_window(engine, window);
        }
    }

    fn open_window(&mut self, engine: &mut dyn ContinuousEngine, window: OpenWindow) {
        let id = window.id;
        // From here on a panic of the engine concerns it.
        self.open.push(window);
        let windows = self.open.len();
        for window in &mut self.open {
            window.windows = window.windows.max(windows);
        }
        let Some(window) = self.open.last() else {
            return;
        };
        self.metrics.encoder_calls.inc();
        let result = engine.open(id, &window.input.options, &window.input.engine_input());
        if let Err(error) = result {
            let failed = self.open.pop();
            self.failed(failed.into_iter().collect(), &error);
        }
    }

    fn step(&mut self, engine: &mut dyn ContinuousEngine) {
        if self.open.is_empty() {
            return;
        }
        self.metrics.decoder_steps.inc();
        self.metrics.decoder_rows.inc_by(engine.rows() as u64);
        match engine.step() {
            Ok(ended) => {
                for (id, generation) in ended {
                    self.answer(id, generation);
                }
                self.report_certain(engine);
            }
            Err(error) => {
                let windows = std::mem::take(&mut self.open);
                self.failed(windows, &error);
            }
        }
    }

    /// Reports what has become certain of the texts that are sent while they are written.
    fn report_certain(&mut self, engine: &dyn ContinuousEngine) {
        let reporting = |window: &&mut OpenWindow| window.input.reports_text();
        for window in self.open.iter_mut().filter(reporting) {
            if let Some(tokens) = engine.certain(window.id) {
                window.input.report(tokens);
            }
        }
    }

    fn answer(&mut self, id: WindowId, generation: Generation) {
        let Some(index) = self.open.iter().position(|window| window.id == id) else {
            return;
        };
        self.failures = 0;
        let window = self.open.swap_remove(index);
        let output = JobOutput {
            generation,
            queue_time: window
                .entered
                .saturating_duration_since(window.reply.queued_at),
            inference_time: window.entered.elapsed(),
            batch_size: window.windows,
        };
        self.metrics
            .inference_seconds
            .observe(output.inference_time.as_secs_f64());
        self.metrics.observe_batch(window.windows, self.batch_size);
        let tokens = output.generation.tokens.len();
        self.metrics.generated_tokens.inc_by(tokens as u64);
        window.reply.answer(Ok(output), self.metrics);
    }

    /// Windows that a call of the engine has failed with: several of them are written again alone, one that was alone is
    /// answered, unless the device has run out of memory.
    fn failed(&mut self, windows: Vec<OpenWindow>, error: &EngineError) {
        self.failures += 1;
        let is_out_of_memory = matches!(error, EngineError::OutOfMemory(_));
        tracing::warn!(windows = windows.len(), %error, "the engine failed");
        if is_out_of_memory {
            self.places = (self.places.min(windows.len() + self.open.len()) / 2).max(1);
        }
        let are_alone = windows.len() == 1 && self.open.is_empty();
        for mut window in windows {
            window.failed_alone += usize::from(are_alone);
            let is_final =
                are_alone && (!is_out_of_memory || window.failed_alone >= MAX_ALONE_ATTEMPTS);
            if is_final {
                let error = JobError::Failed(error.to_string());
                window.reply.answer(Err(error), self.metrics);
            } else {
                self.alone.push_back(window);
            }
        }
    }

    /// Windows in an engine that has panicked are written alone by the next one, once.
    fn panicked(&mut self, message: &str) {
        tracing::error!(
            windows = self.open.len(),
            panic = message,
            "engine panicked"
        );
        for mut window in std::mem::take(&mut self.open) {
            if window.panic.replace(message.to_owned()).is_some() {
                let error = JobError::Panicked(message.to_owned());
                window.reply.answer(Err(error), self.metrics);
            } else {
                self.alone.push_back(window);
            }
        }
    }
}

impl Drop for Windows<'_> {
    fn drop(&mut self) {
        self.fail_all();
    }
}

#[cfg(test)]
mod tests;
