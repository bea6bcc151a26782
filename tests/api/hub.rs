//! Models downloaded from a stand-in for the hub: what lands in the cache, and what goes wrong.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use halkspeech::models::{
    Catalog, Downloaded, Downloads, Hub, HubError, HubSettings, ModelId, Store,
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

    async fn fetch(&self, id: &str) -> Result<Arc<Downloaded>, Arc<HubError>> {
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
async fn goes_on_after_broken_connections() {
    let scene = Scene::new().await;
    scene.hub.next("model.bin", Fault::BreakAfter(1_000_000));
    scene.hub.next("model.bin", Fault::BreakAfter(0));
    scene.hub.next("model.bin", Fault::BreakAfter(500_000));

    let downloaded = scene.fetch(NAME).await.unwrap();

    // Nothing was asked for twice; what was sent last before a break may not have arrived.
    scene.assert_whole("main");
    assert_eq!(downloaded.bytes, downloaded.total_bytes);
    let starts: Vec<_> = scene
        .hub
        .ranges("model.bin")
        .into_iter()
        .map(start)
        .collect();
    assert_eq!(starts.len(), 4);
    assert!(starts.is_sorted() && starts[1] == starts[2], "{starts:?}");
    assert!(0 < starts[1] && starts[1] <= 1_000_000, "{starts:?}");
    assert!(
        starts[2] < starts[3] && starts[3] <= starts[2] + 500_000,
        "{starts:?}"
    );
}

#[tokio::test]
async fn gives_up_when_nothing_more_comes() {
    let scene = Scene::new().await;
    scene.hub.next("model.bin", Fault::BreakAfter(70_000));
    scene.hub.always("model.bin", Fault::BreakAfter(0));

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Unavailable { .. }), "{error}");
    assert_eq!(scene.hub.ranges("model.bin").len(), 6);
    scene.assert_absent();
    let kept = fs::metadata(scene.partial()).unwrap().len();
    assert_eq!(kept, start(scene.hub.ranges("model.bin").pop().unwrap()));
}

#[tokio::test]
async fn a_stopped_download_is_gone_on_with_later() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(1_500_000, gate.clone()));
    let downloads = scene.downloads();
    let download = downloads.start(&model(NAME));
    gate.reached().await;
    let mut progress = download.progress();
    progress
        .wait_for(|now| now.bytes > 1_000_000)
        .await
        .unwrap();

    downloads.stop().await;

    let stopped = download.finished().await.unwrap_err();
    assert!(matches!(*stopped, HubError::Stopped), "{stopped}");
    let late = downloads.start(&model(NAME)).finished().await.unwrap_err();
    assert!(matches!(*late, HubError::Stopped), "{late}");
    scene.assert_absent();

    let downloaded = scene.fetch(NAME).await.unwrap();
    scene.assert_whole("main");
    let start = start(scene.hub.ranges("model.bin").pop().unwrap());
    assert!(start >= 1_000_000 - scene.small_bytes(), "{start}");
    assert_eq!(downloaded.bytes, SIZE as u64 - start);
    assert_eq!(
        downloaded.resumed_bytes + downloaded.bytes,
        downloaded.total_bytes
    );
}

#[tokio::test]
async fn refuses_what_the_hub_does_not_list() {
    for fault in [Fault::WrongBytes, Fault::TooLong] {
        let scene = Scene::new().await;
        scene.hub.always("model.bin", fault);

        let error = scene.fetch(NAME).await.unwrap_err();

        assert!(
            matches!(&*error, HubError::Corrupt { file, .. } if file == "model.bin"),
            "{error}"
        );
        scene.assert_absent();
        assert!(!scene.partial().exists());
        assert!(!scene.blob("model.bin").exists());
        assert_eq!(scene.hub.ranges("model.bin").len(), 1);
    }
}

#[tokio::test]
async fn begins_anew_where_an_earlier_part_was_wrong() {
    let scene = Scene::new().await;
    fs::create_dir_all(scene.cached("blobs")).unwrap();
    fs::write(scene.partial(), vec![1; 300_000]).unwrap();

    let downloaded = scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert_eq!(downloaded.resumed_bytes, 300_000);
    let rest = Some(format!("bytes=300000-{}", SIZE - 1));
    assert_eq!(scene.hub.ranges("model.bin"), [rest, None]);
}

