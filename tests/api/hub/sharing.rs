//! Several requests for one model.

use super::*;

#[tokio::test]
async fn requests_for_the_same_model_share_one_download() {
    let test = HubTest::new().await;
    let gate = TransferGate::new();
    test.hub.next(
        "model.bin",
        TransferFault::HoldAfter(1_500_000, gate.clone()),
    );
    let downloads = test.downloads();
    let id = model(NAME);

    let first = downloads.start(&id);
    let second = downloads.start(&id);
    gate.reached().await;
    assert!(downloads.is_running(&id));
    gate.open();
    let (first, second) = tokio::join!(first.finished(), second.finished());

    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
    assert!(!downloads.is_running(&id));
}

#[tokio::test]
async fn a_download_continues_when_all_callers_have_left() {
    let test = HubTest::new().await;
    let gate = TransferGate::new();
    test.hub.next(
        "model.bin",
        TransferFault::HoldAfter(1_500_000, gate.clone()),
    );
    let downloads = test.downloads();

    drop(downloads.start(&model(NAME)));
    gate.reached().await;
    gate.open();

    downloads.start(&model(NAME)).finished().await.unwrap();
    test.assert_whole("main");
    assert_eq!(test.hub.ranges("model.bin").len(), 1);
}

#[tokio::test]
async fn all_waiting_callers_get_the_error() {
    let test = HubTest::new().await;
    let gate = TransferGate::new();
    test.hub
        .next("config.json", TransferFault::HoldAfter(10, gate.clone()));
    let downloads = test.downloads();
    let first = downloads.start(&model(NAME));
    let second = downloads.start(&model(NAME));
    gate.reached().await;

    test.hub.refuse("/resolve/", HubRefusal::status(403));
    gate.open();
    let (first, second) = tokio::join!(first.finished(), second.finished());

    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert!(matches!(*first, HubError::Denied { .. }), "{first}");
    assert!(Arc::ptr_eq(&first, &second));
    test.assert_absent();

    test.hub.refuse_no_more();
    downloads.start(&model(NAME)).finished().await.unwrap();
    test.assert_whole("main");
}

#[tokio::test]
async fn reports_its_progress() {
    let test = HubTest::new().await;
    fs::create_dir_all(test.cached("blobs")).unwrap();
    fs::write(test.partial(), &weights()[..1_000_000]).unwrap();
    let gate = TransferGate::new();
    test.hub
        .next("model.bin", TransferFault::HoldAfter(600_000, gate.clone()));
    let downloads = test.downloads();
    let download = downloads.start(&model(NAME));
    let mut progress = download.progress();

    gate.reached().await;
    let total = test.small_bytes() + SIZE as u64;
    // At least one chunk of 256 KiB is written; later bytes are not counted yet.
    let expected = test.small_bytes() + 1_000_000 + (256 << 10);
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
async fn waits_for_another_process_and_uses_its_files() {
    let test = HubTest::new().await;
    let etag = test.repo.content("model.bin").unwrap().etag();
    let locks = test.cache.path().join("hub/.locks/models--owner--whisper");
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{etag}.lock"))).unwrap();
    lock.lock().unwrap();
    let downloads = test.downloads();
    let download = downloads.start(&model(NAME));
    let mut progress = download.progress();
    // The last small file is here.
    progress
        .wait_for(|now| now.bytes == test.small_bytes())
        .await
        .unwrap();

    fs::write(test.blob("model.bin"), weights()).unwrap();
    drop(lock);

    download.finished().await.unwrap();
    test.assert_whole("main");
    assert!(test.hub.ranges("model.bin").is_empty());
}
