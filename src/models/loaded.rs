//! Loaded models: each is loaded once for all concurrent requests, within a budget, and unloaded after
//! its idle time.
//!
//! A model has a [`LoadedEntry`] from the start of its loading until its unloading begins. Each user
//! holds the entry, so an entry with one owner is idle. New entries are made in one place
//! (`acquire.rs`), under the `load_turn` lock, which is fair. A removed model is an [`UnloadingModel`]
//! until its engines have ended: a task waits for them, without holding a lock.

mod budget;
mod unloading;
mod entry;
mod allocator_memory;
mod acquire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use acquire::RETRY_AFTER;
pub use budget::ModelBudget;
use entry::LoadedEntry;
pub use entry::{LoadedModelInfo, ModelLease};
use unloading::{UnloadTask, UnloadingModel};

use super::error::{DeleteError, ModelError, UnloadError};
use super::{Catalog, Downloads, ModelId, ModelPlan, SpeakerNetworks, StoredModel};
use crate::telemetry::Metrics;

/// What [`LoadedModels`] is made from.
pub struct LoadedModelsConfig {
    /// The models on disk.
    pub catalog: Arc<Catalog>,
    /// Downloads of models that are not on disk.
    pub downloads: Arc<Downloads>,
    /// Whether a requested model that is not on disk is downloaded.
    pub auto_download: bool,
    /// Gives each model's plan.
    pub plan: Box<ModelPlanner>,
    /// Bounds on the loaded models.
    pub budget: ModelBudget,
    /// The server's metrics.
    pub metrics: Metrics,
}

/// Decides how a model is run.
pub type ModelPlanner = dyn Fn(&StoredModel) -> ModelPlan + Send + Sync;

/// The models in memory.
pub struct LoadedModels {
    config: LoadedModelsConfig,
    speakers: SpeakerNetworks,
    /// Held by the request that waits for the budget; fair, so requests load in order of arrival.
    load_turn: tokio::sync::Mutex<()>,
    /// Held while a model's files are being deleted.
    deletion: tokio::sync::Mutex<()>,
    state: Arc<Mutex<State>>,
    /// Tasks that load or unload a model.
    tasks: Mutex<JoinSet<()>>,
    /// Notified when an entry loses an owner or memory is released.
    released: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ModelId, Arc<LoadedEntry>>,
    /// Models whose memory is not yet free.
    unloading: Vec<Arc<UnloadingModel>>,
    /// The model whose files are being deleted; it is not loaded meanwhile.
    deleting: Option<ModelId>,
    /// Whether a request waits until a model is idle; later requests then queue behind it.
    has_idle_waiter: bool,
}

impl LoadedModels {
    /// No model is loaded yet.
    #[must_use]
    pub fn new(config: LoadedModelsConfig) -> Self {
        Self {
            speakers: SpeakerNetworks::new(Arc::clone(&config.catalog)),
            config,
            load_turn: tokio::sync::Mutex::default(),
            deletion: tokio::sync::Mutex::default(),
            state: Arc::default(),
            tasks: Mutex::default(),
            released: watch::Sender::default(),
        }
    }

