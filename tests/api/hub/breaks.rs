//! Broken, silent and wrong transfers, and what is left of them.

use super::*;

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
async fn a_small_file_is_compared_too() {
    let scene = Scene::new().await;
    scene.hub.next("tokenizer.json", Fault::WrongBytes);

    let error = scene.fetch(NAME).await.unwrap_err();

    let is_named = matches!(&*error, HubError::Corrupt { file, .. } if file == "tokenizer.json");
    assert!(is_named, "{error}");
    scene.assert_absent();
    assert!(!scene.blob("tokenizer.json").exists());
    assert!(scene.hub.ranges("model.bin").is_empty());

    scene.fetch(NAME).await.unwrap();
    scene.assert_whole("main");
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
