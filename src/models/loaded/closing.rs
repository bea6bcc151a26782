//! A model that nobody can use any more and whose engines have not all ended.

use std::sync::{Arc, Mutex};

use tokio::sync::{SetOnce, watch};

use super::entry::Entry;
use super::memory::give_memory_back;
use super::{State, lock};
use crate::models::ModelId;
use crate::telemetry::Metrics;

/// A model that gives its memory back; the budget counts it until then.
pub(super) struct Closing {
    pub id: ModelId,
    pub memory_bytes: u64,
    ended: SetOnce<()>,
}

/// Marks the end of a [`Closing`] when it is dropped, however its task ends.
pub(super) struct Ending {
    pub closing: Arc<Closing>,
    pub state: Arc<Mutex<State>>,
    pub released: watch::Sender<()>,
}

impl Closing {
    pub fn new(id: &ModelId, entry: &Entry) -> Self {
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

impl Ending {
    /// Waits for the engines of the entry's model, as long as they take.
    pub async fn run(self, entry: Entry, metrics: Metrics) {
        if let Some(Ok(model)) = entry.outcome.into_inner() {
            model.close().await;
            metrics.models_loaded.dec();
            give_memory_back().await;
            tracing::info!(model.id = %self.closing.id, "model unloaded");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.state)
            .closing
            .retain(|other| !Arc::ptr_eq(other, &self.closing));
        let _only_set_here = self.closing.ended.set(());
        self.released.send_replace(());
    }
}
