//! Models in memory: loaded once however many ask, unloaded after their idle time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, OnceCell, mpsc};
use tokio::time::Instant;

use super::{ModelId, Store, StoredModel};
use crate::batch::{Batcher, Limits};
use crate::engine::{EngineError, EngineFactory, worker};
use crate::features::LogMel;
use crate::queue::{self, QueueHandle};
use crate::telemetry::Metrics;
use crate::tokens::{Vocabulary, VocabularyError};

/// Everything that loading a model needs to know.
pub struct Load {
    /// Where models are on disk.
    pub store: Store,
    /// Makes the engines for a model: one factory an engine.
    pub engines: Box<EngineFactories>,
    /// The micro-batcher's knobs.
    pub limits: Limits,
    /// Bound of a model's queue, in windows.
    pub queue_capacity: usize,
    /// Idle time after which a model is unloaded; none: never.
    pub idle_time: Option<Duration>,
    /// The server's metrics.
    pub metrics: Metrics,
}

/// Gives a model one factory for each engine that is to run it.
pub type EngineFactories =
    dyn Fn(&StoredModel, &Arc<Vocabulary>) -> Vec<EngineFactory> + Send + Sync;

/// The models in memory.
pub struct LoadedModels {
    load: Load,
    entries: Mutex<HashMap<ModelId, Arc<Entry>>>,
    released: Notify,
}

/// A model in memory: its engines run and its queue is open.
pub struct LoadedModel {
    /// The model on disk.
    pub stored: StoredModel,
    /// Its tokens.
    pub vocabulary: Arc<Vocabulary>,
    /// Its features.
    pub log_mel: Arc<LogMel>,
    /// The way to its engines.
    pub queue: QueueHandle,
    batcher: tokio::task::JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

/// Keeps a loaded model in memory.
pub struct Lease<'a> {
    entry: Option<Arc<Entry>>,
    released: &'a Notify,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No whole model with this name is on disk.
    #[error("model {0} is not on disk")]
    NotFound(ModelId),
    /// Its vocabulary cannot be read.
    #[error("model {id} has no readable vocabulary")]
    Vocabulary {
        /// The model.
        id: ModelId,
        /// What is wrong with it.
        #[source]
        source: VocabularyError,
    },
    /// Its engine cannot be made.
    #[error("model {id} cannot be loaded")]
    Engine {
        /// The model.
        id: ModelId,
        /// What the engine said.
        #[source]
        source: EngineError,
    },
}

#[derive(Default)]
struct Entry {
    model: OnceCell<LoadedModel>,
    idle_since: Mutex<Option<Instant>>,
}

impl LoadedModels {
    /// No model is loaded yet.
    #[must_use]
    pub fn new(load: Load) -> Self {
        Self {
            load,
            entries: Mutex::default(),
            released: Notify::new(),
        }
    }

