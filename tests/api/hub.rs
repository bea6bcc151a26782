//! Downloads from a fake hub: the files in the cache, and errors.

mod broken_transfers;
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

use crate::fake_hub::{FakeHub, HubRefusal, HubRepo, TransferFault, TransferGate};

/// The name of the repository that most tests fetch.
const NAME: &str = "owner/whisper";
/// A few chunks of a transfer and a remainder.
const SIZE: usize = (2 << 20) + 12_345;

/// A hub with a model, an empty cache, and the settings of downloads.
struct HubTest {
    hub: FakeHub,
    repo: HubRepo,
    cache: tempfile::TempDir,
    settings: HubSettings,
}

impl HubTest {
    async fn new() -> Self {
        let hub = FakeHub::start().await;
        let repo = HubRepo::whisper(weights());
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

    /// New downloads, as after a restart of the server.
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

    /// A path in the repository's folder of the cache.
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

    /// Bytes of all files downloaded before the weights.
    fn small_bytes(&self) -> u64 {
        let small = ["config.json", "tokenizer.json", "vocabulary.txt"];
        let contents = small.iter().filter_map(|name| self.repo.content(name));
        contents.map(|content| content.bytes.len() as u64).sum()
    }

    fn partial(&self) -> PathBuf {
        self.blob("model.bin").with_extension("incomplete")
    }

    /// Checks that the model is complete in the cache.
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

    /// Checks that the model is not visible in the cache.
    #[track_caller]
    fn assert_absent(&self) {
        assert!(!self.cached("refs").exists());
        assert!(!self.cached("snapshots").exists());
    }
}

fn model(id: &str) -> ModelId {
    ModelId::parse(id).unwrap()
}

/// Start of a range.
fn start(range: Option<String>) -> u64 {
    let range = range.unwrap_or("bytes=0-".to_owned());
    let (start, _) = range["bytes=".len()..].split_once('-').unwrap();
    start.parse().unwrap()
}

/// Bytes that differ at every position.
fn weights() -> Vec<u8> {
    (0..SIZE as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[tokio::test]
async fn lays_out_the_cache_as_huggingface_hub_does() {
    let test = HubTest::new().await;

    let downloaded = test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert_eq!(downloaded.commit, test.repo.commit());
    assert_eq!(downloaded.bytes, downloaded.total_bytes);
    assert_eq!(downloaded.resumed_bytes, 0);
    assert!(test.hub.ranges("README.md").is_empty());
    assert!(test.hub.authorizations().iter().all(Option::is_none));
}

#[tokio::test]
async fn downloads_no_file_that_is_cached() {
    let test = HubTest::new().await;
    test.fetch(NAME).await.unwrap();
    fs::write(test.partial(), "of no use").unwrap();

    let again = test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert_eq!((again.bytes, again.resumed_bytes), (0, again.total_bytes));
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn a_downloaded_snapshot_can_be_served_again() {
    let test = HubTest::new().await;
    let commit = test.fetch(NAME).await.unwrap().commit.clone();
    let snapshot = test.cached("snapshots").join(commit);

    test.hub.serve("owner/copy", HubRepo::from_dir(&snapshot));
    test.fetch("owner/copy").await.unwrap();

    let copied = test.settings.cache.join("models--owner--copy/blobs");
    let copied = copied.join(test.repo.content("model.bin").unwrap().etag());
    assert!(fs::read(copied).unwrap() == weights());
}

#[tokio::test]
async fn a_new_commit_downloads_only_changed_files() {
    let mut test = HubTest::new().await;
    test.fetch(NAME).await.unwrap();
    test.repo = test.repo.file("config.json", "{}");
    test.hub.serve(NAME, test.repo.clone());

    let downloaded = test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert_eq!(downloaded.bytes, 2);
    assert_eq!(fs::read_dir(test.cached("snapshots")).unwrap().count(), 2);
}

#[tokio::test]
async fn accepts_branches_and_commits() {
    let mut test = HubTest::new().await;
    test.repo = test.repo.branch("refs/pr/1");
    test.hub.serve(NAME, test.repo.clone());

    let commit = test.repo.commit();
    test.fetch(&format!("{NAME}@{commit}")).await.unwrap();
    assert!(!test.cached("refs").exists());
    assert!(
        test.cached("snapshots")
            .join(commit)
            .join("model.bin")
            .is_file()
    );

    test.fetch("owner/whisper@refs/pr/1").await.unwrap();
    test.assert_whole("refs/pr/1");
    assert!(!test.cached("refs/main").exists());

    test.hub.serve("legacy", test.repo.clone());
    test.fetch("legacy").await.unwrap();
    assert!(
        test.settings
            .cache
            .join("models--legacy/refs/main")
            .is_file()
    );
}
