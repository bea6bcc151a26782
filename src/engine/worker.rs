//! The OS thread that owns an engine, and makes it anew when it dies.

mod work;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Engine, EngineError, EngineFactory, EnginePlan};
use crate::batch::{Batch, EngineSlot};
use crate::telemetry::Metrics;
use work::Work;

/// Tells how the loading of an engine ended.
pub type Loaded = oneshot::Receiver<Result<Ready, EngineError>>;

/// What is known of an engine once it is loaded.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The mel bins it wants.
    pub n_mels: usize,
    /// How it will run batches.
    pub plan: EnginePlan,
}

/// Starts a named thread that makes an engine, then asks for batches until `slots` is closed.
///
/// An engine that panics is replaced by a new one, on which what it left is tried once more. Where
/// none can be made, the thread tries again until the model is unloaded; it counts as no engine
/// until then. So that it hears of the unloading, its thread is unparked.
///
/// # Errors
/// The operating system's, when it has no thread left.
pub fn spawn(
    name: &str,
    factory: EngineFactory,
    slots: mpsc::Sender<EngineSlot>,
    metrics: Metrics,
) -> std::io::Result<(JoinHandle<()>, Loaded)> {
    let (loaded_tx, loaded) = oneshot::channel();
    let worker = Worker { factory, metrics };
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let engine = match worker.make() {
                Ok(engine) => engine,
                Err(error) => {
                    let _nobody_waits = loaded_tx.send(Err(error));
                    return;
                }
            };
            let (n_mels, plan) = (engine.n_mels(), engine.plan());
            worker.observe_memory(engine.as_ref());
            let _nobody_waits = loaded_tx.send(Ok(Ready { n_mels, plan }));
            let _unloaded = worker.work(engine, slots);
        })?;
    Ok((thread, loaded))
}

/// Batches in a row without one answer, after which an engine is taken for dead: a card may come
/// into a state in which every call fails.
const DEAD_AFTER: usize = 3;

/// How long to wait before an engine is made that could not be made just now; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the thread keeps while engines come and go.
struct Worker {
    factory: EngineFactory,
    metrics: Metrics,
}

impl Worker {
    /// Runs batches until no more can come, which it says by `None`.
    fn work(&self, engine: Box<dyn Engine>, slots: mpsc::Sender<EngineSlot>) -> Option<Infallible> {
        let (mut engine, mut slots) = (engine, slots);
        let mut in_vain = 0;
        loop {
            let mut work = Work::of(next_batch(&slots)?, &self.metrics);
            let mut is_broken = work.run_together(engine.as_mut()).is_err();
            in_vain = if work.has_answered { 0 } else { in_vain + 1 };
            is_broken |= in_vain == DEAD_AFTER;
            while is_broken {
                in_vain = 0;
                match self.replace(engine) {
                    Ok(fresh) => engine = fresh,
                    Err(error) => {
                        tracing::error!(%error, "engine could not be made again");
                        // Those who wait for its windows are told now.
                        drop(work);
                        (engine, slots) = self.make_later(slots)?;
                        break;
                    }
                }
                is_broken = work.run_each_alone(engine.as_mut()).is_err();
            }
            self.observe_memory(engine.as_ref());
        }
    }

    fn make(&self) -> Result<Box<dyn Engine>, EngineError> {
        catch_unwind(AssertUnwindSafe(|| (self.factory)()))
            .unwrap_or_else(|panic| Err(EngineError::Load(panic_message(panic.as_ref()))))
    }

    /// Makes an engine in the place of one that is broken, whose memory it may need.
    fn replace(&self, broken: Box<dyn Engine>) -> Result<Box<dyn Engine>, EngineError> {
        self.metrics.engines_restarted.inc();
        if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
            tracing::error!("the broken engine could not be taken down");
        }
        self.make()
    }

    /// Tries until there is an engine again, or nobody is left to give it a batch.
    fn make_later(
        &self,
        slots: mpsc::Sender<EngineSlot>,
    ) -> Option<(Box<dyn Engine>, mpsc::Sender<EngineSlot>)> {
        // When this was the last engine, the batcher must hear of it.
        let weak = slots.downgrade();
        drop(slots);
        let mut pause = FIRST_PAUSE;
        loop {
            thread::park_timeout(pause);
            let slots = weak.upgrade().filter(|slots| !slots.is_closed())?;
            match self.make() {
                Ok(engine) => {
                    tracing::info!("engine is there again");
                    return Some((engine, slots));
                }
                Err(error) => tracing::error!(%error, "engine could not be made again"),
            }
            pause = LONGEST_PAUSE.min(2 * pause);
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
    let (slot, batch) = oneshot::channel();
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
    use crate::batch::{BatchKey, GenerateOptions};
    use crate::engine::fake::FakeEngine;
    use crate::job::test_jobs::job;
    use crate::job::{JobError, JobOutput};

    type Answers = oneshot::Receiver<Result<JobOutput, JobError>>;

    fn batch() -> (Batch, Answers) {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (job, answers) = job(1, key.clone(), Instant::now(), Duration::ZERO);
        let jobs = vec![job];
        (Batch { key, jobs }, answers)
    }

    /// Makes an engine that panics, then `failures` times none, then those that work.
    fn fails_before_it_works(failures: usize) -> (EngineFactory, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let panics = FakeEngine::factory(|_, _| panic!("the device is gone"));
        let works = FakeEngine::factory(|_, _| Ok(vec![FakeEngine::generation(vec![1])]));
        let factory: EngineFactory =
            Arc::new(move || match counter.fetch_add(1, Ordering::SeqCst) {
                0 => panics(),
                number if number <= failures => Err(EngineError::Load("still gone".to_owned())),
                _ => works(),
            });
        (factory, made)
    }

    /// Has an engine panic that cannot be made again at once.
    async fn break_one(engines: &mut mpsc::Receiver<EngineSlot>) {
        let (batch, answers) = batch();
        engines.recv().await.unwrap().send(batch).unwrap();
        let answer = answers.await.unwrap();
        assert_eq!(answer.unwrap_err(), JobError::EngineGone);
    }

    #[tokio::test]
    async fn an_engine_that_cannot_be_made_at_once_is_made_later() {
        let (slots, mut engines) = mpsc::channel(2);
        let (factory, made) = fails_before_it_works(2);
        let another_engine = slots.clone();
        let (thread, _loaded) = spawn("engine", factory, slots, Metrics::new()).unwrap();

        break_one(&mut engines).await;
        let (batch, answers) = batch();
        engines.recv().await.unwrap().send(batch).unwrap();

        assert_eq!(answers.await.unwrap().unwrap().generation.tokens, [1]);
        assert_eq!(made.load(Ordering::SeqCst), 4);
        drop((engines, another_engine));
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn while_it_cannot_be_made_it_counts_as_no_engine() {
        let (slots, mut engines) = mpsc::channel(2);
        let (factory, made) = fails_before_it_works(usize::MAX - 1);
        let (thread, _loaded) = spawn("engine", factory, slots, Metrics::new()).unwrap();

        break_one(&mut engines).await;

        assert!(engines.recv().await.is_none());
        assert_eq!(made.load(Ordering::SeqCst), 2);
        thread.thread().unpark();
        thread.join().unwrap();
    }
}
