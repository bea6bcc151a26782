//! An in-memory list of the models on disk: neither a look-up nor a listing reads the disk.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{ModelId, ModelLookup, Store, StoreError, StoredModel, StoredSpeakerModel};

/// Interval at which the disk is scanned for models that other programs added or removed.
const RESCAN: Duration = Duration::from_secs(10);
/// Length of a full commit hash.
const COMMIT_CHARACTERS: usize = 40;

/// The models on disk.
pub struct Catalog {
    store: Arc<Store>,
    models: RwLock<Models>,
    speakers: RwLock<Option<Arc<StoredSpeakerModel>>>,
    /// Held while the disk is read, so that an older listing never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
}

type Models = Arc<[Arc<StoredModel>]>;

impl Catalog {
    /// Reads the disk once; blocks meanwhile.
    #[must_use]
    pub fn open(store: Store) -> Self {
        let (models, speakers) = read(&store, &[]).unwrap_or_else(|error| {
            tracing::error!(%error, "models on disk cannot be read");
            (Vec::new(), None)
        });
        Self {
            store: Arc::new(store),
            models: RwLock::new(models.into()),
            speakers: RwLock::new(speakers),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Every complete model, sorted by name.
    #[must_use]
    pub fn list(&self) -> Models {
        // The guarded list is only ever replaced as a whole.
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&models)
    }

    /// The model of this name, if it is complete; a revision may also be a full commit hash.
    #[must_use]
    pub fn find(&self, id: &ModelId) -> Option<Arc<StoredModel>> {
        let models = self.list();
        if let Ok(at) = models.binary_search_by(|model| model.id.cmp(id)) {
            return Some(Arc::clone(&models[at]));
        }
        let commit = id
            .revision()
            .filter(|text| text.len() == COMMIT_CHARACTERS)?;
        let matches = |model: &&Arc<StoredModel>| {
            model.id.repository() == id.repository() && model.dir.ends_with(commit)
        };
        models.iter().find(matches).cloned()
    }

    /// The networks of speaker diarization.
    #[must_use]
    pub fn speaker_model(&self) -> Option<Arc<StoredSpeakerModel>> {
        let speakers = self.speakers.read();
        speakers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The networks of speaker diarization, if this is their name.
    #[must_use]
    pub fn find_speaker_model(&self, id: &ModelId) -> Option<Arc<StoredSpeakerModel>> {
        self.speaker_model().filter(|model| model.is_named(id))
    }

    /// Reads the disk again.
    pub async fn refresh(&self) {
        let _turn = self.reading.lock().await;
        let (store, known) = (Arc::clone(&self.store), self.list());
        let reading = tokio::task::spawn_blocking(move || read(&store, &known));
        match reading.await {
            Ok(Ok((models, speakers))) => {
                self.replace(models.into());
                *self
                    .speakers
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = speakers;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "models on disk cannot be read now; keeping the last listing");
            }
            Err(panic) => tracing::error!(%panic, "models on disk could not be read"),
        }
    }

    /// Deletes the model's files, if they exist.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be removed.
    pub async fn delete(&self, model: Arc<StoredModel>) -> Result<(), StoreError> {
        let dir = model.dir.clone();
        self.delete_with(&dir, move |store| store.delete(&model))
            .await
    }

    /// Deletes the networks of speaker diarization, if they exist; those in memory stay usable.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_speaker_model(
        &self,
        model: Arc<StoredSpeakerModel>,
    ) -> Result<(), StoreError> {
        let dir = model.dir.clone();
        self.delete_with(&dir, move |store| store.delete_speaker_model(&model))
            .await
    }

    async fn delete_with(
        &self,
        dir: &Path,
        delete: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        let deleting = tokio::task::spawn_blocking(move || delete(&store)).await;
        self.refresh().await;
        deleting.unwrap_or_else(|panic| Err(StoreError::new(dir, io::Error::other(panic))))
    }

    /// Rescans the disk periodically until it is dropped.
    pub async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(RESCAN).await;
            self.refresh().await;
        }
    }

    fn replace(&self, models: Models) {
        let before = self.list();
        let has =
            |models: &Models, other: &StoredModel| models.iter().any(|model| model.id == other.id);
        for model in models.iter().filter(|model| !has(&before, model)) {
            tracing::info!(model.id = %model.id, "model found");
        }
        for model in before.iter().filter(|model| !has(&models, model)) {
            tracing::info!(model.id = %model.id, "model gone");
        }
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = models;
    }
}

