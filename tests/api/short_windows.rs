//! Short windows, padded to less than 30 s.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use halkspeech_whisper::engine::EngineFactory;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::features::WindowLengths;

use crate::helpers::audio::tones;
use crate::helpers::engine::{EngineGate, engine_gated_after_first_batch, loudest_bands};
use crate::helpers::{MODEL, TestApp, TestSetup, text, until};

/// Lengths of the executed batches, in frames.
type BatchFrames = Arc<Mutex<Vec<usize>>>;

/// An engine that marks every short window as doubtful.
fn doubtful_engine() -> (EngineFactory, BatchFrames) {
    let frames = BatchFrames::default();
    let recorder = Arc::clone(&frames);
    let engine = FakeEngine::factory(move |key, inputs| {
        recorder.lock().unwrap().push(key.frames);
        let mut generations = loudest_bands(inputs);
        for (generation, input) in generations.iter_mut().zip(inputs) {
            generation.needs_longer_encoding = !input.is_full_length();
        }
        Ok(generations)
    });
    (engine, frames)
}

fn clip(seconds: u64) -> Vec<u8> {
    tones(&[(500.0, Duration::from_secs(seconds))])
}

fn setup(engine: EngineFactory) -> TestSetup {
    TestSetup {
        engine,
        lengths: WindowLengths::new(5, 5),
        ..TestSetup::default()
    }
}

#[tokio::test]
async fn a_doubtful_text_is_generated_again_from_30_s() {
    let (engine, frames) = doubtful_engine();
    let app = TestApp::start_with(setup(engine)).await;

    let answer = app.submit(clip(2)).await.unwrap();

    assert_eq!(answer.status(), 200);
    assert!(text(answer).await.contains("band"));
    assert_eq!(*frames.lock().unwrap(), [1000, 3000]);
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
    let (engine, frames) = doubtful_engine();
    let app = TestApp::start_with(setup(engine)).await;

    let answer = app.submit(clip(26)).await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(*frames.lock().unwrap(), [3000]);
}

#[tokio::test]
async fn only_windows_of_equal_length_share_a_batch() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(setup(engine_gated_after_first_batch(&gate))).await;
    app.text_of(clip(1)).await;
    let running = app.submit(clip(1));
    gate.reached().await;

    // While the engine is busy, windows of two lengths queue up: twice 10 s, once 15 s.
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
