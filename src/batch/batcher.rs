//! The task that carries out what the policy decides.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::key::BatchKey;
use super::pending::{Pending, Standing};
use super::policy::{self, Decision, Limits, Situation};
use crate::job::{Dropped, Job, JobError};
use crate::queue::{QueueReceiver, Queued};
use crate::telemetry::Metrics;

/// Jobs that go through an engine together.
#[derive(Debug)]
pub struct Batch {
    /// What they have in common.
    pub key: BatchKey,
    /// The jobs, at least one.
    pub jobs: Vec<Job>,
}

/// An idle engine's outstretched hand: takes one batch.
pub type EngineSlot = oneshot::Sender<Batch>;

/// Owns the receiving end of the queue and hands batches to idle engines.
///
/// A batch is formed only once an engine has asked for one, so a job is either still in
/// `pending`, where it can be dropped for free, or runs at once.
#[derive(Debug)]
pub struct Batcher {
    queue: QueueReceiver,
    engines: mpsc::Receiver<EngineSlot>,
    limits: Limits,
    metrics: Metrics,
    pending: Pending<BatchKey, Queued>,
    idle: Vec<EngineSlot>,
    /// Whether the last batch went before one that had waited longer.
    overtook: bool,
}

impl Batcher {
    /// A batcher between a queue and the engines that send their slots over `engines`.
    #[must_use]
    pub fn new(
        queue: QueueReceiver,
        engines: mpsc::Receiver<EngineSlot>,
        limits: Limits,
        metrics: Metrics,
    ) -> Self {
        Self {
            queue,
            engines,
            limits,
            metrics,
            pending: Pending::default(),
            idle: Vec::new(),
            overtook: false,
        }
    }

