//! The OS thread that owns an engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::split::generate_each;
use super::{Engine, EngineError, EngineFactory, Generation, Input};
use crate::batch::{Batch, BatchKey, EngineSlot};
use crate::job::{Answer, Job, JobError};
use crate::telemetry::Metrics;

/// Tells how the loading of an engine ended: the mel bins it wants, or the failure.
pub type Loaded = oneshot::Receiver<Result<usize, EngineError>>;

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
            let _nobody_waits = loaded_tx.send(Ok(engine.n_mels()));
            while let Some(batch) = next_batch(&slots) {
                if run(engine.as_mut(), batch, &metrics).is_err() {
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

/// The engine panicked; its jobs are answered.
struct Panicked;

/// Runs one batch and answers each of its jobs.
fn run(engine: &mut dyn Engine, batch: Batch, metrics: &Metrics) -> Result<(), Panicked> {
    let Batch { key, jobs } = batch;
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| generate(engine, &key, &jobs)));
    let inference_time = started.elapsed();
    metrics
        .inference_seconds
        .observe(inference_time.as_secs_f64());
    match outcome {
        Ok(results) => {
            let batch_size = jobs.len();
            for (job, result) in jobs.into_iter().zip(results) {
                let queue_time = queue_time(&job, started);
                tracing::debug!(
                    parent: &job.span,
                    batch.size = batch_size,
                    queue_ms = queue_time.as_millis() as u64,
                    inference_ms = inference_time.as_millis() as u64,
                    "window left the engine"
                );
                let answer = result.map(|generation| Answer {
                    generation,
                    queue_time,
                    inference_time,
                    batch_size,
                });
                job.answer(answer.map_err(|error| {
                    metrics.jobs_failed.inc();
                    JobError::Failed(error.to_string())
                }));
            }
            Ok(())
        }
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            tracing::error!(batch.size = jobs.len(), panic = message, "engine panicked");
            for job in jobs {
                metrics.jobs_failed.inc();
                job.answer(Err(JobError::Panicked(message.clone())));
            }
            Err(Panicked)
        }
    }
}

fn generate(
    engine: &mut dyn Engine,
    key: &BatchKey,
    jobs: &[Job],
) -> Vec<Result<Generation, EngineError>> {
    let inputs: Vec<Input<'_>> = jobs
        .iter()
        .map(|job| Input {
            features: &job.features,
            prompt: &job.prompt,
        })
        .collect();
    generate_each(engine, key, &inputs)
}

fn queue_time(job: &Job, started: Instant) -> Duration {
    started.saturating_duration_since(job.queued_at)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}
