//! Models in memory: loaded once however many ask, within a budget, unloaded after their idle time.
//!
//! A model that is wanted has an [`Entry`] from the moment its loading begins until it has been
//! unloaded. Whoever uses it holds the entry, so an entry with one owner is idle. New entries are
//! made in one place, past the `room` lock, which hands out turns in order of arrival.

mod budget;
mod entry;
mod memory;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use budget::Budget;
use budget::Room;
use entry::{Entry, Failure};
pub use entry::{InMemory, Lease};
use memory::give_memory_back;

use super::error::{DeleteError, LoadError, ModelError, UnloadError};
use super::{Catalog, Downloads, LoadedModel, ModelId, Plan, StoredModel};
use crate::telemetry::{Metrics, reasons};

/// A model whose loading failed is tried again by the first request after this time.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Everything that models in memory need to know.
pub struct Setup {
    /// The models on disk.
    pub catalog: Arc<Catalog>,
    /// The way to more of them.
    pub downloads: Arc<Downloads>,
    /// Whether a model that is not on disk is downloaded when somebody wants it.
    pub auto_download: bool,
    /// How each model is to be run.
    pub plan: Box<MakePlan>,
    /// What may be in memory at one time.
    pub budget: Budget,
    /// The server's metrics.
    pub metrics: Metrics,
}

/// Says how a model is to be run.
pub type MakePlan = dyn Fn(&StoredModel) -> Plan + Send + Sync;

/// The models in memory.
pub struct LoadedModels {
    setup: Setup,
    /// Held while room is being made, so that whoever came first gets it.
    room: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Written when an entry has one owner less, or memory is given back.
    released: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ModelId, Arc<Entry>>,
    /// Models that are giving their memory back, and how much.
    closing: Vec<(ModelId, u64)>,
    loading: JoinSet<()>,
}