    /// Where models are on disk.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.load.store
    }

    /// Names of the models in memory.
    #[must_use]
    pub fn names(&self) -> Vec<ModelId> {
        let entries = self.lock();
        let loaded = entries
            .iter()
            .filter(|(_, entry)| entry.model.initialized());
        loaded.map(|(id, _)| id.clone()).collect()
    }

    /// Whether a model of this name is in memory or on disk.
    pub async fn exists(&self, id: &ModelId) -> bool {
        let is_loaded = self
            .lock()
            .get(id)
            .is_some_and(|entry| entry.model.initialized());
        let (store, id) = (self.load.store.clone(), id.clone());
        let on_disk = move || store.find(&id).is_some();
        // A search that panicked is left to the loading, which says what is wrong.
        is_loaded || tokio::task::spawn_blocking(on_disk).await.unwrap_or(true)
    }

    /// The model with this name, loaded first if it is not; whoever else asks meanwhile waits
    /// for the same loading.
    ///
    /// # Errors
    /// [`ModelError`] when it is not on disk or cannot be loaded.
    pub async fn lease(&self, id: &ModelId) -> Result<Lease<'_>, ModelError> {
        let entry = self.living_entry(id);
        let lease = Lease {
            entry: Some(Arc::clone(&entry)),
            released: &self.released,
        };
        match entry.model.get_or_try_init(|| self.load.run(id)).await {
            Ok(_) => Ok(lease),
            Err(error) => {
                drop((entry, lease));
                self.forget_unloaded(id);
                Err(error)
            }
        }
    }

    /// Unloads idle models until `stop` completes; an unloading that has begun is finished first.
    pub async fn unload_idle(&self, stop: impl Future<Output = ()>) {
        let Some(idle_time) = self.load.idle_time else {
            return stop.await;
        };
        tokio::pin!(stop);
        loop {
            let mut next = None;
            for (id, since) in self.idle() {
                let until = since + idle_time;
                if until <= Instant::now() {
                    self.unload(&id).await;
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
                () = self.released.notified() => {}
                () = &mut stop => return,
            }
        }
    }

    /// Unloads every model that nobody uses; what is still in use ends with the process.
    pub async fn unload_all(&self) {
        for id in self.names() {
            self.unload(&id).await;
        }
    }

    /// The model's entry; a new one where the last of its engines has died.
    fn living_entry(&self, id: &ModelId) -> Arc<Entry> {
        let mut entries = self.lock();
        let entry = entries.entry(id.clone()).or_default();
        if entry
            .model
            .get()
            .is_some_and(|model| model.queue.is_closed())
        {
            tracing::warn!(model.id = %id, "all engines have ended, loading the model again");
            *entry = Arc::default();
        }
        Arc::clone(entry)
    }

    async fn unload(&self, id: &ModelId) {
        let removed = {
            let mut entries = self.lock();
            // Leases are handed out under this lock, so a lone owner stays the only one.
            match entries.get(id) {
                Some(entry) if Arc::strong_count(entry) == 1 => entries.remove(id),
                _ => None,
            }
        };
        if let Some(model) = removed
            .and_then(Arc::into_inner)
            .and_then(|e| e.model.into_inner())
        {
            model.close().await;
            tracing::info!(model.id = %id, "model unloaded");
        }
    }

    /// Idle models and the moments since when they are.
    fn idle(&self) -> Vec<(ModelId, Instant)> {
        let entries = self.lock();
        let idle = entries
            .iter()
            .filter(|(_, entry)| Arc::strong_count(entry) == 1);
        idle.filter_map(|(id, entry)| Some((id.clone(), (*lock(&entry.idle_since))?)))
            .collect()
    }

    /// Forgets a model whose loading failed, unless somebody is trying again.
    fn forget_unloaded(&self, id: &ModelId) {
        let mut entries = self.lock();
        if entries
            .get(id)
            .is_some_and(|entry| Arc::strong_count(entry) == 1 && !entry.model.initialized())
        {
            entries.remove(id);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ModelId, Arc<Entry>>> {
        lock(&self.entries)
    }
}

impl Load {
    async fn run(&self, id: &ModelId) -> Result<LoadedModel, ModelError> {
        let started = Instant::now();
        let (stored, vocabulary) = self.read(id).await?;
        let engine_error = |source| ModelError::Engine {
            id: id.clone(),
            source,
        };

        let factories = (self.engines)(&stored, &vocabulary);
        let (queue, receiver) = queue::bounded(self.queue_capacity);
        let (slots, engines) = mpsc::channel(factories.len().max(1));
        let mut workers = Vec::new();
        let mut loading = Vec::new();
        for (number, factory) in factories.into_iter().enumerate() {
            let name = format!("engine-{id}-{number}");
            let (worker, loaded) =
                worker::spawn(&name, factory, slots.clone(), self.metrics.clone())
                    .map_err(|error| engine_error(EngineError::Load(error.to_string())))?;
            workers.push(worker);
            loading.push(loaded);
        }
        // From here on only the engines hold the sending side: when the last one ends, the
        // batcher hears of it.
        drop(slots);
        let mut n_mels = 0;
        for loaded in loading {
            let gone = || EngineError::Load("engine thread ended while loading".to_owned());
            n_mels = loaded
                .await
                .map_err(|_| engine_error(gone()))?
                .map_err(engine_error)?;
        }
        let batcher = Batcher::new(receiver, engines, self.limits, self.metrics.clone());
        let engines = workers.len();
        let loaded_in_ms = started.elapsed().as_millis() as u64;
        tracing::info!(model.id = %id, engines, loaded_in_ms, "model loaded");
        Ok(LoadedModel {
            stored,
            vocabulary,
            log_mel: Arc::new(LogMel::new(n_mels)),
            queue,
            batcher: tokio::spawn(batcher.run()),
            workers,
        })
    }

    async fn read(&self, id: &ModelId) -> Result<(StoredModel, Arc<Vocabulary>), ModelError> {
        let (store, id) = (self.store.clone(), id.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let stored = store
                .find(&id)
                .ok_or_else(|| ModelError::NotFound(id.clone()))?;
            let vocabulary = Vocabulary::load(&stored.dir)
                .map_err(|source| ModelError::Vocabulary { id, source })?;
            Ok((stored, Arc::new(vocabulary)))
        });
        match reading.await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl LoadedModel {
    /// Closes the queue, lets the batcher finish what is in it, and joins the engines.
    async fn close(self) {
        let Self {
            queue,
            batcher,
            workers,
            ..
        } = self;
        drop(queue);
        let _ended = batcher.await;
        let joining = tokio::task::spawn_blocking(move || {
            for worker in workers {
                let _ended = worker.join();
            }
        });
        let _ended = joining.await;
    }
}

impl std::ops::Deref for Lease<'_> {
    type Target = LoadedModel;

    fn deref(&self) -> &LoadedModel {
        let entry = self
            .entry
            .as_ref()
            .expect("taken only when the lease is dropped");
        entry
            .model
            .get()
            .expect("a lease is handed out after loading")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            *lock(&entry.idle_since) = Some(Instant::now());
            // The entry goes first: whoever is woken must see one owner less.
            drop(entry);
            self.released.notify_one();
        }
    }
}

/// Locks; what these locks guard is whole between any two statements, so a panic elsewhere
/// while one was held does not matter.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
