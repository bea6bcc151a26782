//! Several who want one model.

use super::*;

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
    gate.open();
    let (first, second) = tokio::join!(first.finished(), second.finished());

    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(scene.hub.ranges("model.bin").len(), 1);
    assert!(!downloads.is_running(&id));
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