impl LoadedModels {
    /// No model is loaded yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            room: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            released: watch::Sender::default(),
        }
    }

    /// The models on disk.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.setup.catalog
    }

    /// The way to more of them.
    #[must_use]
    pub fn downloads(&self) -> &Arc<Downloads> {
        &self.setup.downloads
    }

    /// Whether a request for this model has a chance: it is in memory or on disk, or will be fetched.
    #[must_use]
    pub fn is_known(&self, id: &ModelId) -> bool {
        self.setup.auto_download
            || self.setup.catalog.find(id).is_some()
            || self.is_loaded(&self.name(id))
    }

    /// Whether this model is in memory, or on its way there.
    #[must_use]
    pub fn is_loaded(&self, id: &ModelId) -> bool {
        let state = self.state();
        state.entries.get(id).is_some_and(|entry| !entry.failed())
    }

    /// The models in memory, by name.
    #[must_use]
    pub fn list(&self) -> Vec<InMemory> {
        let state = self.state();
        let mut list: Vec<_> = state.entries.values().filter_map(InMemory::of).collect();
        list.sort_by(|a, b| a.stored.id.cmp(&b.stored.id));
        list
    }

    /// The model with this name, loaded first if it is not; whoever else asks meanwhile waits for
    /// the same loading. Where the budget has no room, waits until a model is idle; whoever comes
    /// later waits behind, so that a busy model cannot keep others out for ever.
    ///
    /// # Errors
    /// [`ModelError`] when it is not on disk or cannot be loaded.
    pub async fn lease(&self, id: &ModelId) -> Result<Lease, ModelError> {
        if !self.is_loaded(&self.name(id)) {
            self.find(id).await?;
        }
        let id = &self.name(id);
        let entry = self.enter(id).await?;
        let lease = Lease::new(&entry, &self.released);
        match entry.outcome.wait().await {
            Ok(_) => Ok(lease),
            Err(failure) => Err(failure.error(id)),
        }
    }

    /// Loads the model, also when it has just failed; `false` when it was in memory already.
    ///
    /// # Errors
    /// As [`lease`](Self::lease).
    pub async fn load(&self, id: &ModelId) -> Result<bool, ModelError> {
        let id = &self.name(id);
        if self.is_loaded(id) {
            return Ok(false);
        }
        self.state()
            .entries
            .retain(|other, entry| other != id || !entry.failed());
        self.lease(id).await.map(|_lease| true)
    }

    /// Unloads the model, whose memory is given back when this returns.
    ///
    /// # Errors
    /// [`UnloadError`] when it is not in memory, or in use.
    pub async fn unload(&self, id: &ModelId) -> Result<(), UnloadError> {
        let id = &self.name(id);
        let model = {
            let mut state = self.state();
            let entry = state.entries.get(id).filter(|entry| !entry.failed());
            let entry = entry.ok_or_else(|| UnloadError::NotLoaded(id.clone()))?;
            // Leases are handed out under this lock, so a lone owner stays the only one.
            if Arc::strong_count(entry) > 1 {
                return Err(UnloadError::InUse(id.clone()));
            }
            let memory_bytes = entry.memory_bytes;
            state.closing.push((id.clone(), memory_bytes));
            let entry = state.entries.remove(id).and_then(Arc::into_inner);
            entry.and_then(|entry| entry.outcome.into_inner())
        };
        // Dropped in the end, however this future ends.
        let _closing = Closing { models: self, id };
        if let Some(Ok(model)) = model {
            model.close().await;
            self.setup.metrics.models_loaded.dec();
            give_memory_back().await;
            tracing::info!(model.id = %id, "model unloaded");
        }
        Ok(())
    }

    /// Deletes the model's files; it is unloaded first.
    ///
    /// # Errors
    /// [`DeleteError`] when it is not on disk or in use, or its files cannot be removed.
    pub async fn delete(&self, id: &ModelId) -> Result<(), DeleteError> {
        // Nobody begins to load it meanwhile.
        let _turn = self.room.lock().await;
        if self.setup.downloads.is_running(id) {
            return Err(DeleteError::Downloading(id.clone()));
        }
        if let Err(UnloadError::InUse(id)) = self.unload(id).await {
            return Err(DeleteError::InUse(id));
        }
        let Some(stored) = self.setup.catalog.find(id) else {
            return Err(DeleteError::NotFound(id.clone()));
        };
        let deleted = self.setup.catalog.delete(stored).await;
        deleted.map_err(|source| DeleteError::Store {
            id: id.clone(),
            source,
        })
    }

    /// Unloads idle models until it is dropped; drop it while it waits, not while it unloads.
    pub async fn unload_idle(&self, stop: impl Future<Output = ()>) {
        let mut released = self.released.subscribe();
        tokio::pin!(stop);
        loop {
            let mut next = None;
            for (id, until) in self.expiries() {
                if until <= Instant::now() {
                    let _used_again = self.unload(&id).await;
                } else {
                    next = next.into_iter().chain([until]).min();
                }
            }
            let wait = async {
                match next {
                    Some(moment) => tokio::time::sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                _ = released.changed() => {}
                () = &mut stop => return,
            }
        }
    }

    /// Unloads every model that nobody uses; what is still in use ends with the process.
    pub async fn unload_all(&self) {
        let mut loading = std::mem::take(&mut self.state().loading);
        while loading.join_next().await.is_some() {}
        let ids: Vec<_> = self.state().entries.keys().cloned().collect();
        for id in ids {
            let _in_use = self.unload(&id).await;
        }
    }

    /// The name a model is listed under: that of its branch, where it was asked for by commit.
    fn name(&self, id: &ModelId) -> ModelId {
        let stored = self.setup.catalog.find(id);
        stored.map_or_else(|| id.clone(), |stored| stored.id.clone())
    }

    /// The model on disk, downloaded first where that is wanted.
    async fn find(&self, id: &ModelId) -> Result<Arc<StoredModel>, ModelError> {
        if let Some(stored) = self.setup.catalog.find(id) {
            return Ok(stored);
        }
        if !self.setup.auto_download {
            return Err(ModelError::NotFound(id.clone()));
        }
        let downloaded = self.setup.downloads.start(id).finished().await;
        downloaded.map_err(|source| ModelError::Download {
            id: id.clone(),
            source,
        })?;
        let found = self.setup.catalog.find(id);
        found.ok_or_else(|| ModelError::NotFound(id.clone()))
    }

    /// The model's entry; where there is none, its loading is begun as soon as there is room.
    async fn enter(&self, id: &ModelId) -> Result<Arc<Entry>, ModelError> {
        let _turn = self.room.lock().await;
        if let Some(entry) = self.living_entry(id) {
            return Ok(entry);
        }
        let stored = self.setup.catalog.find(id);
        let stored = stored.ok_or_else(|| ModelError::NotFound(id.clone()))?;
        let plan = (self.setup.plan)(&stored);
        let needed = plan.memory_bytes;
        if let Some(limit) = self.setup.budget.exceeded_by_one(needed) {
            return Err(ModelError::TooLarge {
                id: id.clone(),
                needed,
                limit,
            });
        }
        let mut released = self.released.subscribe();
        loop {
            released.mark_unchanged();
            match self.room_for(needed) {
                Room::Free => break,
                Room::After(victim) => {
                    tracing::info!(model.id = %victim, for_model.id = %id, "making room");
                    let _used_again = self.unload(&victim).await;
                }
                Room::None => {
                    tracing::debug!(model.id = %id, "waiting until a model is idle");
                    let _never_closed = released.changed().await;
                }
            }
        }
        Ok(self.begin(stored, plan))
    }

    /// Begins to load a model; the loading goes on when whoever wanted it has left.
    fn begin(&self, stored: Arc<StoredModel>, plan: Plan) -> Arc<Entry> {
        let entry = Arc::new(Entry::new(&plan));
        let id = stored.id.clone();
        let metrics = self.setup.metrics.clone();
        let lease = Lease::new(&entry, &self.released);
        let load = {
            let id = id.clone();
            async move {
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
                    let reason = reasons(&error);
                    tracing::error!(model.id = %id, reason, "model could not be loaded");
                    Failure {
                        source: Arc::new(error),
                        retry_at: Instant::now() + RETRY_AFTER,
                    }
                });
                let _only_this_task_sets_it = lease.entry().outcome.set(outcome);
            }
        };
        let mut state = self.state();
        while state.loading.try_join_next().is_some() {}
        state.loading.spawn(load);
        state.entries.insert(id, Arc::clone(&entry));
        entry
    }

    /// The model's entry; none where the last of its engines has died, or it failed some time ago.
    fn living_entry(&self, id: &ModelId) -> Option<Arc<Entry>> {
        let mut state = self.state();
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

    /// Idle models and the moments at which they are to be unloaded.
    fn expiries(&self) -> Vec<(ModelId, Instant)> {
        let state = self.state();
        let expiry = |(id, entry): (&ModelId, &Arc<Entry>)| {
            let idle_since = entry.idle_since()?;
            Some((id.clone(), idle_since + entry.idle_time?))
        };
        state.entries.iter().filter_map(expiry).collect()
    }

    fn room_for(&self, needed: u64) -> Room {
        let state = self.state();
        let held = state.entries.iter().filter(|(_, entry)| !entry.failed());
        let held = held.map(|(id, entry)| budget::Held {
            id,
            memory_bytes: entry.memory_bytes,
            idle_since: entry.idle_since().map(Instant::into_std),
        });
        let closing = state.closing.iter().map(|(id, memory_bytes)| budget::Held {
            id,
            memory_bytes: *memory_bytes,
            idle_since: None,
        });
        self.setup.budget.room_for(needed, held.chain(closing))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Memory that is being given back; when it is dropped, it has been.
struct Closing<'a> {
    models: &'a LoadedModels,
    id: &'a ModelId,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.models.state();
        if let Some(at) = state.closing.iter().position(|(id, _)| id == self.id) {
            state.closing.swap_remove(at);
        }
        drop(state);
        self.models.released.send_replace(());
    }
}

/// Locks; what these locks guard is whole between any two statements, so a panic elsewhere
/// while one was held does not matter.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
