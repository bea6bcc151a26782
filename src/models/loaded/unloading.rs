//! A model that is being unloaded: no longer available, but not all of its engines have ended.

use std::sync::{Arc, Mutex};

use tokio::sync::{SetOnce, watch};

use super::allocator_memory::release_unused_memory;
use super::entry::LoadedEntry;
use super::{State, lock};
use crate::models::ModelId;
use crate::telemetry::Metrics;

/// A model that is being unloaded; it counts against the budget until its memory is free.
pub(super) struct UnloadingModel {
    pub id: ModelId,
    pub memory_bytes: u64,
    ended: SetOnce<()>,
}

/// Marks an [`UnloadingModel`] as ended when dropped, however its task ends.
pub(super) struct UnloadTask {
    pub model: Arc<UnloadingModel>,
    pub state: Arc<Mutex<State>>,
    pub released: watch::Sender<()>,
}

impl UnloadingModel {
    pub fn new(id: &ModelId, entry: &LoadedEntry) -> Self {
        Self {
            id: id.clone(),
            memory_bytes: entry.memory_bytes,
            ended: SetOnce::new(),
        }
    }

    /// Completes when the memory is free.
    pub async fn ended(&self) {
        self.ended.wait().await;
    }
}

impl UnloadTask {
    /// Waits for the engines of the entry's model, without a time limit.
    pub async fn run(self, entry: LoadedEntry, metrics: Metrics) {
        if let Some(Ok(model)) = entry.outcome.into_inner() {
            model.close().await;
            metrics.models_loaded.dec();
            release_unused_memory().await;
            tracing::info!(model.id = %self.model.id, "model unloaded");
        }
    }
}

impl Drop for UnloadTask {
    fn drop(&mut self) {
        lock(&self.state)
            .unloading
            .retain(|other| !Arc::ptr_eq(other, &self.model));
        let _only_set_here = self.model.ended.set(());
        self.released.send_replace(());
    }
}
