//! The entry of a loaded model, and the leases that keep it in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

use super::lock;
use crate::models::{LoadError, LoadedModel, ModelError, ModelId, ModelPlan, StoredModel};
use halkspeech_whisper::engine::EnginePlan;

/// A model that is loaded, being loaded, or failed to load.
pub(super) struct LoadedEntry {
    pub memory_bytes: u64,
    pub idle_time: Option<Duration>,
    pub outcome: SetOnce<Result<LoadedModel, LoadFailure>>,
    idle_since: Mutex<Instant>,
}

#[derive(Clone)]
pub(super) struct LoadFailure {
    pub source: Arc<LoadError>,
    pub retry_at: Instant,
}

/// Keeps a loaded model in memory.
pub struct ModelLease {
    /// None only while the lease is dropped.
    entry: Option<Arc<LoadedEntry>>,
    released: watch::Sender<()>,
}

/// A loaded model, as reported to an operator.
#[derive(Clone, Debug)]
pub struct LoadedModelInfo {
    /// The model on disk.
    pub stored: Arc<StoredModel>,
    /// How each of its engines runs batches.
    pub engine_plans: Vec<EnginePlan>,
    /// Estimated size of its weights, in bytes.
    pub memory_bytes: u64,
    /// Time without a lease; none while it has one.
    pub idle: Option<Duration>,
    /// Time until it is unloaded if it stays idle; none: never, or it is in use.
    pub expires_in: Option<Duration>,
}

impl LoadedEntry {
    pub fn new(plan: &ModelPlan) -> Self {
        Self {
            memory_bytes: plan.memory_bytes,
            idle_time: plan.idle_time,
            outcome: SetOnce::new(),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    pub fn failed(&self) -> bool {
        matches!(self.outcome.get(), Some(Err(_)))
    }

    /// Since when the model has had no lease; none while it has one, or is being loaded.
    pub fn idle_since(self: &Arc<Self>) -> Option<Instant> {
        let loaded = matches!(self.outcome.get(), Some(Ok(_)));
        (loaded && Arc::strong_count(self) == 1).then(|| *lock(&self.idle_since))
    }
}

impl LoadFailure {
    pub fn error(&self, id: &ModelId) -> ModelError {
        ModelError::Load {
            id: id.clone(),
            retry_in: self.retry_at.saturating_duration_since(Instant::now()),
            source: Arc::clone(&self.source),
        }
    }
}

impl LoadedModelInfo {
    pub(super) fn of(entry: &Arc<LoadedEntry>) -> Option<Self> {
        let model = entry.outcome.get()?.as_ref().ok()?;
        let idle_since = entry.idle_since();
        let remaining = |since: Instant| {
            let until = since + entry.idle_time?;
            Some(until.saturating_duration_since(Instant::now()))
        };
        Some(Self {
            stored: Arc::clone(&model.stored),
            engine_plans: model.engine_plans.clone(),
            memory_bytes: entry.memory_bytes,
            idle: idle_since.map(|since| since.elapsed()),
            expires_in: idle_since.and_then(remaining),
        })
    }
}

impl ModelLease {
    pub(super) fn new(entry: &Arc<LoadedEntry>, released: &watch::Sender<()>) -> Self {
        Self {
            entry: Some(Arc::clone(entry)),
            released: released.clone(),
        }
    }

    pub(super) fn entry(&self) -> &Arc<LoadedEntry> {
        self.entry
            .as_ref()
            .expect("none only while the lease is dropped")
    }
}

impl std::ops::Deref for ModelLease {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        let model = self
            .entry()
            .outcome
            .get()
            .and_then(|outcome| outcome.as_ref().ok());
        model.expect("a lease is returned only after the model was loaded")
    }
}

impl Drop for ModelLease {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            *lock(&entry.idle_since) = Instant::now();
            // Dropped first: the tasks that are woken must see one owner less.
            drop(entry);
            self.released.send_replace(());
        }
    }
}
