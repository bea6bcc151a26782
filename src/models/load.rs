//! Loads one model: starts its engines and opens its queue.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{LoadError, StoredModel};
use crate::batch::{BatchLimits, Batcher, HYPOTHESES_PER_WINDOW};
use crate::queue::{self, QueueHandle, ScheduledQueue};
use crate::schedule::{Layout, Limits, MemoryLimit, ShareLimits};
use crate::telemetry::Metrics;
use crate::worker::{self, EngineInfo, EngineKind, EngineThread, WorkSource};
use halkspeech_whisper::Vocabulary;
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::engine::{EngineError, EngineFactory, EnginePlan};
use halkspeech_whisper::features::{LogMel, WINDOW_FRAMES, WindowLengths};

/// How a model is run.
pub struct ModelPlan {
    /// The engines, which share one queue.
    pub engines: Vec<Box<EngineFactoryBuilder>>,
    /// How many windows an engine writes at one time.
    pub limits: BatchLimits,
    /// The memory of the windows in continuous engines.
    pub slots: SlotMemory,
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

/// What the memory of the windows in continuous engines depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotMemory {
    /// The sizes of the model.
    pub dimensions: Dimensions,
    /// Memory for all windows, in bytes.
    pub limit: u64,
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
    /// Of engines that run batches.
    batcher: Option<tokio::task::JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl LoadedModel {
    /// Starts the engines, and returns when all of them have completed their warm-up.
    pub(super) async fn load(
        stored: Arc<StoredModel>,
        mut plan: ModelPlan,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let started = Instant::now();
        let vocabulary = read_vocabulary(&stored).await?;
        let mut threads = Vec::new();
        let mut starting = Vec::new();
        for (number, build) in std::mem::take(&mut plan.engines).into_iter().enumerate() {
            let name = format!("engine-{}-{number}", stored.id);
            let spawned = worker::spawn(&name, build(&vocabulary), metrics.clone());
            let EngineThread {
                thread,
                loaded,
                start,
            } = spawned.map_err(|error| EngineError::Load(error.to_string()))?;
            threads.push(thread);
            starting.push((loaded, start));
        }
        let mut ready = Vec::new();
        let mut starts = Vec::new();
        let mut failed = None;
        for (loaded, start) in starting {
            let gone = || EngineError::Load("engine thread ended while loading".to_owned());
            match loaded.await.unwrap_or_else(|_| Err(gone())) {
                Ok(engine) => {
                    ready.push(engine);
                    starts.push(start);
                }
                Err(error) => failed = failed.or(Some(without_path(error, &stored))),
            }
        }
        if let Some(error) = failed {
            // Ends the engines that did load.
            drop(starts);
            join(threads).await;
            return Err(error.into());
        }
        let n_mels = ready.first().map_or(0, |engine| engine.n_mels);
        let (queue, batcher) = open_queue(&plan, &ready, starts, metrics);
        let engine_plans: Vec<_> = ready.into_iter().map(|ready| ready.plan).collect();
        log_plans(&stored, &engine_plans, plan.limits.batch_size.get());
        let loaded_in_ms = started.elapsed().as_millis() as u64;
        tracing::info!(model.id = %stored.id, engines = threads.len(), loaded_in_ms, "model loaded");
        Ok(Self {
            stored,
            vocabulary,
            log_mel: Arc::new(LogMel::new(n_mels)),
            queue,
            windows_in_flight: plan.windows_in_flight,
            lengths: plan.lengths,
            engine_plans,
            batcher,
            workers: threads,
        })
    }

    /// Closes the queue, waits until the batcher has emptied it, and joins the engines, which write what is left.
    pub(super) async fn close(self) {
        let Self {
            queue,
            batcher,
            workers,
            ..
        } = self;
        drop(queue);
        if let Some(batcher) = batcher {
            let _ended = batcher.await;
        }
        join(workers).await;
    }
}

/// Opens the queue of engines that are ready, and starts them.
fn open_queue(
    plan: &ModelPlan,
    ready: &[EngineInfo],
    starts: Vec<oneshot::Sender<WorkSource>>,
    metrics: &Metrics,
) -> (QueueHandle, Option<tokio::task::JoinHandle<()>>) {
    let are_continuous = ready
        .iter()
        .all(|engine| engine.kind == EngineKind::Continuous);
    // An engine that does not receive its source has ended, and its queue is closed.
    if let Some(engines) = NonZeroUsize::new(starts.len())
        && are_continuous
    {
        let limits = slot_limits(plan, window_memory(ready, plan.slots.limit), engines);
        let dimensions = plan.slots.dimensions;
        let (queue, runners) = ScheduledQueue::new(limits, dimensions, engines, metrics.clone());
        for (start, runner) in starts.into_iter().zip(runners) {
            let _engine_ended = start.send(WorkSource::Windows(runner));
        }
        return (QueueHandle::Scheduled(queue), None);
    }
    // The batcher ends when the last engine does: only engines hold the sending side.
    let (slots, engines) = mpsc::channel(starts.len().max(1));
    for start in starts {
        let _engine_ended = start.send(WorkSource::Batches(slots.clone()));
    }
    let (queue, receiver) = queue::bounded(plan.queue_capacity);
    let batcher = Batcher::new(receiver, engines, plan.limits, metrics.clone());
    (
        QueueHandle::Batches(queue),
        Some(tokio::spawn(batcher.run())),
    )
}

/// Memory for the windows of continuous engines: what the engines have planned on GPUs, else `host` bytes.
fn window_memory(engines: &[EngineInfo], host: u64) -> MemoryLimit {
    let planned = engines.iter().map(|engine| engine.plan.memory);
    let smallest = planned.map(|memory| memory.map(|memory| memory.for_windows));
    // Slots are divided among the engines equally, so the smallest share counts for each.
    match smallest.min().flatten() {
        Some(bytes) => MemoryLimit::OfEachRunner(bytes),
        None => MemoryLimit::Shared(host),
    }
}

/// The limits of continuous engines with this memory for windows.
fn slot_limits(plan: &ModelPlan, memory: MemoryLimit, engines: NonZeroUsize) -> Limits {
    let of_engine = plan.limits.batch_size;
    let max_slots = of_engine.saturating_mul(engines);
    // Wide searches take the place of several windows.
    let dimensions = plan.slots.dimensions;
    let full = dimensions.slot_bytes(WINDOW_FRAMES, 0, HYPOTHESES_PER_WINDOW);
    let planned = |slots: NonZeroUsize| full.saturating_mul(slots.get() as u64);
    let memory = match memory {
        MemoryLimit::Shared(bytes) => MemoryLimit::Shared(bytes.min(planned(max_slots))),
        MemoryLimit::OfEachRunner(bytes) => {
            MemoryLimit::OfEachRunner(bytes.min(planned(of_engine)))
        }
    };
    Limits {
        layout: Layout::Alternating { runners: engines },
        max_slots,
        max_waiting: NonZeroUsize::new(plan.queue_capacity).unwrap_or(NonZeroUsize::MIN),
        // A CPU encodes windows one by one, so none waits for others.
        max_encode: NonZeroUsize::MIN,
        max_open: NonZeroUsize::MIN,
        batch_window: plan.limits.window,
        memory,
        shares: ShareLimits::default(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use halkspeech_whisper::engine::PlannedMemory;

    fn engine(for_windows: Option<u64>) -> EngineInfo {
        EngineInfo {
            n_mels: 80,
            kind: EngineKind::Continuous,
            plan: EnginePlan {
                device: "none".to_owned(),
                windows: 1,
                encoder_windows: 1,
                memory: for_windows.map(|for_windows| PlannedMemory {
                    planned: 0,
                    free: 0,
                    total: 0,
                    for_windows,
                }),
            },
        }
    }

    #[test]
    fn windows_use_the_memory_of_the_gpus_or_of_the_host() {
        assert_eq!(
            window_memory(&[engine(None), engine(None)], 7),
            MemoryLimit::Shared(7)
        );
        assert_eq!(
            window_memory(&[engine(Some(5)), engine(Some(3))], 7),
            MemoryLimit::OfEachRunner(3)
        );
    }
}
