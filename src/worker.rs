//! The OS thread that owns an engine, and replaces it after a panic.

mod batch_run;
mod batch_split;
mod continuous;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::batch::{Batch, EngineSlot};
use crate::queue::{RunnerHandle, RunnerWork};
use crate::telemetry::Metrics;
use batch_run::BatchRun;
use continuous::Windows;
use halkspeech_whisper::engine::{Engine, EngineError, EngineFactory, EnginePlan};

/// Receives the result of creating an engine.
pub type LoadResult = oneshot::Receiver<Result<EngineInfo, EngineError>>;

/// Which windows an engine can run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Batches of windows with equal keys, one after the other.
    Batches,
    /// Windows of any keys, which enter and leave at any time.
    Continuous,
}

/// Where an engine gets its windows from, by its kind.
#[derive(Debug)]
pub enum WorkSource {
    /// For an engine that runs batches.
    Batches(mpsc::Sender<EngineSlot>),
    /// For a continuous engine.
    Windows(RunnerHandle),
}

/// The thread of an engine that is being created.
#[derive(Debug)]
pub struct EngineThread {
    /// The thread.
    pub thread: JoinHandle<()>,
    /// The result of creating the engine.
    pub loaded: LoadResult,
    /// Starts the engine; if it is dropped, the thread ends.
    pub start: oneshot::Sender<WorkSource>,
}

/// Properties of a loaded engine.
#[derive(Clone, Debug)]
pub struct EngineInfo {
    /// Mel bins of its features.
    pub n_mels: usize,
    /// Which windows it runs together.
    pub kind: EngineKind,
    /// How it will run batches.
    pub plan: EnginePlan,
}

/// Starts a named thread that creates an engine, then runs batches or windows until their source is closed.
///
/// An engine that panics is replaced by a new one, which retries the unanswered windows once. If none
/// can be created, the thread retries until the model is unloaded, and does not count as an engine
/// meanwhile. The caller that unloads the model must unpark the thread.
///
/// # Errors
/// The operating system's, when it has no thread left.
pub fn spawn(
    name: &str,
    factory: EngineFactory,
    metrics: Metrics,
) -> std::io::Result<EngineThread> {
    let (loaded_tx, loaded) = oneshot::channel();
    let (start, source) = oneshot::channel();
    let worker = Worker { factory, metrics };
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let mut engine = match worker.create_engine() {
                Ok(engine) => engine,
                Err(error) => {
                    let _receiver_gone = loaded_tx.send(Err(error));
                    return;
                }
            };
            let (n_mels, plan) = (engine.n_mels(), engine.plan());
            worker.observe_memory(engine.as_ref());
            let kind = match engine.continuous() {
                Some(_) => EngineKind::Continuous,
                None => EngineKind::Batches,
            };
            let _receiver_gone = loaded_tx.send(Ok(EngineInfo { n_mels, kind, plan }));
            let _ended = match (kind, source.blocking_recv()) {
                (EngineKind::Continuous, Ok(WorkSource::Windows(runner))) => {
                    worker.run_continuously(engine, runner)
                }
                (EngineKind::Batches, Ok(WorkSource::Batches(slots))) => worker.run(engine, slots),
                // Another engine could not be created, or is of another kind.
                _ => None,
            };
        })?;
    Ok(EngineThread {
        thread,
        loaded,
        start,
    })
}

/// Consecutive batches without an answer after which an engine is replaced: a GPU may enter a state in
/// which every call fails.
const MAX_FAILED_BATCHES: usize = 3;

/// Delay before another attempt to create an engine; doubled after each attempt.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(250);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// The state of the thread that outlives its engines.
struct Worker {
    factory: EngineFactory,
    metrics: Metrics,
}

impl Worker {
    /// Writes windows that come and go until the model is unloaded; then returns `None`.
    fn run_continuously(
        &self,
        engine: Box<dyn Engine>,
        runner: RunnerHandle,
    ) -> Option<Infallible> {
        let mut engine = engine;
        let mut windows = Windows::new(runner, engine.plan().windows, &self.metrics);
        loop {
            let work = windows.next_work()?;
            let is_begin = matches!(work, RunnerWork::Begin(_));
            if windows.carry_out(engine.as_mut(), work).is_ok() {
                if is_begin {
                    self.observe_memory(engine.as_ref());
                }
                continue;
            }
            match self.replace(engine) {
                Ok(new_engine) => engine = new_engine,
                Err(error) => {
                    tracing::error!(%error, "engine could not be created again");
                    windows.suspend();
                    engine = self.create_engine_later(|| !windows.is_closed())?;
                    if !windows.resume() {
                        return None;
                    }
                }
            }
        }
    }