/// The Whisper models, and the networks of speaker diarization.
type Listing = (Vec<Arc<StoredModel>>, Option<Arc<StoredSpeakerModel>>);

fn read(store: &Store, known: &[Arc<StoredModel>]) -> io::Result<Listing> {
    Ok((store.list(known)?, store.speaker_model()?))
}

impl ModelLookup for Catalog {
    fn has(&self, id: &ModelId) -> bool {
        self.find(id).is_some()
    }

    fn first(&self, matches: &dyn Fn(&ModelId) -> bool) -> Option<ModelId> {
        let models = self.list();
        let mut ids = models.iter().map(|model| &model.id);
        ids.find(|id| matches(id)).cloned()
    }

    /// A model has several names if branches and tags of its repository point to one commit.
    fn only(&self) -> Option<ModelId> {
        let models = self.list();
        let (first, others) = models.split_first()?;
        let is_only = others.iter().all(|other| other.dir == first.dir);
        is_only.then(|| first.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::test_files::{Fixture, lay_out};

    fn open(root: &Path) -> Catalog {
        Catalog::open(Store::new(root.join("models"), root.join("hub")))
    }

    fn find(catalog: &Catalog, name: &str) -> Option<String> {
        let model = catalog.find(&ModelId::parse(name).unwrap())?;
        Some(model.id.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_is_added_on_disk_is_found_in_time() {
        let root = tempfile::tempdir().unwrap();
        let catalog = open(root.path());
        lay_out(&root.path().join("models/base"), &Fixture::default());
        assert_eq!(
            find(&catalog, "base"),
            None,
            "a look-up does not read the disk"
        );

        let fresh = async {
            while find(&catalog, "base").is_none() {
                tokio::time::sleep(RESCAN / 10).await;
            }
        };
        tokio::select! {
            () = catalog.keep_fresh() => {}
            () = fresh => {}
        }
    }

    #[test]
    fn the_only_model_may_have_several_names() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(open(root.path()).only(), None);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let repository = root.path().join("hub/models--o--n");
        let snapshot = repository.join("snapshots").join(commit);
        lay_out(&snapshot, &Fixture::default());
        std::fs::create_dir(repository.join("refs")).unwrap();
        for name in ["main", "v1"] {
            std::fs::write(repository.join("refs").join(name), commit).unwrap();
        }
        let only = open(root.path()).only();
        assert_eq!(only, ModelId::parse("o/n").ok());

        lay_out(&root.path().join("models/base"), &Fixture::default());
        assert_eq!(open(root.path()).only(), None);
    }

    #[tokio::test]
    async fn a_deleted_model_is_gone_at_once() {
        let root = tempfile::tempdir().unwrap();
        lay_out(&root.path().join("models/base"), &Fixture::default());
        let catalog = open(root.path());
        let model = catalog.find(&ModelId::parse("base").unwrap()).unwrap();

        catalog.delete(model).await.unwrap();

        assert_eq!(find(&catalog, "base"), None);
        assert_eq!(catalog.list().len(), 0);
    }

    #[tokio::test]
    async fn the_last_listing_is_kept_if_the_disk_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("models");
        lay_out(&models.join("base"), &Fixture::default());
        let catalog = open(root.path());
        std::fs::rename(&models, root.path().join("elsewhere")).unwrap();
        // A link to itself cannot be read, and is not absent.
        std::os::unix::fs::symlink(&models, &models).unwrap();

        catalog.refresh().await;
        assert_eq!(find(&catalog, "base"), Some("base".to_owned()));

        std::fs::remove_file(&models).unwrap();
        catalog.refresh().await;
        assert_eq!(find(&catalog, "base"), None, "an absent folder is empty");
    }

    #[test]
    fn a_full_commit_hash_is_also_a_name() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let root = tempfile::tempdir().unwrap();
        let repository = root.path().join("hub/models--o--n");
        lay_out(
            &repository.join("snapshots").join(commit),
            &Fixture::default(),
        );
        std::fs::create_dir(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs/main"), commit).unwrap();
        let catalog = open(root.path());

        assert_eq!(find(&catalog, "o/n"), Some("o/n".to_owned()));
        assert_eq!(
            find(&catalog, &format!("o/n@{commit}")),
            Some("o/n".to_owned())
        );
        assert_eq!(find(&catalog, "o/n@0123456"), None);
        assert_eq!(find(&catalog, "o/m"), None);
    }
}
