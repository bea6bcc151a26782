//! Short windows, padded to less than 30 s.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech::engine::EngineFactory;
use halkspeech::engine::fake::FakeEngine;
use halkspeech::features::Lengths;

use crate::helpers::audio::tones;
use crate::helpers::engine::{Gate, gated_after_the_first, listen};
use crate::helpers::{MODEL, Setup, TestApp, text, until};

/// The lengths of the batches that were run, in frames.
type Seen = Arc<Mutex<Vec<usize>>>;

/// An engine that finds every short window doubtful.
fn doubting() -> (EngineFactory, Seen) {
    let seen = Seen::default();
    let runs = Arc::clone(&seen);
    let engine = FakeEngine::factory(move |key, inputs| {
        runs.lock().unwrap().push(key.frames);
        let mut generations = listen(inputs);
        for (generation, input) in generations.iter_mut().zip(inputs) {
            generation.needs_longer_encoding = !input.is_full_length();
        }
        Ok(generations)
    });
    (engine, seen)
}

fn clip(seconds: u64) -> Vec<u8> {
    tones(&[(500.0, Duration::from_secs(seconds))])
}

fn setup(engine: EngineFactory) -> Setup {
    Setup {
        engine,
        lengths: Lengths::new(5, 5),
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_doubtful_text_is_generated_again_from_all_of_30_s() {
    let (engine, seen) = doubting();
    let app = TestApp::start_with(setup(engine)).await;

    let answer = app.submit(clip(2)).await.unwrap();

    assert_eq!(answer.status(), 200);
    assert!(text(answer).await.contains("band"));
    assert_eq!(*seen.lock().unwrap(), [1000, 3000]);
    let metrics = app.metrics.encode();
    for line in [
        "halkspeech_windows_repeated_total 1",
        "halkspeech_encoder_frames_total{kind=\"audio\"} 404",
        "halkspeech_encoder_frames_total{kind=\"margin\"} 1100",
        "halkspeech_encoder_frames_total{kind=\"padding\"} 2596",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn a_whole_window_is_generated_once() {
    let (engine, seen) = doubting();
    let app = TestApp::start_with(setup(engine)).await;

    let answer = app.submit(clip(26)).await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(*seen.lock().unwrap(), [3000]);
}

#[tokio::test]
async fn windows_of_one_length_share_batches_and_others_do_not() {
    let gate = Gate::new();
    let app = TestApp::start_with(setup(gated_after_the_first(&gate))).await;
    app.text_of(clip(1)).await;
    let running = app.submit(clip(1));
    gate.reached().await;

    // While the engine works, three lengths gather: twice 10 s, once 15 s.
    let waiting = [3, 4, 7].map(|seconds| app.submit(clip(seconds)));
    app.until_queued(3).await;
    // Of 3 s, 4 s and 7 s, with a frame at the end of each.
    let lines = [
        "halkspeech_queued_windows 3\n",
        "halkspeech_queued_audio_seconds 14.06\n",
    ];
    until(|| {
        let metrics = app.metrics.encode();
        lines.iter().all(|line| metrics.contains(line))
    })
    .await;
    gate.open();

    assert_eq!(running.await.unwrap().status(), 200);
    let mut sizes = Vec::new();
    for answer in waiting {
        let answer = answer.await.unwrap();
        sizes.push(
            answer.headers()["x-batch-size"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(sizes, ["2", "2", "1"], "{MODEL}");
}
