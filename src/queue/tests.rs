//! A scheduled queue in virtual time; the test is its runner.

use std::num::NonZeroUsize;

use tokio::sync::oneshot;

use super::*;
use crate::clock::now;
use crate::job::test_jobs::job;
use crate::job::{JobError, JobOutput};
use crate::schedule::{Layout, Limits, MemoryLimit, ShareLimits};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::engine::{BatchKey, GenerateOptions};

type Answer = oneshot::Receiver<Result<JobOutput, JobError>>;

/// Windows of 10 s, of which a runner with one slot writes one a second.
const WINDOW: Duration = Duration::from_secs(10);
const ENCODING: Duration = Duration::from_millis(900);
const STEP: Duration = Duration::from_millis(100);

const ON_TIME: WhenFull = WhenFull::Wait;

/// A request with its only window in the queue.
struct Request {
    _request: ScheduledRequest,
    _sent: SentWindow,
    answer: Answer,
}

struct Harness {
    queue: ScheduledQueue,
    runner: RunnerHandle,
    requests: u64,
}

impl Harness {
    fn new(max_waiting: usize) -> Self {
        let limits = Limits {
            layout: Layout::Overlapping,
            max_slots: NonZeroUsize::MIN,
            max_waiting: NonZeroUsize::new(max_waiting).unwrap(),
            max_encode: NonZeroUsize::MIN,
            max_open: NonZeroUsize::MIN,
            batch_window: Duration::ZERO,
            memory: MemoryLimit::Shared(u64::MAX),
            shares: ShareLimits::default(),
        };
        let one = NonZeroUsize::MIN;
        let (queue, mut runners) =
            ScheduledQueue::new(limits, Dimensions::default(), one, Metrics::new());
        Self {
            queue,
            runner: runners.remove(0),
            requests: 0,
        }
    }

    /// A request of another caller, with its window.
    async fn request(&mut self, patience: Duration, arrival: Arrival) -> Result<Request, NoPlace> {
        self.requests += 1;
        let new = NewWindow {
            request: RequestId(self.requests),
            caller: Caller::Key(self.requests as usize),
            lane: Lane::Interactive,
            deadline: now() + patience,
        };
        let (request, place) = self.queue.admit(new, arrival).await?;
        request.announce(Lane::Interactive, WINDOW)?;
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (mut job, answer) = job(self.requests, key, now(), patience);
        job.features.frames = 1000;
        Ok(Request {
            _request: request,
            _sent: place.send(job)?,
            answer,
        })
    }

    /// Writes windows for this time, or until none is left.
    async fn run_for(&self, time: Duration) {
        let until = now() + time;
        let mut open = Vec::new();
        while (now() < until && self.queue.depth() > 0) || !open.is_empty() {
            match self.runner.next().expect("an open queue") {
                RunnerWork::Begin(mut window) => {
                    tokio::time::advance(ENCODING).await;
                    window.begin(1, now(), &Metrics::new());
                    open.push(window);
                    let mut report = self.runner.report();
                    report.done();
                    assert_eq!(report.finish(), []);
                }
                RunnerWork::Step(ids) => {
                    tokio::time::advance(STEP).await;
                    let mut report = self.runner.report();
                    report.done();
                    ids.iter().for_each(|id| report.end(*id));
                    assert_eq!(report.finish().len(), ids.len());
                    for window in open.drain(..) {
                        window.reply.answer(Ok(output()), &Metrics::new());
                    }
                }
                RunnerWork::Align(_) | RunnerWork::Close(_) => panic!("nothing is aligned"),
            }
        }
    }
}

fn output() -> JobOutput {
    JobOutput {
        generation: FakeEngine::generation(vec![1]),
        queue_time: Duration::ZERO,
        inference_time: Duration::ZERO,
        batch_size: 1,
    }
}

const NEW: Arrival = Arrival {
    when_full: WhenFull::Refuse,
    ticket: None,
};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_request_that_would_be_late_gets_a_return_time_and_is_admitted_then() {
    let mut harness = Harness::new(1000);
    let mut waiting = Vec::new();
    for _ in 0..120 {
        waiting.push(harness.request(LONG, NEW).await.unwrap());
    }
    // From here on the speed is known: a second for each window.
    harness.run_for(Duration::from_secs(30)).await;

    let patience = Duration::from_secs(40);
    let refused = harness.request(patience, NEW).await.err().unwrap();
    let NoPlace::TooLate(TooLate { estimate, retry }) = refused else {
        panic!("{refused:?}");
    };

    // 90 windows wait, of which 31 may: 80 % of the time until the deadline.
    assert!((90..93).contains(&estimate.as_secs()), "{estimate:?}");
    assert!((57..61).contains(&retry.after.as_secs()), "{retry:?}");
    harness.run_for(retry.after).await;
    let newcomer = harness.request(patience, NEW).await;
    assert!(newcomer.is_err(), "the place of another is free");
    let arrival = Arrival {
        when_full: ON_TIME,
        ticket: retry.ticket,
    };
    let mut returned = harness.request(patience, arrival).await.unwrap();
    harness.run_for(patience).await;
    assert!(returned.answer.try_recv().unwrap().is_ok());
    for mut request in waiting {
        assert!(request.answer.try_recv().unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_one_that_returned_on_time_waits() {
    let mut harness = Harness::new(1);
    let waiting = harness.request(LONG, NEW).await.unwrap();
    let refused = harness.request(LONG, NEW).await.err().unwrap();
    let NoPlace::Full(QueueFull { capacity: 1, .. }) = refused else {
        panic!("{refused:?}");
    };
    let arrival = Arrival {
        when_full: ON_TIME,
        ticket: None,
    };
    let queue = harness.queue.clone();
    let new = NewWindow {
        request: RequestId(9),
        caller: Caller::LOCAL,
        lane: Lane::Interactive,
        deadline: now() + LONG,
    };
    let returned = queue.admit(new, arrival);
    tokio::pin!(returned);
    assert!(futures_util::poll!(&mut returned).is_pending());
    drop(waiting);
    assert!(returned.await.is_ok());
    assert_eq!(queue.depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_ready_before_the_first_takes_its_own_place() {
    let harness = Harness::new(2);
    let new = NewWindow {
        request: RequestId(1),
        caller: Caller::LOCAL,
        lane: Lane::Interactive,
        deadline: now() + LONG,
    };
    let (_request, first) = harness.queue.admit(new, NEW).await.unwrap();
    let second = harness.queue.place(new).await.unwrap();
    assert_eq!(harness.queue.depth(), 2);
    let send = |place: ScheduledPlace| {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (job, answer) = job(1, key, now(), LONG);
        (place.send(job).unwrap(), answer)
    };
    let _second = send(second);
    let _first = send(first);
    assert_eq!(harness.queue.depth(), 2);
}