#[tokio::test]
async fn begins_anew_only_once() {
    let scene = Scene::new().await;
    fs::create_dir_all(scene.cached("blobs")).unwrap();
    fs::write(scene.partial(), vec![1; 300_000]).unwrap();
    scene.hub.always("model.bin", Fault::WrongBytes);

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Corrupt { .. }), "{error}");
    assert_eq!(scene.hub.ranges("model.bin").len(), 2);
    assert!(!scene.partial().exists());
}

#[tokio::test]
async fn takes_the_rest_from_a_hub_that_knows_no_ranges() {
    let scene = Scene::new().await;
    scene.hub.next("model.bin", Fault::BreakAfter(1_000_000));
    scene.hub.next("model.bin", Fault::IgnoreRange);

    scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert_eq!(scene.hub.ranges("model.bin").len(), 2);
    assert_eq!(scene.hub.bytes("model.bin"), 1_000_000 + SIZE as u64);
}

#[tokio::test]
async fn a_whole_file_on_its_way_needs_no_hub() {
    let scene = Scene::new().await;
    fs::create_dir_all(scene.cached("blobs")).unwrap();
    fs::write(scene.partial(), weights()).unwrap();

    scene.fetch(NAME).await.unwrap();

    scene.assert_whole("main");
    assert!(scene.hub.ranges("model.bin").is_empty());
}

#[tokio::test]
async fn a_stall_is_gone_on_with_and_a_lasting_one_ends() {
    let mut scene = Scene::new().await;
    scene.settings.timeout = Duration::from_secs(1);
    scene.hub.next("model.bin", Fault::StallAfter(1_000_000));
    scene.fetch(NAME).await.unwrap();
    scene.assert_whole("main");

    let mut scene = Scene::new().await;
    scene.settings.timeout = Duration::from_millis(200);
    scene.hub.always("model.bin", Fault::StallAfter(0));
    let error = scene.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::Stalled { .. }), "{error}");
}

#[tokio::test]
async fn tells_refusals_apart() {
    async fn check(path: &str, refusal: Refusal, expected: fn(&HubError) -> bool) {
        let scene = Scene::new().await;
        scene.hub.refuse(path, refusal.clone());

        let error = scene.fetch(NAME).await.unwrap_err();

        assert!(expected(&error), "{path} {refusal:?}: {error:?}");
        scene.assert_absent();

        scene.hub.refuse_no_more();
        scene.fetch(NAME).await.unwrap();
        scene.assert_whole("main");
    }
    let gated = || Refusal::status(401).code("GatedRepo");
    check("/api/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    check("/resolve/", gated(), |error| {
        matches!(error, HubError::Denied { .. })
    })
    .await;
    let absent = Refusal::status(404).code("RepoNotFound");
    check("/", absent, |error| {
        matches!(error, HubError::NotFound { .. })
    })
    .await;
    let too_many = Refusal::status(429).retry_after(7);
    check("/", too_many.clone(), |error| {
        let seven = Some(Duration::from_secs(7));
        matches!(error, HubError::RateLimited { retry_after } if *retry_after == seven)
    })
    .await;
    check("/cdn/", too_many, |error| {
        matches!(error, HubError::RateLimited { .. })
    })
    .await;
    check("/", Refusal::status(500), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
    check("/cdn/", Refusal::status(503), |error| {
        matches!(error, HubError::Unavailable { .. })
    })
    .await;
}

#[tokio::test]
async fn knows_what_the_hub_does_not_have() {
    let scene = Scene::new().await;
    for absent in ["owner/other", "legacy", "owner/a--b", "owner/a..b"] {
        let error = scene.fetch(absent).await.unwrap_err();
        assert!(
            matches!(*error, HubError::NotFound { .. }),
            "{absent}: {error}"
        );
    }
    let error = scene.fetch("owner/whisper@v9").await.unwrap_err();
    assert!(
        matches!(*error, HubError::RevisionNotFound { .. }),
        "{error}"
    );
    scene.assert_absent();
}

#[tokio::test]
async fn shows_its_token() {
    let mut scene = Scene::new().await;
    scene.hub.require_token("hf_secret");
    let error = scene.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::NotFound { .. }), "{error}");

    scene.settings.token = Some("hf_wrong".to_owned());
    let error = scene.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::Denied { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hf_wrong"));

    scene.settings.token = Some("hf_secret".to_owned());
    scene.fetch(NAME).await.unwrap();
    scene.assert_whole("main");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_unavailable() {
    let mut scene = Scene::new().await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    scene.settings.endpoint = format!("http://{port}");

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn never_asks_when_offline() {
    let mut scene = Scene::new().await;
    scene.settings.offline = true;

    let error = scene.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Offline { .. }), "{error}");
    assert!(scene.hub.authorizations().is_empty());
}

