//! The networks of speaker diarization in memory: loaded by the first request, shared by all.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Catalog, SpeakerModelError, StoreError, StoredSpeakerModel};
use halkspeech_audio::SpeakerModel;

/// The networks of speaker diarization.
pub struct SpeakerNetworks {
    catalog: Arc<Catalog>,
    /// Held while they are loaded, so that concurrent requests share one load.
    loaded: Mutex<Option<LoadedNetworks>>,
}

struct LoadedNetworks {
    stored: Arc<StoredSpeakerModel>,
    model: Arc<SpeakerModel>,
}

impl SpeakerNetworks {
    /// None is loaded yet.
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            loaded: Mutex::default(),
        }
    }

    /// The networks, which are loaded first if they are not in memory or were replaced on disk.
    ///
    /// # Errors
    /// [`SpeakerModelError`] if they are absent or cannot be loaded.
    pub async fn get(&self) -> Result<Arc<SpeakerModel>, SpeakerModelError> {
        let mut loaded = self.loaded.lock().await;
        let Some(stored) = self.catalog.speaker_model() else {
            *loaded = None;
            return Err(SpeakerModelError::NotFound);
        };
        if let Some(loaded) = &*loaded
            && loaded.stored == stored
        {
            return Ok(Arc::clone(&loaded.model));
        }
        let started = Instant::now();
        let folder = stored.dir.clone();
        let loading = tokio::task::spawn_blocking(move || SpeakerModel::load(&folder));
        let model = loading.await.map_err(|_| SpeakerModelError::Panicked)?;
        let model = model.map_err(|error| SpeakerModelError::Load(Arc::new(error)))?;
        let model = Arc::new(model);
        let loaded_in_ms = started.elapsed().as_millis() as u64;
        tracing::info!(model.id = %stored.id, loaded_in_ms, "model loaded");
        *loaded = Some(LoadedNetworks {
            stored,
            model: Arc::clone(&model),
        });
        Ok(model)
    }

    /// Whether they are in memory, or being loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        match self.loaded.try_lock() {
            Ok(loaded) => loaded.is_some(),
            Err(_being_loaded) => true,
        }
    }

    /// Deletes their files; requests that use them are not affected.
    ///
    /// # Errors
    /// [`StoreError`] if a file cannot be removed.
    pub async fn delete(&self, stored: Arc<StoredSpeakerModel>) -> Result<(), StoreError> {
        let mut loaded = self.loaded.lock().await;
        *loaded = None;
        self.catalog.delete_speaker_model(stored).await
    }
}
