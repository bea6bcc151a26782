//! The OS thread that owns an engine.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::split::generate_each;
use super::{Decoding, Engine, EngineError, EngineFactory, EnginePlan, Generation, Input};
use crate::batch::{Batch, BatchKey, EngineSlot};
use crate::features::Features;
use crate::job::{Answer, Job, JobError, Reply};
use crate::telemetry::{Metrics, traces};
use crate::tokens::PromptSpec;

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

/// The engine panicked; what this left without an answer may be tried on another.
struct Panicked(String);

/// A batch that is being worked on. Whoever has no answer when it is dropped hears that the engine
/// is gone.
struct Work<'m> {
    key: BatchKey,
    asked: Vec<Asked>,
    open: Vec<Option<Open>>,
    started: Instant,
    /// Whether a window got its text.
    has_answered: bool,
    metrics: &'m Metrics,
}

impl<'m> Work<'m> {
    fn of(batch: Batch, metrics: &'m Metrics) -> Self {
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

    fn run_together(&mut self, engine: &mut dyn Engine) -> Result<(), Panicked> {
        let all: Vec<usize> = (0..self.asked.len()).collect();
        self.run(engine, &all)
    }

    /// Gives what has no answer yet its second try, where a window that breaks the engine again
    /// harms no other.
    fn run_each_alone(&mut self, engine: &mut dyn Engine) -> Result<(), Panicked> {
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
        let inputs: Vec<Input<'_>> = indices
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
    prompt: PromptSpec,
    decoding: Arc<Decoding>,
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
            prompt: job.prompt,
            decoding: job.decoding,
        };
        let open = Open {
            reply: job.reply,
            inference: traces::inference(&job.span, batch_size),
            span: job.span,
            queued_at: job.queued_at,
        };
        (asked, Some(open))
    }

    fn input(&self) -> Input<'_> {
        Input {
            features: &self.features,
            prompt: &self.prompt,
            decoding: &self.decoding,
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

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::batch::GenerateOptions;
    use crate::engine::fake::FakeEngine;
    use crate::job::RequestId;
    use crate::tokens::Task;

    type Answers = oneshot::Receiver<Result<Answer, JobError>>;

    fn batch() -> (Batch, Answers) {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (reply, answers) = oneshot::channel();
        let job = Job {
            request: RequestId(1),
            is_first: true,
            features: Features {
                n_mels: 80,
                frames: 0,
                values: Vec::new(),
            },
            prompt: PromptSpec {
                language: None,
                task: Task::Transcribe,
                timestamps: false,
                previous: Vec::new(),
            },
            decoding: Arc::default(),
            key: key.clone(),
            deadline: Instant::now(),
            queued_at: Instant::now(),
            reply,
            span: Span::none(),
            waiting: Span::none(),
        };
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