#[tokio::test]
async fn names_what_a_transformers_model_lacks() {
    let scene = Scene::new().await;
    let repo = Repo::new()
        .file("config.json", "{}")
        .file("tokenizer.json", "{}")
        .file("model.safetensors", "weights");
    scene.hub.serve("openai/whisper-tiny", repo);

    let error = scene.fetch("openai/whisper-tiny").await.unwrap_err();

    let HubError::NotWhisper {
        missing,
        is_transformers,
        ..
    } = &*error
    else {
        panic!("{error}");
    };
    assert_eq!(*missing, ["model.bin", "vocabulary.json or vocabulary.txt"]);
    assert!(is_transformers);
    assert!(scene.hub.ranges("config.json").is_empty());
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

#[tokio::test]
async fn whoever_wants_the_same_model_shares_one_download() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(1_500_000, gate.clone()));
    let downloads = scene.downloads();
    let id = model(NAME);

    let first = downloads.start(&id);
    let second = downloads.start(&id);
    gate.reached().await;
    assert!(downloads.is_running(&id));
    assert_eq!(downloads.running()[0].0, id);
    gate.open();
    let (first, second) = tokio::join!(first.finished(), second.finished());

    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
    assert!(!downloads.is_running(&id));
    assert!(downloads.running().is_empty());
}

#[tokio::test]
async fn a_download_goes_on_when_all_have_left() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(1_500_000, gate.clone()));
    let downloads = scene.downloads();

    drop(downloads.start(&model(NAME)));
    gate.reached().await;
    gate.open();

    downloads.start(&model(NAME)).finished().await.unwrap();
    scene.assert_whole("main");
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait() {
    let scene = Scene::new().await;
    let gate = Gate::new();
    scene
        .hub
        .next("config.json", Fault::HoldAfter(10, gate.clone()));
    let downloads = scene.downloads();
    let first = downloads.start(&model(NAME));
    let second = downloads.start(&model(NAME));
    gate.reached().await;

    scene.hub.refuse("/resolve/", Refusal::status(403));
    gate.open();
    let (first, second) = tokio::join!(first.finished(), second.finished());

    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert!(matches!(*first, HubError::Denied { .. }), "{first}");
    assert!(Arc::ptr_eq(&first, &second));
    scene.assert_absent();

    scene.hub.refuse_no_more();
    downloads.start(&model(NAME)).finished().await.unwrap();
    scene.assert_whole("main");
}

#[tokio::test]
async fn tells_how_far_it_is() {
    let scene = Scene::new().await;
    fs::create_dir_all(scene.cached("blobs")).unwrap();
    fs::write(scene.partial(), &weights()[..1_000_000]).unwrap();
    let gate = Gate::new();
    scene
        .hub
        .next("model.bin", Fault::HoldAfter(600_000, gate.clone()));
    let downloads = scene.downloads();
    let download = downloads.start(&model(NAME));
    let mut progress = download.progress();

    gate.reached().await;
    let total = scene.small_bytes() + SIZE as u64;
    // At least a piece of 256 KiB is written; what has come after it is not counted yet.
    let expected = scene.small_bytes() + 1_000_000 + (256 << 10);
    let held = progress
        .wait_for(|now| now.bytes >= expected)
        .await
        .unwrap()
        .clone();
    assert_eq!(held.file, "model.bin");
    assert_eq!(held.total_bytes, total);
    assert!(held.bytes < total);
    gate.open();
    download.finished().await.unwrap();
    assert_eq!(progress.borrow().bytes, total);
}

#[tokio::test]
async fn waits_for_another_process_and_takes_what_it_has_fetched() {
    let scene = Scene::new().await;
    let etag = scene.repo.content("model.bin").unwrap().etag();
    let locks = scene.cache.path().join("hub/.locks/models--owner--whisper");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{etag}.lock"))).unwrap();
    lock.lock().unwrap();
    let downloads = scene.downloads();
    let download = downloads.start(&model(NAME));
    let mut progress = download.progress();
    // The last small file is here.
    progress
        .wait_for(|now| now.bytes == scene.small_bytes())
        .await
        .unwrap();

    fs::write(scene.blob("model.bin"), weights()).unwrap();
    drop(lock);

    download.finished().await.unwrap();
    scene.assert_whole("main");
    assert!(scene.hub.ranges("model.bin").is_empty());
}