    /// Runs batches until the slots' receiver is closed; then returns `None`.
    fn run(&self, engine: Box<dyn Engine>, slots: mpsc::Sender<EngineSlot>) -> Option<Infallible> {
        let (mut engine, mut slots) = (engine, slots);
        let mut failed_batches = 0;
        loop {
            let mut batch = BatchRun::new(next_batch(&slots)?, &self.metrics);
            let mut is_broken = batch.run_together(engine.as_mut()).is_err();
            failed_batches = if batch.has_answered {
                0
            } else {
                failed_batches + 1
            };
            is_broken |= failed_batches == MAX_FAILED_BATCHES;
            while is_broken {
                failed_batches = 0;
                match self.replace(engine) {
                    Ok(new_engine) => engine = new_engine,
                    Err(error) => {
                        tracing::error!(%error, "engine could not be created again");
                        // Answers the remaining windows now.
                        drop(batch);
                        // If this was the last engine, the batcher's receiver must close.
                        let weak = slots.downgrade();
                        drop(slots);
                        let open = || weak.upgrade().filter(|slots| !slots.is_closed());
                        engine = self.create_engine_later(|| open().is_some())?;
                        slots = open()?;
                        break;
                    }
                }
                is_broken = batch.run_one_by_one(engine.as_mut()).is_err();
            }
            self.observe_memory(engine.as_ref());
        }
    }

    fn create_engine(&self) -> Result<Box<dyn Engine>, EngineError> {
        catch_unwind(AssertUnwindSafe(|| (self.factory)()))
            .unwrap_or_else(|panic| Err(EngineError::Load(panic_message(panic.as_ref()))))
    }

    /// Drops a broken engine, whose memory the new one may need, and creates a new one.
    fn replace(&self, broken: Box<dyn Engine>) -> Result<Box<dyn Engine>, EngineError> {
        self.metrics.engines_restarted.inc();
        if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
            tracing::error!("the broken engine panicked while it was dropped");
        }
        self.create_engine()
    }

    /// Retries until an engine is created, or is not needed any more.
    fn create_engine_later(&self, is_needed: impl Fn() -> bool) -> Option<Box<dyn Engine>> {
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            thread::park_timeout(delay);
            if !is_needed() {
                return None;
            }
            match self.create_engine() {
                Ok(engine) => {
                    tracing::info!("engine was created again");
                    return Some(engine);
                }
                Err(error) => tracing::error!(%error, "engine could not be created again"),
            }
            delay = MAX_RETRY_DELAY.min(2 * delay);
        }
    }

    fn observe_memory(&self, engine: &dyn Engine) {
        if let Some(memory) = engine.device_memory() {
            let device = engine.plan().device;
            self.metrics
                .observe_device_memory(&device, memory.free, memory.total);
        }
    }
}

fn next_batch(slots: &mpsc::Sender<EngineSlot>) -> Option<Batch> {
    let (slot, batch) = EngineSlot::new();
    slots.blocking_send(slot).ok()?;
    batch.blocking_recv().ok()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::job::test_jobs::job;
    use crate::job::{JobError, JobOutput};
    use halkspeech_whisper::engine::fake::FakeEngine;
    use halkspeech_whisper::engine::{BatchKey, GenerateOptions};

    type Answers = oneshot::Receiver<Result<JobOutput, JobError>>;

    fn batch() -> (Batch, Answers) {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (job, answers) = job(1, key, Instant::now(), Duration::ZERO);
        let jobs = vec![job];
        (Batch { jobs }, answers)
    }

    /// A factory whose first engine panics; the next `failures` calls fail, later ones succeed. Also the
    /// number of calls.
    fn factory_with_failures(failures: usize) -> (EngineFactory, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let panics = FakeEngine::factory(|_, _| panic!("the device is gone"));
        let works = FakeEngine::factory(|_, _| Ok(vec![FakeEngine::generation(vec![1])]));
        let factory: EngineFactory =
            Arc::new(move || match counter.fetch_add(1, Ordering::SeqCst) {
                0 => panics(),
                number if number <= failures => Err(EngineError::Load("still gone".to_owned())),
                _ => works(),
            });
        (factory, calls)
    }

    /// Makes an engine panic that cannot be replaced at once.
    async fn break_one(engines: &mut mpsc::Receiver<EngineSlot>) {
        let (batch, answers) = batch();
        engines.recv().await.unwrap().send(batch).unwrap();
        let answer = answers.await.unwrap();
        assert_eq!(answer.unwrap_err(), JobError::EngineGone);
    }

    fn start(factory: EngineFactory, slots: mpsc::Sender<EngineSlot>) -> JoinHandle<()> {
        let engine = spawn("engine", factory, Metrics::new()).unwrap();
        engine.start.send(WorkSource::Batches(slots)).unwrap();
        engine.thread
    }

    #[tokio::test]
    async fn an_engine_that_cannot_be_made_at_once_is_made_later() {
        let (slots, mut engines) = mpsc::channel(2);
        let (factory, calls) = factory_with_failures(2);
        let another_engine = slots.clone();
        let thread = start(factory, slots);

        break_one(&mut engines).await;
        let (batch, answers) = batch();
        engines.recv().await.unwrap().send(batch).unwrap();

        assert_eq!(answers.await.unwrap().unwrap().generation.tokens, [1]);
        assert_eq!(calls.load(Ordering::SeqCst), 4);
        drop((engines, another_engine));
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_thread_without_an_engine_counts_as_no_engine() {
        let (slots, mut engines) = mpsc::channel(2);
        let (factory, calls) = factory_with_failures(usize::MAX - 1);
        let thread = start(factory, slots);

        break_one(&mut engines).await;

        assert!(engines.recv().await.is_none());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
