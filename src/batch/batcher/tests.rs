use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::job::JobOutput;
use crate::job::test_jobs::job;
use crate::queue::{self, BatchQueue};
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::{GenerateOptions, Generation};

const WINDOW: Duration = Duration::from_millis(20);
const BATCH_SIZE: usize = 4;

type ReplyReceiver = oneshot::Receiver<Result<JobOutput, JobError>>;

/// A batcher that runs, with the test in place of its callers and engines.
struct Harness {
    queue: BatchQueue,
    engines: mpsc::Sender<EngineSlot>,
    metrics: Metrics,
}

impl Harness {
    fn start() -> Self {
        let (queue, receiver) = queue::bounded(512);
        let (engines, slots) = mpsc::channel(8);
        let metrics = Metrics::new();
        let limits = BatchLimits {
            batch_size: NonZeroUsize::new(BATCH_SIZE).unwrap(),
            window: WINDOW,
        };
        tokio::spawn(Batcher::new(receiver, slots, limits, metrics.clone()).run());
        Self {
            queue,
            engines,
            metrics,
        }
    }

    fn send(&self, request: u64, key: BatchKey, timeout: Duration) -> ReplyReceiver {
        let (job, receiver) = job(request, key, now(), timeout);
        self.queue
            .send(self.queue.try_reserve().unwrap(), job)
            .unwrap();
        receiver
    }

    async fn next_batch(&self) -> Batch {
        let (slot, batch) = EngineSlot::new();
        self.engines.send(slot).await.unwrap();
        batch.await.unwrap()
    }
}

fn key(frames: usize) -> BatchKey {
    BatchKey {
        frames,
        previous_tokens: 0,
        options: GenerateOptions::default(),
    }
}

fn output() -> JobOutput {
    let generation: Generation = FakeEngine::generation(vec![1]);
    JobOutput {
        generation,
        queue_time: Duration::ZERO,
        inference_time: Duration::ZERO,
        batch_size: 1,
    }
}

const LONG_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_lone_job_does_not_wait_for_the_window() {
    let harness = Harness::start();
    let start = now();
    let _receiver = harness.send(1, key(3000), LONG_TIMEOUT);

    let batch = harness.next_batch().await;

    assert_eq!(batch.jobs.len(), 1);
    assert_eq!(now(), start);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_being_prepared_joins_the_batch() {
    let harness = Harness::start();
    let coming = harness.queue.expect_window();
    let _first = harness.send(1, key(3000), LONG_TIMEOUT);
    let batch = harness.next_batch();
    tokio::pin!(batch);
    assert!(futures_util::poll!(&mut batch).is_pending());

    let _second = harness.send(2, key(3000), LONG_TIMEOUT);
    drop(coming);

    assert_eq!(batch.await.jobs.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_never_arrives_delays_a_batch_by_one_batch_window() {
    let harness = Harness::start();
    let _coming = harness.queue.expect_window();
    let start = now();
    let _receiver = harness.send(1, key(3000), LONG_TIMEOUT);

    let batch = harness.next_batch().await;

    assert_eq!(batch.jobs.len(), 1);
    assert_eq!(now() - start, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn cancelled_and_expired_jobs_never_reach_an_engine() {
    let harness = Harness::start();
    drop(harness.send(1, key(3000), LONG_TIMEOUT));
    let late = harness.send(2, key(3000), Duration::from_secs(1));
    let kept = harness.send(3, key(3000), LONG_TIMEOUT);

    assert_eq!(late.await.unwrap().unwrap_err(), JobError::Expired);
    let batch = harness.next_batch().await;

    assert_eq!(
        batch
            .jobs
            .iter()
            .map(|job| job.request.0)
            .collect::<Vec<_>>(),
        [3]
    );
    assert_eq!(harness.metrics.jobs_cancelled.get(), 1);
    assert_eq!(harness.metrics.jobs_expired.get(), 1);
    assert_eq!(harness.queue.depth(), 0);
    drop((batch, kept));
}

#[tokio::test(start_paused = true)]
async fn every_job_is_answered_when_the_last_engine_dies() {
    let harness = Harness::start();
    let waiting = harness.send(1, key(3000), LONG_TIMEOUT);
    let Harness { queue, engines, .. } = harness;

    drop(engines);

    assert_eq!(waiting.await.unwrap().unwrap_err(), JobError::EngineGone);
    assert!(
        queue.reserve().await.is_ok(),
        "the answered job's place is free"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_is_emptied_before_the_batcher_ends() {
    let harness = Harness::start();
    let receiver = harness.send(1, key(3000), LONG_TIMEOUT);
    let Harness { queue, engines, .. } = harness;
    drop(queue);

    let (slot, batch) = EngineSlot::new();
    engines.send(slot).await.unwrap();
    for job in batch.await.unwrap().jobs {
        job.answer(Ok(output()));
    }

    assert!(receiver.await.unwrap().is_ok());
    engines.closed().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random arrivals, keys, cancellations and engine speeds: every job that is not cancelled is
    /// in exactly one batch, of its own key, no larger than the limit.
    #[test]
    fn every_job_reaches_one_batch_of_its_key(
        jobs in prop::collection::vec((0_u64..5, 0_usize..3, 0_u64..40, any::<bool>()), 1..60),
        engine_ms in 0_u64..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let harness = Harness::start();
            let (kept, batches) = (std::cell::RefCell::new(Vec::new()), async {
                let mut sizes = Vec::new();
                loop {
                    let batch = harness.next_batch().await;
                    assert!((1..=BATCH_SIZE).contains(&batch.jobs.len()));
                    assert!(batch.jobs.iter().all(|job| job.key == batch.jobs[0].key));
                    sizes.push(batch.jobs.len());
                    tokio::time::sleep(Duration::from_millis(engine_ms)).await;
                    for job in batch.jobs {
                        job.answer(Ok(output()));
                    }
                }
            });
            let arrivals = async {
                for &(request, frames, pause_ms, cancels) in &jobs {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    let receiver = harness.send(request, key(frames), LONG_TIMEOUT);
                    if !cancels {
                        kept.borrow_mut().push(receiver);
                    }
                }
                for receiver in kept.take() {
                    assert!(receiver.await.unwrap().is_ok());
                }
            };
            let sizes: Vec<usize> =
                tokio::select! { sizes = batches => sizes, () = arrivals => Vec::new() };
            assert!(sizes.is_empty(), "the engine side never ends by itself");
        });
    }
}
