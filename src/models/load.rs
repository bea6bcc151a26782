//! Loads one model: starts its engines and opens its queue.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{LoadError, StoredModel};
use crate::batch::{BatchLimits, Batcher, EngineKind};
use crate::queue::{self, QueueHandle};
use crate::telemetry::Metrics;
use crate::worker;
use halkspeech_whisper::Vocabulary;
use halkspeech_whisper::engine::{EngineError, EngineFactory, EnginePlan};
use halkspeech_whisper::features::{LogMel, WindowLengths};

/// How a model is run.
pub struct ModelPlan {
    /// The engines, which share one queue.
    pub engines: Vec<Box<EngineFactoryBuilder>>,
    /// The batcher's settings.
    pub limits: BatchLimits,
    /// Capacity of the queue, in windows.
    pub queue_capacity: usize,
    /// Maximum number of windows that one request has in the queue and the engines.
    pub windows_in_flight: usize,
    /// The lengths that windows are padded to.
    pub lengths: WindowLengths,
    /// Idle time after which the model is unloaded; none: never.
    pub idle_time: Option<Duration>,
    /// Estimated size of the weights of all its engines, in bytes.
    pub memory_bytes: u64,
}

/// Makes an engine factory from the model's vocabulary.
pub type EngineFactoryBuilder = dyn FnOnce(&Arc<Vocabulary>) -> EngineFactory + Send;

/// A loaded model: its engines run and its queue is open.
pub struct LoadedModel {
    /// The model on disk.
    pub stored: Arc<StoredModel>,
    /// Its tokens.
    pub vocabulary: Arc<Vocabulary>,
    /// Its features.
    pub log_mel: Arc<LogMel>,
    /// The queue of its engines.
    pub queue: QueueHandle,
    /// Maximum number of windows that one request has in the queue and the engines.
    pub windows_in_flight: usize,
    /// The lengths that windows are padded to.
    pub lengths: WindowLengths,
    /// How each engine runs batches.
    pub engine_plans: Vec<EnginePlan>,
    batcher: tokio::task::JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

impl LoadedModel {
    /// Starts the engines, and returns when all of them have completed their warm-up.
    pub(super) async fn load(
        stored: Arc<StoredModel>,
        plan: ModelPlan,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let started = Instant::now();
        let vocabulary = read_vocabulary(&stored).await?;
        let (slots, engines) = mpsc::channel(plan.engines.len().max(1));
        let mut workers = Vec::new();
        let mut loading = Vec::new();
        for (number, build) in plan.engines.into_iter().enumerate() {
            let name = format!("engine-{}-{number}", stored.id);
            let spawned = worker::spawn(&name, build(&vocabulary), slots.clone(), metrics.clone());
            let (worker, loaded) = spawned.map_err(|error| EngineError::Load(error.to_string()))?;
            workers.push(worker);
            loading.push(loaded);
        }
        // From here on only the engines hold the sending side: it closes when the last one ends.
        drop(slots);
        let mut ready = Vec::new();
        let mut failed = None;
        for loaded in loading {
            let gone = || EngineError::Load("engine thread ended while loading".to_owned());
            match loaded.await.unwrap_or_else(|_| Err(gone())) {
                Ok(engine) => ready.push(engine),
                Err(error) => failed = failed.or(Some(without_path(error, &stored))),
            }
        }
        if let Some(error) = failed {
            // Ends the engines that did load.
            drop(engines);
            join(workers).await;
            return Err(error.into());
        }
        let (queue, receiver) = queue::bounded(plan.queue_capacity);
        let (n_mels, kind) = ready
            .first()
            .map_or((0, EngineKind::Batches), |ready| (ready.n_mels, ready.kind));
        let limits = (kind, plan.limits);
        let batcher = Batcher::new(receiver, engines, limits, metrics.clone());
        let engine_plans: Vec<_> = ready.into_iter().map(|ready| ready.plan).collect();
        log_plans(&stored, &engine_plans, plan.limits.batch_size.get());
        let loaded_in_ms = started.elapsed().as_millis() as u64;
        tracing::info!(model.id = %stored.id, engines = workers.len(), loaded_in_ms, "model loaded");
        Ok(Self {
            stored,
            vocabulary,
            log_mel: Arc::new(LogMel::new(n_mels)),
            queue,
            windows_in_flight: plan.windows_in_flight,
            lengths: plan.lengths,
            engine_plans,
            batcher: tokio::spawn(batcher.run()),
            workers,
        })
    }

    /// Closes the queue, waits until the batcher has emptied it, and joins the engines.
    pub(super) async fn close(self) {
        let Self {
            queue,
            batcher,
            workers,
            ..
        } = self;
        drop(queue);
        let _ended = batcher.await;
        join(workers).await;
    }
}

/// Logs how batches will be run.
fn log_plans(stored: &StoredModel, plans: &[EnginePlan], batch_size: usize) {
    for plan in plans {
        tracing::info!("{} on {plan}", stored.id);
        if plan.windows < batch_size {
            tracing::warn!(
                batch.size = batch_size,
                "{} windows of 30 s of {} are generated together; the memory of {} allows no more",
                plan.windows,
                stored.id,
                plan.device,
            );
        }
    }
}

/// Removes the model's path: the library's message may be shown to a caller, the path may not.
fn without_path(error: EngineError, stored: &StoredModel) -> EngineError {
    match error {
        EngineError::Load(text) => {
            let dir = stored.dir.display().to_string();
            EngineError::Load(text.replace(&dir, stored.id.as_str()))
        }
        other @ (EngineError::Batch(_) | EngineError::OutOfMemory(_)) => other,
    }
}

async fn read_vocabulary(stored: &Arc<StoredModel>) -> Result<Arc<Vocabulary>, LoadError> {
    let stored = Arc::clone(stored);
    let reading = tokio::task::spawn_blocking(move || Vocabulary::load(&stored.dir));
    match reading.await {
        Ok(vocabulary) => Ok(Arc::new(vocabulary?)),
        Err(_panic) => Err(LoadError::Panicked),
    }
}

async fn join(workers: Vec<JoinHandle<()>>) {
    let joining = tokio::task::spawn_blocking(move || {
        for worker in workers {
            // It may be waiting before it creates an engine again.
            worker.thread().unpark();
            let _ended = worker.join();
        }
    });
    let _ended = joining.await;
}
