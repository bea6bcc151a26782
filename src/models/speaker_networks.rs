//! The networks of speaker diarization in memory: loaded by the first request, shared by all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::loaded::RETRY_AFTER;
use super::{Catalog, SpeakerModelError, StoreError, StoredSpeakerModel};
use halkspeech_audio::{SpeakerModel, WeightsError};

/// The networks of speaker diarization.
pub struct SpeakerNetworks {
    catalog: Arc<Catalog>,
    load: Arc<Loader>,
    /// The last load. Held during a load, so that concurrent requests share it.
    last: Arc<Mutex<Option<Load>>>,
}

/// Loads the networks from a folder; blocks meanwhile.
type Loader = dyn Fn(&Path) -> Result<SpeakerModel, WeightsError> + Send + Sync;

/// A load that has ended.
struct Load {
    stored: Arc<StoredSpeakerModel>,
    result: Result<Arc<SpeakerModel>, SpeakerModelError>,
    ended: Instant,
}

impl SpeakerNetworks {
    /// None is loaded yet.
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self::with_loader(catalog, Arc::new(SpeakerModel::load))
    }

    fn with_loader(catalog: Arc<Catalog>, load: Arc<Loader>) -> Self {
        Self {
            catalog,
            load,
            last: Arc::default(),
        }
    }

    /// The networks, which are loaded first if they are not in memory or were replaced on disk. A failed load is
    /// repeated by the first request after some time.
    ///
    /// # Errors
    /// [`SpeakerModelError`] if they are absent or cannot be loaded.
    pub async fn get(&self) -> Result<Arc<SpeakerModel>, SpeakerModelError> {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        let Some(stored) = self.catalog.speaker_model() else {
            *last = None;
            return Err(SpeakerModelError::NotFound);
        };
        if let Some(load) = last.as_ref().filter(|load| load.holds_for(&stored)) {
            return load.result.clone();
        }
        *last = None;
        let load = Arc::clone(&self.load);
        // The lock goes with the load, which a cancelled request does not end: the next one shares its result.
        let loading = tokio::task::spawn_blocking(move || {
            let load = Load::run(stored, &*load);
            let result = load.result.clone();
            *last = Some(load);
            result
        });
        loading.await.unwrap_or(Err(SpeakerModelError::Panicked))
    }

    /// Whether they are in memory, or being loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        match self.last.try_lock() {
            Ok(last) => last.as_ref().is_some_and(|load| load.result.is_ok()),
            Err(_being_loaded) => true,
        }
    }

    /// Deletes their files; requests that use them are not affected.
    ///
    /// # Errors
    /// [`StoreError`] if a file cannot be removed.
    pub async fn delete(&self, stored: Arc<StoredSpeakerModel>) -> Result<(), StoreError> {
        let mut last = self.last.lock().await;
        *last = None;
        self.catalog.delete_speaker_model(stored).await
    }
}

impl Load {
    fn run(stored: Arc<StoredSpeakerModel>, load: &Loader) -> Self {
        let started = Instant::now();
        let loaded = catch_unwind(AssertUnwindSafe(|| load(&stored.dir)));
        let ended = Instant::now();
        let result = match loaded {
            Ok(Ok(model)) => {
                let loaded_in_ms = (ended - started).as_millis() as u64;
                tracing::info!(model.id = %stored.id, loaded_in_ms, "model loaded");
                Ok(Arc::new(model))
            }
            Ok(Err(error)) => Err(SpeakerModelError::Load(Arc::new(error))),
            Err(_panic) => Err(SpeakerModelError::Panicked),
        };
        Self {
            stored,
            result,
            ended,
        }
    }

    /// Whether its result is that of a new load of these files: a failure only for some time.
    fn holds_for(&self, stored: &Arc<StoredSpeakerModel>) -> bool {
        self.stored == *stored && (self.result.is_ok() || self.ended.elapsed() < RETRY_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;
    use crate::models::{Store, files};

    /// Networks whose files cannot be used; `loading` is called by each load.
    fn networks(loading: impl Fn() + Send + Sync + 'static) -> (SpeakerNetworks, TempDir) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(files::SPEAKER_MODEL);
        fs::create_dir(&folder).unwrap();
        for name in files::SPEAKER_NETWORKS {
            fs::write(folder.join(name), "four").unwrap();
        }
        let store = Store::new(root.path().to_owned(), root.path().join("hub"));
        let loader = move |folder: &Path| {
            loading();
            SpeakerModel::load(folder)
        };
        let catalog = Arc::new(Catalog::open(store));
        let networks = SpeakerNetworks::with_loader(catalog, Arc::new(loader));
        (networks, root)
    }

    /// The networks of [`networks`], and the number of their loads.
    fn counted() -> (SpeakerNetworks, TempDir, Arc<AtomicUsize>) {
        let loads = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&loads);
        let (networks, root) = networks(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (networks, root, loads)
    }

    async fn check_failure(networks: &SpeakerNetworks) {
        let result = networks.get().await;
        assert!(matches!(result, Err(SpeakerModelError::Load(_))));
        assert!(!networks.is_loaded());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_load_is_repeated_after_some_time() {
        let (networks, _root, loads) = counted();
        for _ in 0..3 {
            check_failure(&networks).await;
        }
        assert_eq!(loads.load(Ordering::Relaxed), 1);
        tokio::time::advance(RETRY_AFTER).await;
        check_failure(&networks).await;
        assert_eq!(loads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn replaced_files_are_loaded_at_once() {
        let (networks, root, loads) = counted();
        check_failure(&networks).await;
        let file = files::SPEAKER_NETWORKS[0];
        fs::write(root.path().join(files::SPEAKER_MODEL).join(file), "others").unwrap();
        networks.catalog.refresh().await;
        check_failure(&networks).await;
        assert_eq!(loads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn the_load_of_a_cancelled_request_is_shared() {
        let (started, starts) = mpsc::sync_channel(1);
        let (go, gate) = mpsc::sync_channel::<()>(1);
        let gate = std::sync::Mutex::new(gate);
        let (networks, _root) = networks(move || {
            started.try_send(()).unwrap();
            let _opened = gate.lock().unwrap().recv();
        });
        let networks = Arc::new(networks);
        let first = Arc::clone(&networks);
        let first = tokio::spawn(async move { first.get().await.is_ok() });
        let starts = tokio::task::spawn_blocking(move || {
            starts.recv().unwrap();
            starts
        });
        let starts = starts.await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(networks.is_loaded(), "being loaded");
        let others = [(); 3].map(|()| {
            let networks = Arc::clone(&networks);
            tokio::spawn(async move { networks.get().await.is_ok() })
        });
        go.send(()).unwrap();
        for other in others {
            assert!(!other.await.unwrap());
        }
        assert!(starts.try_recv().is_err(), "there was one load");
    }

    #[tokio::test]
    async fn a_load_that_panics_is_an_error() {
        let (networks, _root) = networks(|| panic!("of the test"));
        for _ in 0..2 {
            let result = networks.get().await;
            assert!(matches!(result, Err(SpeakerModelError::Panicked)));
        }
    }
}
