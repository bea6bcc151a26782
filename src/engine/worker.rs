//! The OS thread that owns an engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::split::generate_each;
use super::{Decoding, Engine, EngineError, EngineFactory, EnginePlan, Generation, Input};
use crate::batch::{Batch, EngineSlot};
use crate::features::Features;
use crate::job::{Answer, Job, JobError, Reply};
use crate::telemetry::Metrics;
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
/// # Errors
/// The operating system's, when it has no thread left.
pub fn spawn(
    name: &str,
    factory: EngineFactory,
    slots: mpsc::Sender<EngineSlot>,
    metrics: Metrics,
) -> std::io::Result<(JoinHandle<()>, Loaded)> {
    let (loaded_tx, loaded) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let mut engine = match make(&factory) {
                Ok(engine) => engine,
                Err(error) => {
                    let _nobody_waits = loaded_tx.send(Err(error));
                    return;
                }
            };
            let (n_mels, plan) = (engine.n_mels(), engine.plan());
            observe_memory(engine.as_ref(), &metrics);
            let _nobody_waits = loaded_tx.send(Ok(Ready { n_mels, plan }));
            while let Some(batch) = next_batch(&slots) {
                let outcome = run(engine.as_mut(), batch, &metrics);
                observe_memory(engine.as_ref(), &metrics);
                if outcome.is_err() {
                    // What a panic left behind in the engine is unknown: begin with a new one.
                    match make(&factory) {
                        Ok(fresh) => engine = fresh,
                        Err(error) => {
                            tracing::error!(%error, "engine could not be made again after a panic");
                            return;
                        }
                    }
                }
            }
        })?;
    Ok((thread, loaded))
}

fn make(factory: &EngineFactory) -> Result<Box<dyn Engine>, EngineError> {
    catch_unwind(AssertUnwindSafe(|| factory()))
        .unwrap_or_else(|panic| Err(EngineError::Load(panic_message(panic.as_ref()))))
}

fn next_batch(slots: &mpsc::Sender<EngineSlot>) -> Option<Batch> {
    let (slot, batch) = oneshot::channel();
    slots.blocking_send(slot).ok()?;
    batch.blocking_recv().ok()
}

fn observe_memory(engine: &dyn Engine, metrics: &Metrics) {
    if let Some(memory) = engine.device_memory() {
        metrics.observe_device_memory(&engine.plan().device, memory.free, memory.total);
    }
}

/// The engine panicked; its jobs are answered.
struct Panicked;

/// Runs one batch and answers each of its jobs.
fn run(engine: &mut dyn Engine, batch: Batch, metrics: &Metrics) -> Result<(), Panicked> {
    let Batch { key, jobs } = batch;
    let batch_size = jobs.len();
    let started = Instant::now();
    let (asked, mut replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(Asked::part).unzip();
    let inputs: Vec<Input<'_>> = asked.iter().map(Asked::input).collect();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut answer = |index: usize, result: Result<Generation, EngineError>| {
            if let Some(open) = replies[index].take() {
                let result = result.map(|generation| Answer {
                    generation,
                    queue_time: started.saturating_duration_since(open.queued_at),
                    inference_time: started.elapsed(),
                    batch_size,
                });
                open.answer(
                    result.map_err(|error| JobError::Failed(error.to_string())),
                    metrics,
                );
            }
        };
        generate_each(engine, &key, &inputs, &mut answer);
    }));
    metrics
        .inference_seconds
        .observe(started.elapsed().as_secs_f64());
    let Err(panic) = outcome else {
        return Ok(());
    };
    let message = panic_message(panic.as_ref());
    tracing::error!(batch.size = batch_size, panic = message, "engine panicked");
    for open in replies.into_iter().flatten() {
        open.answer(Err(JobError::Panicked(message.clone())), metrics);
    }
    Err(Panicked)
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
    queued_at: Instant,
}

impl Asked {
    fn part(job: Job) -> (Self, Option<Open>) {
        let asked = Self {
            features: job.features,
            prompt: job.prompt,
            decoding: job.decoding,
        };
        let open = Open {
            reply: job.reply,
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
        let _gone = self.reply.send(answer);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}