    /// Runs until the queue is closed and empty, or no engine is left.
    ///
    /// When it returns, its ends of both channels are gone: engines that wait for a batch stop,
    /// and jobs still on their way are answered by their dropped reply channels.
    pub async fn run(mut self) {
        let mut queue_open = true;
        loop {
            // Take in everything that is here already, then decide: a decision made on half the
            // arrivals would send needlessly small batches.
            while let Ok(queued) = self.queue.jobs.try_recv() {
                self.accept(queued);
            }
            while let Ok(slot) = self.engines.try_recv() {
                self.idle.push(slot);
            }
            self.idle.retain(|slot| !slot.is_closed());
            let now = now();
            self.drop_unwanted(now);
            let wake_at = match self.decide(now) {
                Decision::Take {
                    key,
                    limit,
                    overtakes,
                } => {
                    self.overtook = overtakes;
                    self.dispatch(key, limit, now);
                    continue;
                }
                Decision::WaitUntil(moment) => Some(moment),
                Decision::Wait => None,
            };
            if !queue_open && self.pending.is_empty() {
                return;
            }
            let wake_at = wake_at.into_iter().chain(self.next_deadline()).min();
            tokio::select! {
                queued = self.queue.jobs.recv(), if queue_open => match queued {
                    Some(queued) => self.accept(queued),
                    None => queue_open = false,
                },
                slot = self.engines.recv() => match slot {
                    Some(slot) => self.idle.push(slot),
                    None => return self.fail_everything(),
                },
                () = self.queue.upstream.emptied() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    fn accept(&mut self, queued: Queued) {
        let standing = Standing {
            request: queued.job.request,
            is_first: queued.job.is_first,
            queued_at: queued.job.queued_at,
        };
        self.metrics.enter_queue(queued.job.features.frames);
        self.pending.push(queued.job.key.clone(), standing, queued);
    }

    fn decide(&self, now: Instant) -> Decision<BatchKey> {
        // Once the queue is closed the upstream count stays at zero: every guard's owner held a
        // handle of the queue.
        let situation = Situation {
            now,
            idle_engines: self.idle.len(),
            more_is_coming: self.queue.upstream.count() > 0,
            overtook: self.overtook,
        };
        policy::decide(&self.pending, self.limits, situation)
    }

    /// Cancelled and expired jobs go before they cost anything.
    fn drop_unwanted(&mut self, now: Instant) {
        for queued in self
            .pending
            .remove_if(|queued| queued.job.dropped(now).is_some())
        {
            let job = queued.into_job();
            self.metrics.leave_queue(job.features.frames);
            match job.dropped(now) {
                Some(Dropped::Cancelled) | None => self.metrics.jobs_cancelled.inc(),
                Some(Dropped::Expired) => self.metrics.jobs_expired.inc(),
            };
            job.answer(Err(JobError::Expired));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|queued| queued.job.deadline).min()
    }

    fn dispatch(&mut self, key: BatchKey, limit: usize, now: Instant) {
        let Some(slot) = self.idle.pop() else {
            return;
        };
        let jobs: Vec<Job> = self
            .pending
            .take(&key, limit)
            .into_iter()
            .map(Queued::into_job)
            .collect();
        for job in &jobs {
            self.metrics.leave_queue(job.features.frames);
        }
        let waits = jobs.iter().map(|job| now - job.queued_at);
        let full = self.limits.batch_size.get();
        self.metrics.observe_batch(jobs.len(), full, waits);
        if let Err(Batch { jobs, .. }) = slot.send(Batch { key, jobs }) {
            // The engine died between asking and receiving; its jobs have lost their places.
            for job in jobs {
                job.answer(Err(JobError::EngineGone));
            }
        }
    }

    fn fail_everything(mut self) {
        self.queue.jobs.close();
        while let Ok(queued) = self.queue.jobs.try_recv() {
            queued.into_job().answer(Err(JobError::EngineGone));
        }
        for queued in self.pending.remove_if(|_| true) {
            let job = queued.into_job();
            self.metrics.leave_queue(job.features.frames);
            job.answer(Err(JobError::EngineGone));
        }
    }
}

/// The runtime's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::GenerateOptions;
    use crate::engine::Generation;
    use crate::engine::fake::FakeEngine;
    use crate::features::Features;
    use crate::job::{Answer, RequestId};
    use crate::queue::{self, QueueHandle};
    use crate::tokens::{PromptSpec, Task};

    const WINDOW: Duration = Duration::from_millis(20);
    const BATCH_SIZE: usize = 4;

    type Answers = oneshot::Receiver<Result<Answer, JobError>>;

    /// A batcher that runs, with the test in place of its callers and engines.
    struct Bench {
        queue: QueueHandle,
        engines: mpsc::Sender<EngineSlot>,
        metrics: Metrics,
    }

    impl Bench {
        fn start() -> Self {
            let (queue, receiver) = queue::bounded(512);
            let (engines, slots) = mpsc::channel(8);
            let metrics = Metrics::new();
            let limits = Limits {
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

        fn send(&self, request: u64, key: BatchKey, lasts: Duration) -> Answers {
            let (reply, answers) = oneshot::channel();
            let job = Job {
                request: RequestId(request),
                is_first: true,
                features: Features {
                    n_mels: 80,
                    frames: 0,
                    values: Vec::new(),
                },
                prompt: PromptSpec {
                    language: None,
                    task: Task::Transcribe,
                    timestamps: false,
                    previous: Vec::new(),
                },
                decoding: Arc::default(),
                key,
                deadline: now() + lasts,
                queued_at: now(),
                reply,
                span: tracing::Span::none(),
            };
            self.queue
                .send(self.queue.try_reserve().unwrap(), job)
                .unwrap();
            answers
        }

        async fn next_batch(&self) -> Batch {
            let (slot, batch) = oneshot::channel();
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

    fn answer() -> Answer {
        let generation: Generation = FakeEngine::generation(vec![1]);
        Answer {
            generation,
            queue_time: Duration::ZERO,
            inference_time: Duration::ZERO,
            batch_size: 1,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_lone_job_does_not_wait_for_the_window() {
        let bench = Bench::start();
        let start = now();
        let _answers = bench.send(1, key(3000), LONG);

        let batch = bench.next_batch().await;

        assert_eq!(batch.jobs.len(), 1);
        assert_eq!(now(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn company_that_is_being_prepared_is_awaited_and_joins() {
        let bench = Bench::start();
        let coming = bench.queue.expect_window();
        let _first = bench.send(1, key(3000), LONG);
        let batch = bench.next_batch();
        tokio::pin!(batch);
        assert!(futures_util::poll!(&mut batch).is_pending());

        let _second = bench.send(2, key(3000), LONG);
        drop(coming);

        assert_eq!(batch.await.jobs.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn company_that_does_not_come_costs_one_window() {
        let bench = Bench::start();
        let _coming = bench.queue.expect_window();
        let start = now();
        let _answers = bench.send(1, key(3000), LONG);

        let batch = bench.next_batch().await;

        assert_eq!(batch.jobs.len(), 1);
        assert_eq!(now() - start, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_and_expired_jobs_never_reach_an_engine() {
        let bench = Bench::start();
        drop(bench.send(1, key(3000), LONG));
        let late = bench.send(2, key(3000), Duration::from_secs(1));
        let kept = bench.send(3, key(3000), LONG);

        assert_eq!(late.await.unwrap().unwrap_err(), JobError::Expired);
        let batch = bench.next_batch().await;

        assert_eq!(
            batch
                .jobs
                .iter()
                .map(|job| job.request.0)
                .collect::<Vec<_>>(),
            [3]
        );
        assert_eq!(bench.metrics.jobs_cancelled.get(), 1);
        assert_eq!(bench.metrics.jobs_expired.get(), 1);
        assert_eq!(bench.queue.depth(), 0);
        drop((batch, kept));
    }

    #[tokio::test(start_paused = true)]
    async fn every_job_is_answered_when_the_last_engine_dies() {
        let bench = Bench::start();
        let waiting = bench.send(1, key(3000), LONG);
        let Bench { queue, engines, .. } = bench;

        drop(engines);

        assert_eq!(waiting.await.unwrap().unwrap_err(), JobError::EngineGone);
        assert!(
            queue.reserve().await.is_ok(),
            "the answered job's place is free"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_is_emptied_before_the_batcher_ends() {
        let bench = Bench::start();
        let answers = bench.send(1, key(3000), LONG);
        let Bench { queue, engines, .. } = bench;
        drop(queue);

        let (slot, batch) = oneshot::channel();
        engines.send(slot).await.unwrap();
        for job in batch.await.unwrap().jobs {
            job.answer(Ok(answer()));
        }

        assert!(answers.await.unwrap().is_ok());
        engines.closed().await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Random arrivals, keys, hang-ups and engine speeds: every job that is not cancelled is
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
                let bench = Bench::start();
                let (kept, batches) = (std::cell::RefCell::new(Vec::new()), async {
                    let mut sizes = Vec::new();
                    loop {
                        let batch = bench.next_batch().await;
                        assert!((1..=BATCH_SIZE).contains(&batch.jobs.len()));
                        assert!(batch.jobs.iter().all(|job| job.key == batch.key));
                        sizes.push(batch.jobs.len());
                        tokio::time::sleep(Duration::from_millis(engine_ms)).await;
                        for job in batch.jobs {
                            job.answer(Ok(answer()));
                        }
                    }
                });
                let arrivals = async {
                    for &(request, frames, pause_ms, hangs_up) in &jobs {
                        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                        let answers = bench.send(request, key(frames), LONG);
                        if !hangs_up {
                            kept.borrow_mut().push(answers);
                        }
                    }
                    for answers in kept.take() {
                        assert!(answers.await.unwrap().is_ok());
                    }
                };
                let sizes: Vec<usize> =
                    tokio::select! { sizes = batches => sizes, () = arrivals => Vec::new() };
                assert!(sizes.is_empty(), "the engine side never ends by itself");
            });
        }
    }
}