    /// The models on disk.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.config.catalog
    }

    /// The networks of speaker diarization, which are not part of the budget.
    #[must_use]
    pub fn speakers(&self) -> &SpeakerNetworks {
        &self.speakers
    }

    /// Downloads of models that are not on disk.
    #[must_use]
    pub fn downloads(&self) -> &Arc<Downloads> {
        &self.config.downloads
    }

    /// Whether a request for this model can succeed: it is loaded, on disk, or may be downloaded.
    #[must_use]
    pub fn is_known(&self, id: &ModelId) -> bool {
        self.config.auto_download
            || self.config.catalog.find(id).is_some()
            || self.is_loaded(&self.name(id))
    }

    /// Whether this model is loaded or being loaded.
    #[must_use]
    pub fn is_loaded(&self, id: &ModelId) -> bool {
        let state = self.state();
        state.entries.get(id).is_some_and(|entry| !entry.failed())
    }

    /// The loaded models, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<LoadedModelInfo> {
        let state = self.state();
        let mut list: Vec<_> = state
            .entries
            .values()
            .filter_map(LoadedModelInfo::of)
            .collect();
        list.sort_by(|a, b| a.stored.id.cmp(&b.stored.id));
        list
    }

    /// The model with this name, loaded first if necessary; concurrent requests share one load. If the
    /// budget does not allow it, waits until a model is idle; later requests queue behind it, so that a
    /// busy model cannot block others for ever.
    ///
    /// # Errors
    /// [`ModelError`] when it is not on disk or cannot be loaded.
    pub async fn lease(&self, id: &ModelId) -> Result<ModelLease, ModelError> {
        if !self.is_loaded(&self.name(id)) {
            self.find(id).await?;
        }
        let id = &self.name(id);
        let entry = self.acquire_entry(id).await?;
        let lease = ModelLease::new(&entry, &self.released);
        match entry.outcome.wait().await {
            Ok(_) => Ok(lease),
            Err(failure) => Err(failure.error(id)),
        }
    }

    /// Loads the model, even if loading has just failed; `false` if it was loaded already.
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

    /// Unloads the model; its memory is free when this returns. Unloading continues even if the caller
    /// is cancelled.
    ///
    /// # Errors
    /// [`UnloadError`] when it is not loaded, or in use.
    pub async fn unload(&self, id: &ModelId) -> Result<(), UnloadError> {
        self.begin_unload(id)?.ended().await;
        Ok(())
    }

    /// Deletes the model's files; it is unloaded first, and its memory may be freed later.
    ///
    /// # Errors
    /// [`DeleteError`] when it is not on disk or in use, or its files cannot be removed.
    pub async fn delete(&self, id: &ModelId) -> Result<(), DeleteError> {
        let _turn = self.deletion.lock().await;
        if self.config.downloads.is_running(id) {
            return Err(DeleteError::Downloading(id.clone()));
        }
        // Prevents a load of it meanwhile.
        let _deleting = DeletionGuard::begin(self, id);
        if let Err(UnloadError::InUse(id)) = self.begin_unload(id) {
            return Err(DeleteError::InUse(id));
        }
        let Some(stored) = self.config.catalog.find(id) else {
            return Err(DeleteError::NotFound(id.clone()));
        };
        let deleted = self.config.catalog.delete(stored).await;
        deleted.map_err(|source| DeleteError::Store {
            id: id.clone(),
            source,
        })
    }

    /// Unloads idle models until it is dropped; an unload that has begun continues.
    pub async fn unload_idle(&self) {
        let mut released = self.released.subscribe();
        loop {
            let mut next = None;
            for (id, until) in self.expiries() {
                if until <= Instant::now() {
                    let _used_again = self.begin_unload(&id);
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
            }
        }
    }

    /// Unloads every idle model. Models that are in use, or do not end within `timeout`, end with the
    /// process.
    pub async fn unload_all(&self, timeout: Duration) {
        let unloading = async {
            self.join_tasks().await;
            let ids: Vec<_> = self.state().entries.keys().cloned().collect();
            for id in ids {
                let _in_use = self.begin_unload(&id);
            }
            self.join_tasks().await;
        };
        if tokio::time::timeout(timeout, unloading).await.is_err() {
            tracing::warn!("engines are still running and end with the process");
        }
    }

    /// Removes a model's entry; a task waits for its engines and releases its memory.
    fn begin_unload(&self, id: &ModelId) -> Result<Arc<UnloadingModel>, UnloadError> {
        let id = &self.name(id);
        let mut state = self.state();
        let entry = state.entries.get(id).filter(|entry| !entry.failed());
        let not_loaded = || UnloadError::NotLoaded(id.clone());
        // Leases are created under this lock, so a single owner stays the only one.
        if Arc::strong_count(entry.ok_or_else(not_loaded)?) > 1 {
            return Err(UnloadError::InUse(id.clone()));
        }
        let entry = state.entries.remove(id).and_then(Arc::into_inner);
        let entry = entry.ok_or_else(not_loaded)?;
        let model = Arc::new(UnloadingModel::new(id, &entry));
        state.unloading.push(Arc::clone(&model));
        drop(state);
        let task = UnloadTask {
            model: Arc::clone(&model),
            state: Arc::clone(&self.state),
            released: self.released.clone(),
        };
        self.spawn(task.run(entry, self.config.metrics.clone()));
        Ok(model)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn join_tasks(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }

    /// The name a model is listed under: that of its branch if it was requested by commit.
    fn name(&self, id: &ModelId) -> ModelId {
        let stored = self.config.catalog.find(id);
        stored.map_or_else(|| id.clone(), |stored| stored.id.clone())
    }

    /// The model on disk, downloaded first if that is enabled.
    async fn find(&self, id: &ModelId) -> Result<Arc<StoredModel>, ModelError> {
        if let Some(stored) = self.config.catalog.find(id) {
            return Ok(stored);
        }
        if !self.config.auto_download {
            return Err(ModelError::NotFound(id.clone()));
        }
        let downloaded = self.config.downloads.start(id).finished().await;
        downloaded.map_err(|source| ModelError::Download {
            id: id.clone(),
            source,
        })?;
        let found = self.config.catalog.find(id);
        found.ok_or_else(|| ModelError::NotFound(id.clone()))
    }

    /// Idle models and their unload times. A model is omitted while an earlier copy of it is being
    /// unloaded: cancelled requests must not accumulate copies.
    fn expiries(&self) -> Vec<(ModelId, Instant)> {
        let state = self.state();
        let expiry = |(id, entry): (&ModelId, &Arc<LoadedEntry>)| {
            let idle_since = entry.idle_since()?;
            if state.unloading.iter().any(|model| model.id == *id) {
                return None;
            }
            Some((id.clone(), idle_since + entry.idle_time?))
        };
        state.entries.iter().filter_map(expiry).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Prevents a model from being loaded while it exists.
struct DeletionGuard<'a>(&'a LoadedModels);

impl<'a> DeletionGuard<'a> {
    fn begin(models: &'a LoadedModels, id: &ModelId) -> Self {
        let id = models.name(id);
        models.state().deleting = Some(id);
        Self(models)
    }
}

impl Drop for DeletionGuard<'_> {
    fn drop(&mut self) {
        self.0.state().deleting = None;
    }
}

/// Locks, ignoring poisoning: the guarded data is consistent between any two statements, so a panic
/// while a lock was held does no harm.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
