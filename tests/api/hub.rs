//! Models downloaded from a stand-in for the hub: what lands in the cache, and what goes wrong.

mod breaks;
mod refusals;
mod sharing;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use halkspeech::models::{
    Catalog, DownloadSummary, Downloads, Hub, HubError, HubSettings, ModelId, Store,
};
use halkspeech::telemetry::Metrics;

use crate::standin::{Fault, Gate, Refusal, Repo, Standin};

/// The name of the repository that most tests fetch.
const NAME: &str = "owner/whisper";
/// Some pieces of a transfer and a bit.
const SIZE: usize = (2 << 20) + 12_345;

/// A hub with a model, an empty cache, and the way from one to the other.
struct Scene {
    hub: Standin,
    repo: Repo,
    cache: tempfile::TempDir,
    settings: HubSettings,
}

impl Scene {
    async fn new() -> Self {
        let hub = Standin::start().await;
        let repo = Repo::whisper(weights());
        hub.serve(NAME, repo.clone());
        let cache = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            endpoint: hub.endpoint(),
            token: None,
            cache: cache.path().join("hub"),
            offline: false,
            timeout: Duration::from_secs(10),
        };
        Self {
            hub,
            repo,
            cache,
            settings,
        }
    }

    /// As after a restart of the server.
    fn downloads(&self) -> Downloads {
        Downloads::new(
            Hub::new(self.settings.clone()).unwrap(),
            self.catalog(),
            Metrics::new(),
        )
    }

    fn catalog(&self) -> Arc<Catalog> {
        let none = self.cache.path().join("models");
        let store = Store::new(none, self.settings.cache.clone());
        Arc::new(Catalog::open(store))
    }

    async fn fetch(&self, id: &str) -> Result<Arc<DownloadSummary>, Arc<HubError>> {
        self.downloads().start(&model(id)).finished().await
    }

    /// A file or folder in the repository's part of the cache.
    fn cached(&self, path: &str) -> PathBuf {
        self.settings
            .cache
            .join("models--owner--whisper")
            .join(path)
    }

    fn blob(&self, file: &str) -> PathBuf {
        let etag = self.repo.content(file).unwrap().etag();
        self.cached("blobs").join(etag)
    }

    /// Bytes of all that is fetched before the weights.
    fn small_bytes(&self) -> u64 {
        let small = ["config.json", "tokenizer.json", "vocabulary.txt"];
        let contents = small.iter().filter_map(|name| self.repo.content(name));
        contents.map(|content| content.bytes.len() as u64).sum()
    }

    fn partial(&self) -> PathBuf {
        self.blob("model.bin").with_extension("incomplete")
    }

    /// Whether anybody who reads the cache would take the model for whole, and it is.
    #[track_caller]
    fn assert_whole(&self, revision: &str) {
        let commit = fs::read_to_string(self.cached("refs").join(revision)).unwrap();
        assert_eq!(commit, self.repo.commit());
        let snapshot = self.cached("snapshots").join(commit);
        let mut names: Vec<_> = fs::read_dir(&snapshot)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let wanted = [
            "config.json",
            "model.bin",
            "tokenizer.json",
            "vocabulary.txt",
        ];
        assert_eq!(names, wanted);
        for name in wanted {
            let link = fs::read_link(snapshot.join(name)).unwrap();
            let content = self.repo.content(name).unwrap();
            assert_eq!(link, PathBuf::from("../../blobs").join(content.etag()));
            assert!(
                fs::read(snapshot.join(name)).unwrap() == content.bytes,
                "{name}"
            );
        }
        assert!(!self.partial().exists());
    }

    /// Whether nothing is to be seen of the model.
    #[track_caller]
    fn assert_absent(&self) {
        assert!(!self.cached("refs").exists());
        assert!(!self.cached("snapshots").exists());
    }
}

fn model(id: &str) -> ModelId {
    ModelId::parse(id).unwrap()
}

/// Where a range begins.
fn start(range: Option<String>) -> u64 {
    let range = range.unwrap_or("bytes=0-".to_owned());
    let (start, _) = range["bytes=".len()..].split_once('-').unwrap();
    start.parse().unwrap()
}

/// Bytes that are others at every place.
fn weights() -> Vec<u8> {
    (0..SIZE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[tokio::test]
async fn lays_out_the_cache_as_huggingface_hub_does() {
    let scene = Scene::new().await;

    let downloaded = scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert_eq!(downloaded.commit, scene.repo.commit());
    assert_eq!(downloaded.bytes, downloaded.total_bytes);
    assert_eq!(downloaded.resumed_bytes, 0);
    assert!(scene.hub.ranges("README.md").is_empty());
    assert!(scene.hub.authorizations().iter().all(Option::is_none));
}

#[tokio::test]
async fn fetches_nothing_that_is_here() {
    let scene = Scene::new().await;
    scene.fetch(NAME).await.unwrap();
    fs::write(scene.partial(), "of no use").unwrap();

    let again = scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert_eq!((again.bytes, again.resumed_bytes), (0, again.total_bytes));
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn what_was_fetched_can_be_served_again() {
    let scene = Scene::new().await;
    let commit = scene.fetch(NAME).await.unwrap().commit.clone();
    let snapshot = scene.cached("snapshots").join(commit);

    scene.hub.serve("owner/copy", Repo::from_dir(&snapshot));
    scene.fetch("owner/copy").await.unwrap();

    let copied = scene.settings.cache.join("models--owner--copy/blobs");
    let copied = copied.join(scene.repo.content("model.bin").unwrap().etag());
    assert!(fs::read(copied).unwrap() == weights());
}

#[tokio::test]
async fn a_new_commit_fetches_what_has_changed() {
    let mut scene = Scene::new().await;
    scene.fetch(NAME).await.unwrap();
    scene.repo = scene.repo.file("config.json", "{}");
    scene.hub.serve(NAME, scene.repo.clone());

    let downloaded = scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert_eq!(downloaded.bytes, 2);
    assert_eq!(fs::read_dir(scene.cached("snapshots")).unwrap().count(), 2);
}

#[tokio::test]
async fn takes_branches_and_commits() {
    let mut scene = Scene::new().await;
    scene.repo = scene.repo.branch("refs/pr/1");
    scene.hub.serve(NAME, scene.repo.clone());

    let commit = scene.repo.commit();
    scene.fetch(&format!("{NAME}@{commit}")).await.unwrap();
    assert!(!scene.cached("refs").exists());
    assert!(
        scene
            .cached("snapshots")
            .join(commit)
            .join("model.bin")
            .is_file()
    );

    scene.fetch("owner/whisper@refs/pr/1").await.unwrap();
    scene.assert_whole("refs/pr/1");
    assert!(!scene.cached("refs/main").exists());

    scene.hub.serve("legacy", scene.repo.clone());
    scene.fetch("legacy").await.unwrap();
    assert!(
        scene
            .settings
            .cache
            .join("models--legacy/refs/main")
            .is_file()
    );
}
