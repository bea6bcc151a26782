//! Models in memory: loaded once however many ask, within a budget, unloaded after their idle time.
//!
//! A model that is wanted has an [`Entry`] from the moment its loading begins until it is taken out
//! to be unloaded. Whoever uses it holds the entry, so an entry with one owner is idle. New entries
//! are made in one place (`room.rs`), past the `room` lock, which hands out turns in order of
//! arrival. A model that was taken out is a [`Closing`] until its engines have ended: a task waits for
//! them, and no lock is held meanwhile.

mod budget;
mod closing;
mod entry;
mod memory;
mod room;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use budget::Budget;
use closing::{Closing, Ending};
use entry::Entry;
pub use entry::{InMemory, Lease};

use super::error::{DeleteError, ModelError, UnloadError};
use super::{Catalog, Downloads, ModelId, Plan, StoredModel};
use crate::telemetry::Metrics;

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
    /// Held while a model's files are being deleted.
    deletion: tokio::sync::Mutex<()>,
    state: Arc<Mutex<State>>,
    /// Loadings and unloadings under way.
    tasks: Mutex<JoinSet<()>>,
    /// Written when an entry has one owner less, or memory is given back.
    released: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ModelId, Arc<Entry>>,
    /// Models that are giving their memory back.
    closing: Vec<Arc<Closing>>,
    /// The model whose files are being deleted; it is not loaded meanwhile.
    deleting: Option<ModelId>,
    /// Whether a request waits until a model is idle: then later ones wait behind it.
    is_idle_awaited: bool,
}

impl LoadedModels {
    /// No model is loaded yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            room: tokio::sync::Mutex::default(),
            deletion: tokio::sync::Mutex::default(),
            state: Arc::default(),
            tasks: Mutex::default(),
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

    /// Unloads the model, whose memory is given back when this returns. Whoever leaves does not stop
    /// it.
    ///
    /// # Errors
    /// [`UnloadError`] when it is not in memory, or in use.
    pub async fn unload(&self, id: &ModelId) -> Result<(), UnloadError> {
        self.take_out(id)?.ended().await;
        Ok(())
    }

    /// Deletes the model's files; it is taken out of use first, and its memory is given back later.
    ///
    /// # Errors
    /// [`DeleteError`] when it is not on disk or in use, or its files cannot be removed.
    pub async fn delete(&self, id: &ModelId) -> Result<(), DeleteError> {
        let _turn = self.deletion.lock().await;
        if self.setup.downloads.is_running(id) {
            return Err(DeleteError::Downloading(id.clone()));
        }
        // Nobody begins to load it meanwhile.
        let _deleting = Deleting::begin(self, id);
        if let Err(UnloadError::InUse(id)) = self.take_out(id) {
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

    /// Unloads idle models until it is dropped, which stops no unloading that has begun.
    pub async fn unload_idle(&self) {
        let mut released = self.released.subscribe();
        loop {
            let mut next = None;
            for (id, until) in self.expiries() {
                if until <= Instant::now() {
                    let _used_again = self.take_out(&id);
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

    /// Unloads every model that nobody uses. What is in use, or does not end within the time of
    /// `patience`, ends with the process.
    pub async fn unload_all(&self, patience: Duration) {
        let unloading = async {
            self.tasks_end().await;
            let ids: Vec<_> = self.state().entries.keys().cloned().collect();
            for id in ids {
                let _in_use = self.take_out(&id);
            }
            self.tasks_end().await;
        };
        if tokio::time::timeout(patience, unloading).await.is_err() {
            tracing::warn!("engines still work, and end with the process");
        }
    }

    /// Takes a model out of use; a task waits for its engines and gives its memory back.
    fn take_out(&self, id: &ModelId) -> Result<Arc<Closing>, UnloadError> {
        let id = &self.name(id);
        let mut state = self.state();
        let entry = state.entries.get(id).filter(|entry| !entry.failed());
        let not_loaded = || UnloadError::NotLoaded(id.clone());
        // Leases are handed out under this lock, so a lone owner stays the only one.
        if Arc::strong_count(entry.ok_or_else(not_loaded)?) > 1 {
            return Err(UnloadError::InUse(id.clone()));
        }
        let entry = state.entries.remove(id).and_then(Arc::into_inner);
        let entry = entry.ok_or_else(not_loaded)?;
        let closing = Arc::new(Closing::new(id, &entry));
        state.closing.push(Arc::clone(&closing));
        drop(state);
        let ending = Ending {
            closing: Arc::clone(&closing),
            state: Arc::clone(&self.state),
            released: self.released.clone(),
        };
        self.spawn(ending.run(entry, self.setup.metrics.clone()));
        Ok(closing)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn tasks_end(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
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

    /// Idle models and the moments at which they are to be unloaded. One is left out while an earlier
    /// copy of it is being unloaded: requests that leave must not make more and more of them.
    fn expiries(&self) -> Vec<(ModelId, Instant)> {
        let state = self.state();
        let expiry = |(id, entry): (&ModelId, &Arc<Entry>)| {
            let idle_since = entry.idle_since()?;
            if state.closing.iter().any(|closing| closing.id == *id) {
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

/// Keeps a model from being loaded until it is dropped.
struct Deleting<'a>(&'a LoadedModels);

impl<'a> Deleting<'a> {
    fn begin(models: &'a LoadedModels, id: &ModelId) -> Self {
        let id = models.name(id);
        models.state().deleting = Some(id);
        Self(models)
    }
}

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.0.state().deleting = None;
    }
}

/// Locks; what these locks guard is whole between any two statements, so a panic elsewhere
/// while one was held does not matter.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
