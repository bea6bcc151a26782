//! Broken, stalled and corrupt transfers, and their partial files.

use super::*;

#[tokio::test]
async fn resumes_after_broken_connections() {
    let test = HubTest::new().await;
    test.hub
        .next("model.bin", TransferFault::BreakAfter(1_000_000));
    test.hub.next("model.bin", TransferFault::BreakAfter(0));
    test.hub
        .next("model.bin", TransferFault::BreakAfter(500_000));

    let downloaded = test.fetch(NAME).await.unwrap();

    // No byte is requested twice; the last bytes sent before a break may not have arrived.
    test.assert_whole("main");
    assert_eq!(downloaded.bytes, downloaded.total_bytes);
    let starts: Vec<_> = test
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
async fn gives_up_without_progress() {
    let test = HubTest::new().await;
    test.hub
        .next("model.bin", TransferFault::BreakAfter(70_000));
    test.hub.always("model.bin", TransferFault::BreakAfter(0));

    let error = test.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Unavailable { .. }), "{error}");
    assert_eq!(test.hub.ranges("model.bin").len(), 6);
    test.assert_absent();
    let kept = fs::metadata(test.partial()).unwrap().len();
    assert_eq!(kept, start(test.hub.ranges("model.bin").pop().unwrap()));
}

#[tokio::test]
async fn a_stopped_download_is_resumed_later() {
    let test = HubTest::new().await;
    let gate = TransferGate::new();
    test.hub.next(
        "model.bin",
        TransferFault::HoldAfter(1_500_000, gate.clone()),
    );
    let downloads = test.downloads();
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
    test.assert_absent();

    let downloaded = test.fetch(NAME).await.unwrap();
    test.assert_whole("main");
    let start = start(test.hub.ranges("model.bin").pop().unwrap());
    assert!(start >= 1_000_000 - test.small_bytes(), "{start}");
    assert_eq!(downloaded.bytes, SIZE as u64 - start);
    assert_eq!(
        downloaded.resumed_bytes + downloaded.bytes,
        downloaded.total_bytes
    );
}

#[tokio::test]
async fn refuses_contents_that_differ_from_the_listing() {
    for fault in [TransferFault::WrongBytes, TransferFault::TooLong] {
        let test = HubTest::new().await;
        test.hub.always("model.bin", fault);

        let error = test.fetch(NAME).await.unwrap_err();

        assert!(
            matches!(&*error, HubError::Corrupt { file, .. } if file == "model.bin"),
            "{error}"
        );
        test.assert_absent();
        assert!(!test.partial().exists());
        assert!(!test.blob("model.bin").exists());
        assert_eq!(test.hub.ranges("model.bin").len(), 1);
    }
}

#[tokio::test]
async fn small_files_are_verified_too() {
    let test = HubTest::new().await;
    test.hub.next("tokenizer.json", TransferFault::WrongBytes);

    let error = test.fetch(NAME).await.unwrap_err();

    let is_named = matches!(&*error, HubError::Corrupt { file, .. } if file == "tokenizer.json");
    assert!(is_named, "{error}");
    test.assert_absent();
    assert!(!test.blob("tokenizer.json").exists());
    assert!(test.hub.ranges("model.bin").is_empty());

    test.fetch(NAME).await.unwrap();
    test.assert_whole("main");
}

#[tokio::test]
async fn restarts_if_the_partial_file_is_wrong() {
    let test = HubTest::new().await;
    fs::create_dir_all(test.cached("blobs")).unwrap();
    fs::write(test.partial(), vec![1; 300_000]).unwrap();

    let downloaded = test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert_eq!(downloaded.resumed_bytes, 300_000);
    let rest = Some(format!("bytes=300000-{}", SIZE - 1));
    assert_eq!(test.hub.ranges("model.bin"), [rest, None]);
}

#[tokio::test]
async fn restarts_only_once() {
    let test = HubTest::new().await;
    fs::create_dir_all(test.cached("blobs")).unwrap();
    fs::write(test.partial(), vec![1; 300_000]).unwrap();
    test.hub.always("model.bin", TransferFault::WrongBytes);

    let error = test.fetch(NAME).await.unwrap_err();

    assert!(matches!(*error, HubError::Corrupt { .. }), "{error}");
    assert_eq!(test.hub.ranges("model.bin").len(), 2);
    assert!(!test.partial().exists());
}

#[tokio::test]
async fn resumes_from_a_hub_without_ranges() {
    let test = HubTest::new().await;
    test.hub
        .next("model.bin", TransferFault::BreakAfter(1_000_000));
    test.hub.next("model.bin", TransferFault::IgnoreRange);

    test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert_eq!(test.hub.ranges("model.bin").len(), 2);
    assert_eq!(test.hub.bytes("model.bin"), 1_000_000 + SIZE as u64);
}

#[tokio::test]
async fn a_complete_partial_file_is_not_downloaded_again() {
    let test = HubTest::new().await;
    fs::create_dir_all(test.cached("blobs")).unwrap();
    fs::write(test.partial(), weights()).unwrap();

    test.fetch(NAME).await.unwrap();

    test.assert_whole("main");
    assert!(test.hub.ranges("model.bin").is_empty());
}

#[tokio::test]
async fn resumes_after_a_stall_and_gives_up_on_a_permanent_one() {
    let mut test = HubTest::new().await;
    test.settings.timeout = Duration::from_secs(1);
    test.hub
        .next("model.bin", TransferFault::StallAfter(1_000_000));
    test.fetch(NAME).await.unwrap();
    test.assert_whole("main");

    let mut test = HubTest::new().await;
    test.settings.timeout = Duration::from_millis(200);
    test.hub.always("model.bin", TransferFault::StallAfter(0));
    let error = test.fetch(NAME).await.unwrap_err();
    assert!(matches!(*error, HubError::Stalled { .. }), "{error}");
}
