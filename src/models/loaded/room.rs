//! The way to a model's entry: to one that is there at once, to a new one in turn, once the budget has
//! room for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::budget::{Held, Room, Usage};
use super::entry::{Entry, Failure};
use super::memory::give_memory_back;
use super::{Lease, LoadedModels, State};
use crate::models::{LoadError, LoadedModel, ModelError, ModelId, Plan, StoredModel};
use crate::telemetry::{Metrics, error_chain};

/// A model whose loading failed is tried again by the first request after this time.
const RETRY_AFTER: Duration = Duration::from_secs(10);

impl LoadedModels {
    /// The model's entry; where there is none, its loading is begun as soon as there is room.
    ///
    /// Who waits until a model is idle is not overtaken, or requests for a busy model would keep it
    /// out for ever. Who waits for models that are being unloaded holds up nobody whose model is there.
    pub(super) async fn enter(&self, id: &ModelId) -> Result<Arc<Entry>, ModelError> {
        if let Some(entry) = self.living_entry(id, Turn::Waiting) {
            return Ok(entry);
        }
        let _turn = self.room.lock().await;
        if let Some(entry) = self.living_entry(id, Turn::Taken) {
            return Ok(entry);
        }
        let stored = self.setup.catalog.find(id);
        let stored = stored.ok_or_else(|| ModelError::NotFound(id.clone()))?;
        let plan = (self.setup.plan)(&stored);
        if let Some(limit) = self.setup.budget.exceeded_by_one(plan.memory_bytes) {
            return Err(ModelError::TooLarge {
                id: id.clone(),
                needed: plan.memory_bytes,
                limit,
            });
        }
        self.make_room(id, plan.memory_bytes).await;
        self.begin(stored, plan)
    }

    /// Waits until the budget has room for a model.
    async fn make_room(&self, id: &ModelId, needed: u64) {
        let mut released = self.released.subscribe();
        let mut awaiting_idle = None;
        loop {
            released.mark_unchanged();
            match self.room_for(needed) {
                Room::Free => return,
                Room::After(victim) => {
                    tracing::info!(model.id = %victim, for_model.id = %id, "making room");
                    let _used_again = self.take_out(&victim);
                    continue;
                }
                Room::AfterClosing => {
                    awaiting_idle = None;
                    tracing::debug!(model.id = %id, "waiting until a model is unloaded");
                }
                Room::AfterIdle => {
                    awaiting_idle.get_or_insert_with(|| AwaitingIdle::begin(self));
                    tracing::debug!(model.id = %id, "waiting until a model is idle");
                }
            }
            let _never_closed = released.changed().await;
        }
    }

    /// Begins to load a model; the loading goes on when whoever wanted it has left.
    fn begin(&self, stored: Arc<StoredModel>, plan: Plan) -> Result<Arc<Entry>, ModelError> {
        let entry = Arc::new(Entry::new(&plan));
        let lease = Lease::new(&entry, &self.released);
        let id = stored.id.clone();
        {
            let mut state = self.state();
            let is_there = self.setup.catalog.find(&id).is_some();
            if !is_there || state.deleting.as_ref() == Some(&id) {
                return Err(ModelError::NotFound(id));
            }
            state.entries.insert(id, Arc::clone(&entry));
        }
        self.spawn(load(stored, plan, lease, self.setup.metrics.clone()));
        Ok(entry)
    }

    /// The model's entry, if it may be taken now; none where the last of its engines has died, or it
    /// failed some time ago.
    fn living_entry(&self, id: &ModelId, turn: Turn) -> Option<Arc<Entry>> {
        let mut state = self.state();
        if state.is_idle_awaited && turn == Turn::Waiting {
            return None;
        }
        let entry = state.entries.get(id)?;
        let dead = match entry.outcome.get() {
            Some(Ok(model)) if model.queue.is_closed() => {
                tracing::warn!(model.id = %id, "all engines have ended, loading the model again");
                self.setup.metrics.models_loaded.dec();
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

    fn room_for(&self, needed: u64) -> Room {
        let state = self.state();
        self.setup.budget.room_for(needed, held(&state))
    }
}

/// Whether a request has its turn at the `room` lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waiting,
    Taken,
}

/// A request waits until a model is idle, as long as this lives.
struct AwaitingIdle<'a>(&'a LoadedModels);

impl<'a> AwaitingIdle<'a> {
    fn begin(models: &'a LoadedModels) -> Self {
        models.state().is_idle_awaited = true;
        Self(models)
    }
}

impl Drop for AwaitingIdle<'_> {
    fn drop(&mut self) {
        self.0.state().is_idle_awaited = false;
    }
}

/// Everything that takes a part of the budget.
fn held(state: &State) -> impl Iterator<Item = Held<'_>> {
    let entries = state.entries.iter().filter(|(_, entry)| !entry.failed());
    let entries = entries.map(|(id, entry)| Held {
        id,
        memory_bytes: entry.memory_bytes,
        usage: match entry.idle_since() {
            Some(since) => Usage::Idle(since.into_std()),
            None => Usage::InUse,
        },
    });
    let closing = state.closing.iter().map(|closing| Held {
        id: &closing.id,
        memory_bytes: closing.memory_bytes,
        usage: Usage::Closing,
    });
    entries.chain(closing)
}

/// Loads a model, and tells the lease's entry how it ended.
async fn load(stored: Arc<StoredModel>, plan: Plan, lease: Lease, metrics: Metrics) {
    let id = stored.id.clone();
    let started = Instant::now();
    let loading = AssertUnwindSafe(LoadedModel::load(stored, plan, &metrics));
    let loaded = loading
        .catch_unwind()
        .await
        .unwrap_or_else(|_panic| Err(LoadError::Panicked));
    metrics.observe_load(loaded.is_ok(), started.elapsed());
    // Loading takes twice the weights' memory for a moment, or more.
    give_memory_back().await;
    let outcome = loaded.map_err(|error| {
        let reason = error_chain(&error);
        tracing::error!(model.id = %id, reason, "model could not be loaded");
        Failure {
            source: Arc::new(error),
            retry_at: Instant::now() + RETRY_AFTER,
        }
    });
    let _only_this_task_sets_it = lease.entry().outcome.set(outcome);
}
