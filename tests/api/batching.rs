//! Windows of many requests in one batch, and faults that affect only their own request.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use halkspeech::batch::BatchLimits;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{Engine, EngineError};
use reqwest::Response;
use tokio::task::JoinHandle;

use crate::helpers::audio::tone;
use crate::helpers::engine::{
    BAD_PITCH_HZ, EngineFault, EngineGate, band_engine, gated_engine, gated_engine_with_fault,
    loudest_bands,
};
use crate::helpers::{MODEL, TestApp, TestSetup, check_error, error, header, text};

/// Limits with so long a batch window that a test would time out if a batch waited for its end.
fn long_batch_window() -> BatchLimits {
    let batch_size = NonZeroUsize::new(64).unwrap();
    BatchLimits {
        batch_size,
        window: Duration::from_secs(3_600),
    }
}

/// Blocks the engine with a first request while requests of `pitches` queue up, then opens the gate.
async fn submit_together(app: &TestApp, gate: &EngineGate, pitches: &[f64]) -> Vec<Response> {
    let first = app.submit(tone(200.0));
    gate.reached().await;
    let waiting: Vec<JoinHandle<Response>> = pitches
        .iter()
        .map(|pitch| app.submit(tone(*pitch)))
        .collect();
    app.until_queued(pitches.len()).await;
    gate.open();
    assert_eq!(first.await.unwrap().status(), 200);
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn windows_of_concurrent_requests_share_a_batch() {
    let gate = EngineGate::new();
    let setup = TestSetup {
        limits: long_batch_window(),
        engine: gated_engine(&gate),
        ..TestSetup::default()
    };
    let app = TestApp::start_with(setup).await;

    let answers = submit_together(&app, &gate, &[300.0, 500.0, 700.0, 900.0]).await;

    for answer in answers {
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-batch-size"), "4");
    }
}

#[tokio::test]
async fn only_windows_with_equal_parameters_share_a_batch() {
    let cases = [
        ([("beam_size", "3"), ("beam_size", "3")], "2"),
        ([("beam_size", "2"), ("include[]", "logprobs")], "2"),
        ([("no_speech_threshold", "0.1"), ("language", "en")], "2"),
        ([("beam_size", "3"), ("beam_size", "4")], "1"),
        ([("temperature", "0"), ("temperature", "0.2")], "1"),
        ([("patience", "1"), ("patience", "2")], "1"),
        ([("suppress_tokens", "-1"), ("suppress_tokens", "5")], "1"),
        // `json` has no times, so the model writes none in either case.
        (
            [("without_timestamps", "0"), ("without_timestamps", "1")],
            "2",
        ),
        (
            [
                ("response_format", "json"),
                ("response_format", "verbose_json"),
            ],
            "1",
        ),
        ([("prompt", ""), ("prompt", "Ask not")], "1"),
    ];
    for (fields, size) in cases {
        let gate = EngineGate::new();
        let setup = TestSetup {
            limits: long_batch_window(),
            engine: gated_engine(&gate),
            ..TestSetup::default()
        };
        let app = TestApp::start_with(setup).await;
        let first = app.submit(tone(200.0));
        gate.reached().await;

        let waiting = fields.map(|field| {
            let request = app.form(tone(500.0), &[("model", MODEL), field]);
            tokio::spawn(async move { request.send().await.unwrap() })
        });
        app.until_queued(2).await;
        gate.open();

        assert_eq!(first.await.unwrap().status(), 200);
        for answer in waiting {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200, "{fields:?}");
            assert_eq!(header(&answer, "x-batch-size"), size, "{fields:?}");
        }
    }
}

#[tokio::test]
async fn each_of_many_requests_gets_its_own_answer_once() {
    let gate = EngineGate::new();
    let app = TestApp::start_with(TestSetup {
        engine: gated_engine(&gate),
        ..TestSetup::default()
    })
    .await;
    let pitches: Vec<f64> = (0..48)
        .map(|number| 200.0 + 40.0 * f64::from(number))
        .collect();

    let answers = submit_together(&app, &gate, &pitches).await;

    let mut batched = HashMap::new();
    for (pitch, answer) in pitches.iter().zip(answers) {
        assert_eq!(answer.status(), 200);
        batched.insert(pitch.to_bits(), text(answer).await);
    }
    // In a batch of one, the same audio has the same text.
    for pitch in &pitches {
        assert_eq!(
            app.text_of(tone(*pitch)).await,
            batched[&pitch.to_bits()],
            "{pitch} Hz"
        );
    }
    assert_eq!(app.responses(200), 1 + 2 * 48);
}

#[tokio::test]
async fn a_single_request_does_not_wait_for_others() {
    let app = TestApp::start_with(TestSetup {
        limits: long_batch_window(),
        ..TestSetup::default()
    })
    .await;

    let mut waits = Vec::new();
    for _ in 0..5 {
        let answer = app.submit(tone(500.0)).await.unwrap();
        assert_eq!(header(&answer, "x-batch-size"), "1");
        waits.push(header(&answer, "x-queue-ms").parse::<u64>().unwrap());
    }

    // The fastest, because other tests may keep the machine busy.
    assert!(waits.iter().min() < Some(&5), "{waits:?}");
}

