//! A model that is wanted, and what is held of it by those who use it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

use super::lock;
use crate::engine::EnginePlan;
use crate::models::{LoadError, LoadedModel, ModelError, ModelId, Plan, StoredModel};

/// A model that is wanted.
pub(super) struct Entry {
    pub memory_bytes: u64,
    pub idle_time: Option<Duration>,
    pub outcome: SetOnce<Result<LoadedModel, Failure>>,
    idle_since: Mutex<Instant>,
}

#[derive(Clone)]
pub(super) struct Failure {
    pub source: Arc<LoadError>,
    pub retry_at: Instant,
}

/// Keeps a loaded model in memory.
pub struct Lease {
    /// Taken only when it is dropped.
    entry: Option<Arc<Entry>>,
    released: watch::Sender<()>,
}

/// A model in memory, as an operator sees it.
#[derive(Clone, Debug)]
pub struct InMemory {
    /// The model on disk.
    pub stored: Arc<StoredModel>,
    /// How each of its engines runs batches.
    pub engine_plans: Vec<EnginePlan>,
    /// What its weights take, in bytes; an estimate.
    pub memory_bytes: u64,
    /// How long nobody has used it; none while somebody does.
    pub idle: Option<Duration>,
    /// When it will be unloaded if nobody uses it; none: never, or not while it is in use.
    pub expires_in: Option<Duration>,
}

impl Entry {
    pub fn new(plan: &Plan) -> Self {
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

    /// Since when nobody uses the model; none while somebody does, or it is still being loaded.
    pub fn idle_since(self: &Arc<Self>) -> Option<Instant> {
        let loaded = matches!(self.outcome.get(), Some(Ok(_)));
        (loaded && Arc::strong_count(self) == 1).then(|| *lock(&self.idle_since))
    }
}

impl Failure {
    pub fn error(&self, id: &ModelId) -> ModelError {
        ModelError::Load {
            id: id.clone(),
            retry_in: self.retry_at.saturating_duration_since(Instant::now()),
            source: Arc::clone(&self.source),
        }
    }
}

impl InMemory {
    pub(super) fn of(entry: &Arc<Entry>) -> Option<Self> {
        let model = entry.outcome.get()?.as_ref().ok()?;
        let idle_since = entry.idle_since();
        let left = |since: Instant| {
            let until = since + entry.idle_time?;
            Some(until.saturating_duration_since(Instant::now()))
        };
        Some(Self {
            stored: Arc::clone(&model.stored),
            engine_plans: model.engine_plans.clone(),
            memory_bytes: entry.memory_bytes,
            idle: idle_since.map(|since| since.elapsed()),
            expires_in: idle_since.and_then(left),
        })
    }
}

impl Lease {
    pub(super) fn new(entry: &Arc<Entry>, released: &watch::Sender<()>) -> Self {
        Self {
            entry: Some(Arc::clone(entry)),
            released: released.clone(),
        }
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        self.entry
            .as_ref()
            .expect("taken only when the lease is dropped")
    }
}

impl std::ops::Deref for Lease {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        let model = self
            .entry()
            .outcome
            .get()
            .and_then(|outcome| outcome.as_ref().ok());
        model.expect("a lease is handed out after loading")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            *lock(&entry.idle_since) = Instant::now();
            // The entry goes first: whoever is woken must see one owner less.
            drop(entry);
            self.released.send_replace(());
        }
    }
}
