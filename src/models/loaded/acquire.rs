//! Acquires a model's entry: an existing one at once, a new one in turn once the budget allows it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::allocator_memory::release_unused_memory;
use super::budget::{LoadDecision, MemoryHolder, Usage};
use super::entry::{LoadFailure, LoadedEntry};
use super::{LoadedModels, ModelLease, State};
use crate::models::{LoadError, LoadedModel, ModelError, ModelId, ModelPlan, StoredModel};
use crate::telemetry::{Metrics, error_chain};

/// After a failed load, the first request after this time loads the model again.
pub(in crate::models) const RETRY_AFTER: Duration = Duration::from_secs(10);

impl LoadedModels {
    /// The model's entry; if there is none, loading begins as soon as the budget allows it.
    ///
    /// A request that waits until a model is idle is not overtaken, or requests for a busy model would
    /// block it for ever. A request that waits for an unload does not delay requests for loaded models.
    pub(super) async fn acquire_entry(&self, id: &ModelId) -> Result<Arc<LoadedEntry>, ModelError> {
        if let Some(entry) = self.usable_entry(id, Turn::Waiting) {
            return Ok(entry);
        }
        let _turn = self.load_turn.lock().await;
        if let Some(entry) = self.usable_entry(id, Turn::Taken) {
            return Ok(entry);
        }
        let stored = self.config.catalog.find(id);
        let stored = stored.ok_or_else(|| ModelError::NotFound(id.clone()))?;
        let plan = (self.config.plan)(&stored);
        if let Some(limit) = self.config.budget.exceeded_limit(plan.memory_bytes) {
            return Err(ModelError::TooLarge {
                id: id.clone(),
                needed: plan.memory_bytes,
                limit,
            });
        }
        self.wait_for_budget(id, plan.memory_bytes).await;
        self.begin(stored, plan)
    }

    /// Waits until the budget allows a model of `needed_bytes`.
    async fn wait_for_budget(&self, id: &ModelId, needed_bytes: u64) {
        let mut released = self.released.subscribe();
        let mut idle_wait = None;
        loop {
            released.mark_unchanged();
            match self.decide_load(needed_bytes) {
                LoadDecision::LoadNow => return,
                LoadDecision::UnloadFirst(victim) => {
                    tracing::info!(model.id = %victim, for_model.id = %id, "unloading an idle model for another");
                    let _used_again = self.begin_unload(&victim);
                    continue;
                }
                LoadDecision::WaitForUnload => {
                    idle_wait = None;
                    tracing::debug!(model.id = %id, "waiting until a model is unloaded");
                }
                LoadDecision::WaitForIdle => {
                    idle_wait.get_or_insert_with(|| IdleWaitGuard::begin(self));
                    tracing::debug!(model.id = %id, "waiting until a model is idle");
                }
            }
            let _never_closed = released.changed().await;
        }
    }

    /// Begins to load a model; loading continues even if the caller is cancelled.
    fn begin(
        &self,
        stored: Arc<StoredModel>,
        plan: ModelPlan,
    ) -> Result<Arc<LoadedEntry>, ModelError> {
        let entry = Arc::new(LoadedEntry::new(&plan));
        let lease = ModelLease::new(&entry, &self.released);
        let id = stored.id.clone();
        {
            let mut state = self.state();
            let is_on_disk = self.config.catalog.find(&id).is_some();
            if !is_on_disk || state.deleting.as_ref() == Some(&id) {
                return Err(ModelError::NotFound(id));
            }
            state.entries.insert(id, Arc::clone(&entry));
        }
        self.spawn(load(stored, plan, lease, self.config.metrics.clone()));
        Ok(entry)
    }

    /// The model's entry, if it may be used now. Removes it and returns none if the last of its engines
    /// has died, or if loading failed some time ago.
    fn usable_entry(&self, id: &ModelId, turn: Turn) -> Option<Arc<LoadedEntry>> {
        let mut state = self.state();
        if state.has_idle_waiter && turn == Turn::Waiting {
            return None;
        }
        let entry = state.entries.get(id)?;
        let dead = match entry.outcome.get() {
            Some(Ok(model)) if model.queue.is_closed() => {
                tracing::warn!(model.id = %id, "all engines have ended, loading the model again");
                self.config.metrics.models_loaded.dec();
                true
            }
            Some(Err(failure)) => failure.retry_at <= Instant::now(),
            _ => false,
        };
        if dead {
            state.entries.remove(id);
            return None;
        }
        Some(Arc::clone(entry))
    }

    fn decide_load(&self, needed_bytes: u64) -> LoadDecision {
        let state = self.state();
        let holders = memory_holders(&state);
        self.config.budget.decide_load(needed_bytes, holders)
    }
}

/// Whether a request holds the `load_turn` lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waiting,
    Taken,
}

/// Marks, while it exists, that a request waits until a model is idle.
struct IdleWaitGuard<'a>(&'a LoadedModels);

impl<'a> IdleWaitGuard<'a> {
    fn begin(models: &'a LoadedModels) -> Self {
        models.state().has_idle_waiter = true;
        Self(models)
    }
}

impl Drop for IdleWaitGuard<'_> {
    fn drop(&mut self) {
        self.0.state().has_idle_waiter = false;
    }
}

/// All models that count against the budget.
fn memory_holders(state: &State) -> impl Iterator<Item = MemoryHolder<'_>> {
    let entries = state.entries.iter().filter(|(_, entry)| !entry.failed());
    let entries = entries.map(|(id, entry)| MemoryHolder {
        id,
        memory_bytes: entry.memory_bytes,
        usage: match entry.idle_since() {
            Some(since) => Usage::Idle(since.into_std()),
            None => Usage::InUse,
        },
    });
    let unloading = state.unloading.iter().map(|model| MemoryHolder {
        id: &model.id,
        memory_bytes: model.memory_bytes,
        usage: Usage::Unloading,
    });
    entries.chain(unloading)
}

/// Loads a model and stores the outcome in the lease's entry.
async fn load(stored: Arc<StoredModel>, plan: ModelPlan, lease: ModelLease, metrics: Metrics) {
    let id = stored.id.clone();
    let started = Instant::now();
    let loading = AssertUnwindSafe(LoadedModel::load(stored, plan, &metrics));
    let loaded = loading
        .catch_unwind()
        .await
        .unwrap_or_else(|_panic| Err(LoadError::Panicked));
    metrics.observe_load(loaded.is_ok(), started.elapsed());
    // Loading temporarily takes twice the weights' memory, or more.
    release_unused_memory().await;
    let outcome = loaded.map_err(|error| {
        let reason = error_chain(&error);
        tracing::error!(model.id = %id, reason, "model could not be loaded");
        LoadFailure {
            source: Arc::new(error),
            retry_at: Instant::now() + RETRY_AFTER,
        }
    });
    let _only_this_task_sets_it = lease.entry().outcome.set(outcome);
}