#[tokio::test]
async fn an_error_on_one_window_fails_that_request_alone() {
    let gate = EngineGate::new();
    let engine = gated_engine_with_fault(&gate, EngineFault::Error);
    let app = TestApp::start_with(TestSetup {
        limits: long_batch_window(),
        engine,
        ..TestSetup::default()
    })
    .await;

    let answers = submit_together(&app, &gate, &[300.0, 500.0, BAD_PITCH_HZ, 700.0, 900.0]).await;

    for (number, answer) in answers.into_iter().enumerate() {
        if number == 2 {
            assert_eq!(answer.status(), 500);
            let id = header(&answer, "x-request-id").to_owned();
            let error = error(answer).await;
            check_error(&error, "server_error", None, None, &id);
            assert!(!error.to_string().contains("secret"), "{error}");
        } else {
            assert_eq!(answer.status(), 200, "{number}");
        }
    }
    assert_eq!(app.metrics.jobs_failed.get(), 1);
}

#[tokio::test]
async fn a_panic_on_one_window_fails_that_request_alone() {
    let gate = EngineGate::new();
    let engine = gated_engine_with_fault(&gate, EngineFault::Panic);
    let app = TestApp::start_with(TestSetup {
        limits: long_batch_window(),
        engine,
        ..TestSetup::default()
    })
    .await;

    let answers = submit_together(
        &app,
        &gate,
        &[300.0, BAD_PITCH_HZ, 500.0, BAD_PITCH_HZ, 700.0],
    )
    .await;

    for (number, answer) in answers.into_iter().enumerate() {
        if number % 2 == 0 {
            assert_eq!(answer.status(), 200, "{number}");
            continue;
        }
        assert_eq!(answer.status(), 500, "{number}");
        let error = error(answer).await;
        check_error(&error, "server_error", None, None, "Request id");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(app.submit(tone(500.0)).await.unwrap().status(), 200);
    // One after the batch, one after each bad window; the last is created after its window is answered.
    assert_eq!(app.metrics.engines_restarted.get(), 3);
}

#[tokio::test]
async fn windows_of_an_engine_that_panicked_are_retried_once_on_a_new_one() {
    let gate = EngineGate::new();
    let (first_gate, created) = (Arc::clone(&gate), AtomicUsize::new(0));
    let working = band_engine();
    let app = TestApp::start_with(TestSetup {
        limits: long_batch_window(),
        engine: Arc::new(move || match created.fetch_add(1, Ordering::SeqCst) {
            0 => engine_that_panics_in_its_second_batch(&first_gate),
            _ => working(),
        }),
        ..TestSetup::default()
    })
    .await;

    let answers = submit_together(&app, &gate, &[300.0, 500.0, 700.0]).await;

    for answer in answers {
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-batch-size"), "1");
    }
    assert_eq!(app.metrics.engines_restarted.get(), 1);
    assert_eq!(app.metrics.jobs_failed.get(), 0);
}

fn engine_that_panics_in_its_second_batch(
    gate: &Arc<EngineGate>,
) -> Result<Box<dyn Engine>, EngineError> {
    let (gate, batches) = (Arc::clone(gate), AtomicUsize::new(0));
    FakeEngine::factory(move |_, inputs| {
        gate.pass();
        assert_eq!(
            batches.fetch_add(1, Ordering::SeqCst),
            0,
            "the device is gone"
        );
        Ok(loudest_bands(inputs))
    })()
}

#[tokio::test]
async fn an_engine_that_fails_on_every_batch_is_replaced() {
    let created = AtomicUsize::new(0);
    let broken =
        FakeEngine::factory(|_, _| Err(EngineError::Batch("the device is lost".to_owned())));
    let working = band_engine();
    let app = TestApp::start_with(TestSetup {
        engine: Arc::new(move || match created.fetch_add(1, Ordering::SeqCst) {
            0 => broken(),
            _ => working(),
        }),
        ..TestSetup::default()
    })
    .await;

    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(app.submit(tone(440.0)).await.unwrap().status().as_u16());
    }

    assert_eq!(answers, [500, 500, 500, 200, 200]);
    assert_eq!(app.metrics.engines_restarted.get(), 1);
}

#[tokio::test]
async fn a_model_without_engines_is_loaded_again() {
    let created = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&created);
    let panics = FakeEngine::factory(|_, _| panic!("the device is gone"));
    let working = band_engine();
    let app = TestApp::start_with(TestSetup {
        // The first engine panics, and the first attempt to create another one fails.
        engine: Arc::new(move || match counter.fetch_add(1, Ordering::SeqCst) {
            0 => panics(),
            1 => Err(EngineError::Load("the device is still gone".to_owned())),
            _ => working(),
        }),
        ..TestSetup::default()
    })
    .await;

    // The number of requests that fail depends on how soon the panic is noticed.
    let mut answers = Vec::new();
    while answers.last() != Some(&200) && answers.len() < 1000 {
        let answer = app.submit(tone(440.0)).await.unwrap();
        answers.push(answer.status().as_u16());
    }

    assert_eq!(answers.first(), Some(&500));
    assert_eq!(answers.last(), Some(&200));
    assert_eq!(created.load(Ordering::SeqCst), 3);
}
