//! The task that carries out the policy's decisions.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::pending::{Arrival, Pending};
use super::policy::{self, BatchLimits, Decision, PolicyInput};
use crate::clock::now;
use crate::job::{Job, JobError, SkipReason};
use crate::queue::{QueueReceiver, QueuedJob};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::BatchKey;

/// Jobs that an engine runs together, with equal keys.
#[derive(Debug)]
pub struct Batch {
    /// The jobs, at least one.
    pub jobs: Vec<Job>,
}

/// Hand-off from an idle engine: accepts one batch.
#[derive(Debug)]
pub struct EngineSlot(oneshot::Sender<Batch>);

impl EngineSlot {
    /// The hand-off, and the engine's end of it.
    #[must_use]
    pub fn new() -> (Self, oneshot::Receiver<Batch>) {
        let (batch, receiver) = oneshot::channel();
        (Self(batch), receiver)
    }

    /// Whether the engine no longer waits for a batch.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Hands a batch to the engine.
    ///
    /// # Errors
    /// The batch, if the engine no longer waits for it.
    pub fn send(self, batch: Batch) -> Result<(), Batch> {
        self.0.send(batch)
    }
}

/// Owns the receiving end of the queue and hands batches to idle engines.
///
/// A batch is formed only when an engine is idle, so a job is either still in `pending`, where it
/// can be dropped at no cost, or runs at once.
#[derive(Debug)]
pub struct Batcher {
    queue: QueueReceiver,
    engines: mpsc::Receiver<EngineSlot>,
    limits: BatchLimits,
    metrics: Metrics,
    pending: Pending<BatchKey, QueuedJob>,
    idle: Vec<EngineSlot>,
    /// Whether the last batch was sent before one that had waited longer.
    overtook: bool,
}

impl Batcher {
    /// A batcher between a queue and the engines that send their slots over `engines`.
    #[must_use]
    pub fn new(
        queue: QueueReceiver,
        engines: mpsc::Receiver<EngineSlot>,
        limits: BatchLimits,
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
    /// When it returns, its ends of both channels are closed: engines that wait for a batch stop,
    /// and jobs that are still being sent fail by their dropped reply channels.
    pub async fn run(mut self) {
        let mut queue_open = true;
        loop {
            // Receive everything that has arrived before deciding: a decision on a part of the
            // arrivals would send needlessly small batches.
            while let Ok(queued) = self.queue.jobs.try_recv() {
                self.accept(queued);
            }
            while let Ok(slot) = self.engines.try_recv() {
                self.idle.push(slot);
            }
            self.idle.retain(|slot| !slot.is_closed());
            let now = now();
            self.drop_skipped(now);
            let wake_at = match self.decide(now) {
                Decision::Take {
                    key,
                    limit,
                    overtakes,
                } => {
                    self.overtook = overtakes;
                    self.dispatch(&key, limit, now);
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
                    None => return self.fail_all(),
                },
                () = self.queue.upstream.emptied() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    fn accept(&mut self, queued: QueuedJob) {
        let arrival = Arrival {
            request: queued.job.request,
            is_first: queued.job.is_first,
            queued_at: queued.job.queued_at,
        };
        self.metrics.enter_queue(queued.job.features.frames);
        let key = queued.job.key.clone();
        self.pending.push(key, arrival, queued);
    }

    fn decide(&self, now: Instant) -> Decision<BatchKey> {
        // Once the queue is closed the upstream count stays at zero: every owner of a guard holds a
        // handle of the queue.
        let input = PolicyInput {
            now,
            idle_engines: self.idle.len(),
            more_expected: self.queue.upstream.count() > 0,
            overtook: self.overtook,
        };
        policy::decide(&self.pending, self.limits, input)
    }

    /// Drops cancelled and expired jobs before they reach an engine.
    fn drop_skipped(&mut self, now: Instant) {
        for queued in self
            .pending
            .remove_if(|queued| queued.job.skip_reason(now).is_some())
        {
            let job = queued.into_job();
            self.metrics.leave_queue(job.features.frames);
            match job.skip_reason(now) {
                Some(SkipReason::Cancelled) | None => self.metrics.jobs_cancelled.inc(),
                Some(SkipReason::Expired) => self.metrics.jobs_expired.inc(),
            };
            job.answer(Err(JobError::Expired));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|queued| queued.job.deadline).min()
    }

    fn dispatch(&mut self, key: &BatchKey, limit: usize, now: Instant) {
        let Some(slot) = self.idle.pop() else {
            return;
        };
        let jobs: Vec<Job> = self
            .pending
            .take(key, limit)
            .into_iter()
            .map(QueuedJob::into_job)
            .collect();
        for job in &jobs {
            self.metrics.leave_queue(job.features.frames);
            self.metrics.observe_queue_time(now - job.queued_at);
        }
        let full = self.limits.batch_size.get();
        self.metrics.observe_batch(jobs.len(), full);
        if let Err(Batch { jobs, .. }) = slot.send(Batch { jobs }) {
            // The engine died before it received the batch; its jobs have left the queue already.
            for job in jobs {
                job.answer(Err(JobError::EngineGone));
            }
        }
    }

    fn fail_all(mut self) {
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

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
