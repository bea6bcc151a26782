//! A worker whose engine writes as many steps for a window as it has frames.

mod step_engine;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::*;
use crate::caller::Caller;
use crate::job::CertainText;
use crate::job::test_jobs::job;
use crate::queue::{NewWindow, ScheduledQueue, SentWindow};
use crate::schedule::{Lane, Layout, Limits, MemoryLimit, RequestId, ShareLimits};
use crate::worker::{WorkSource, spawn};
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::memory::{DeviceMemory, Dimensions};
use halkspeech_whisper::engine::{
    BatchKey, EngineFactory, EngineInput, EnginePlan, GenerateOptions,
};
use halkspeech_whisper::search::ScoredToken;
use step_engine::{Call, Journal, StepEngine};

/// A window that was sent: dropping it cancels the window.
type Sent = (SentWindow, oneshot::Receiver<Result<JobOutput, JobError>>);

/// Frames of a window that every step fails with, of one that panics, and of one that never ends.
const BAD: usize = 1001;
const PANICS: usize = 1002;
/// Frames of a window that cannot be encoded, and of one that is written until such a window comes.
const UNREADABLE: usize = 1003;
const UNTIL_UNREADABLE: usize = u32::MAX as usize;
const ENDLESS: usize = usize::MAX;

/// The text of a window: the number of its frames.
fn text(frames: usize) -> Generation {
    FakeEngine::generation(vec![u32::try_from(frames).unwrap()])
}

fn interactive() -> NewWindow {
    NewWindow {
        request: RequestId(1),
        caller: Caller::LOCAL,
        lane: Lane::Interactive,
        deadline: Instant::now() + Duration::from_secs(600),
    }
}

/// A worker with its queue.
struct Harness {
    queue: ScheduledQueue,
    journal: Arc<Mutex<Journal>>,
    metrics: Metrics,
    thread: JoinHandle<()>,
}

impl Harness {
    fn start(batch_size: usize, memory: usize) -> Self {
        let aligns = false;
        Self::start_with(batch_size, memory, aligns)
    }

    fn start_with(batch_size: usize, memory: usize, aligns: bool) -> Self {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let of_engines = Arc::clone(&journal);
        let factory: EngineFactory = Arc::new(move || {
            of_engines.lock().unwrap().engines += 1;
            Ok(Box::new(StepEngine {
                open: Vec::new(),
                certain: (0..50)
                    .map(|token| ScoredToken {
                        token,
                        log_prob: -0.1,
                    })
                    .collect(),
                batch_size,
                memory,
                aligns,
                journal: Arc::clone(&of_engines),
            }))
        });
        let metrics = Metrics::new();
        let engine = spawn("engine", factory, metrics.clone()).unwrap();
        let limits = Limits {
            layout: Layout::Overlapping,
            max_slots: NonZeroUsize::new(batch_size).unwrap(),
            max_waiting: NonZeroUsize::new(4096).unwrap(),
            max_encode: NonZeroUsize::MIN,
            max_open: NonZeroUsize::MIN,
            batch_window: Duration::ZERO,
            memory: MemoryLimit::Shared(u64::MAX),
            shares: ShareLimits::default(),
        };
        let dimensions = Dimensions {
            width: 1,
            heads: 1,
            decoder_layers: 1,
            vocabulary_size: 1,
            value_bytes: 1,
        };
        let (queue, mut runners) =
            ScheduledQueue::new(limits, dimensions, NonZeroUsize::MIN, metrics.clone());
        let source = WorkSource::Windows(runners.remove(0));
        engine.start.send(source).unwrap();
        Self {
            queue,
            journal,
            metrics,
            thread: engine.thread,
        }
    }

    /// Sends an interactive window of this many steps.
    fn send(&self, frames: usize) -> Sent {
        self.send_with_timeout(frames, Duration::from_secs(600))
    }

    fn send_with_timeout(&self, frames: usize, timeout: Duration) -> Sent {
        let new = NewWindow {
            deadline: Instant::now() + timeout,
            ..interactive()
        };
        self.send_as(new, frames, None)
    }

    /// Sends a window whose text is reported to `certain`, if it is given.
    fn send_as(&self, new: NewWindow, frames: usize, certain: Option<CertainText>) -> Sent {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (mut job, answer) = job(new.request.0, key, Instant::now(), Duration::ZERO);
        job.features.frames = frames;
        job.certain = certain;
        // Without the budget of a task, which a test uses up.
        let place = tokio::task::unconstrained(self.queue.place(new));
        let place = place.now_or_never().expect("a free place").unwrap();
        (place.send(job).unwrap(), answer)
    }

    /// Sends windows while the engine waits, so that it finds all of them.
    fn send_together(&self, frames: &[usize]) -> Vec<Sent> {
        let _waits = self.journal.lock().unwrap();
        frames.iter().map(|frames| self.send(*frames)).collect()
    }

    fn journal<T>(&self, read: impl Fn(&Journal) -> T) -> T {
        read(&self.journal.lock().unwrap())
    }

    async fn until(&self, condition: impl Fn(&Journal) -> bool) {
        while !self.journal(&condition) {
            tokio::task::yield_now().await;
        }
    }

    /// The most windows in a step.
    fn most_windows(&self) -> usize {
        let windows = |call: &Call| match call {
            Call::Step(ids) => ids.len(),
            _ => 0,
        };
        self.journal(|journal| journal.calls.iter().map(windows).max().unwrap_or(0))
    }
}

async fn answer((_sent, answer): Sent) -> Result<JobOutput, JobError> {
    answer.await.unwrap()
}

async fn tokens(sent: Sent) -> Vec<u32> {
    answer(sent).await.unwrap().generation.tokens
}

#[tokio::test]
async fn a_window_enters_while_another_is_written_and_leaves_before_it() {
    let worker = Harness::start(2, 2);
    let endless = worker.send(ENDLESS);
    for frames in [3, 1, 2] {
        let short = answer(worker.send(frames)).await.unwrap();
        assert_eq!(short.generation.tokens, [frames as u32]);
        assert_eq!(short.batch_size, 2);
    }
    assert_eq!(worker.metrics.open_windows.get(), 1);
    drop(endless);
    assert_eq!(tokens(worker.send(5)).await, [5]);
    assert_eq!(worker.most_windows(), 2);
    let steps = worker.metrics.decoder_steps.get();
    assert!(worker.metrics.decoder_rows.get() > steps);
    assert_eq!(worker.metrics.generated_tokens.get(), 4);
    assert_eq!(worker.metrics.queued_windows.get(), 0);
}

#[tokio::test]
async fn the_place_of_a_window_is_free_when_its_caller_has_left_or_its_deadline_has_passed() {
    let worker = Harness::start(1, 1);
    let left = worker.send(ENDLESS);
    worker.until(|journal| !journal.calls.is_empty()).await;
    drop(left);
    let late = worker.send_with_timeout(ENDLESS, Duration::ZERO);
    assert_eq!(tokens(worker.send(1)).await, [1]);
    assert_eq!(answer(late).await.unwrap_err(), JobError::Expired);
    assert!(worker.journal(|journal| journal.calls.contains(&Call::Close(0))));
    assert_eq!(worker.metrics.jobs_cancelled.get(), 1);
    assert_eq!(worker.metrics.jobs_expired.get(), 1);
    assert_eq!(worker.metrics.jobs_failed.get(), 0);
    assert_eq!(worker.metrics.queued_windows.get(), 0);
}

#[tokio::test]
async fn a_window_that_waits_leaves_the_queue_with_its_caller() {
    let worker = Harness::start(1, 1);
    let _endless = worker.send(ENDLESS);
    worker.until(|journal| !journal.calls.is_empty()).await;
    let waiting = worker.send(1);
    assert_eq!(
        (worker.queue.depth(), worker.metrics.queued_windows.get()),
        (1, 1)
    );
    drop(waiting);
    assert_eq!(
        (worker.queue.depth(), worker.metrics.queued_windows.get()),
        (0, 0)
    );
    assert_eq!(worker.metrics.jobs_cancelled.get(), 1);
}

#[tokio::test]
async fn a_bad_window_fails_no_other() {
    let worker = Harness::start(4, 4);
    let mut sent = worker.send_together(&[50, 60, BAD, 70]);
    let bad = answer(sent.remove(2)).await.unwrap_err();
    assert_eq!(bad, JobError::Failed("bad window".to_owned()));
    for (sent, expected) in sent.into_iter().zip([50, 60, 70]) {
        assert_eq!(tokens(sent).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 1);
}

#[tokio::test]
async fn a_window_that_cannot_be_encoded_fails_after_an_attempt_alone() {
    let worker = Harness::start(2, 2);
    let mut sent = worker.send_together(&[UNTIL_UNREADABLE, UNREADABLE]);
    let error = answer(sent.remove(1)).await.unwrap_err();
    assert_eq!(error, JobError::Failed("no encoding".to_owned()));
    assert_eq!(tokens(sent.remove(0)).await, [u32::MAX]);
    // Once beside the other window, once alone.
    assert_eq!(worker.metrics.encoder_calls.get(), 3);
    assert_eq!(worker.metrics.jobs_failed.get(), 1);
}

#[tokio::test]
async fn an_engine_that_panics_is_replaced_and_only_the_window_it_panics_on_fails() {
    let worker = Harness::start(3, 3);
    let mut sent = worker.send_together(&[50, PANICS, 60]);
    let panicked = answer(sent.remove(1)).await.unwrap_err();
    assert_eq!(
        panicked,
        JobError::Panicked("the device is gone".to_owned())
    );
    for (sent, expected) in sent.into_iter().zip([50, 60]) {
        assert_eq!(tokens(sent).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 3);
    assert_eq!(worker.metrics.engines_restarted.get(), 2);
}

#[tokio::test]
async fn out_of_memory_windows_are_written_with_fewer_others() {
    let worker = Harness::start(4, 2);
    let sent = worker.send_together(&[50, 51, 52, 53, 54, 55]);
    for (sent, expected) in sent.into_iter().zip(50..) {
        assert_eq!(tokens(sent).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 1);
    let failed = worker.journal(|journal| journal.calls.len());
    for sent in worker.send_together(&[5, 5, 5]) {
        assert_eq!(tokens(sent).await, [5]);
    }
    let later = worker.journal(|journal| journal.calls[failed..].to_vec());
    let is_alone = |call: &Call| !matches!(call, Call::Step(ids) if ids.len() > 1);
    assert!(later.iter().all(is_alone), "{later:?}");
}

#[tokio::test]
async fn windows_are_written_to_their_end_when_the_model_is_unloaded() {
    let worker = Harness::start(2, 2);
    let [first, second] = [40, 60].map(|frames| worker.send(frames));
    drop(worker.queue);
    assert_eq!(tokens(first).await, [40]);
    assert_eq!(tokens(second).await, [60]);
    worker.thread.join().unwrap();
}

#[tokio::test]
async fn words_are_aligned_one_window_between_two_steps() {
    let aligns = true;
    let worker = Harness::start_with(5, 5, aligns);
    for sent in worker.send_together(&[7, 6, 5, 4, 40]) {
        tokens(sent).await;
    }
    let calls = worker.journal(|journal| journal.calls.clone());
    let aligned = calls.iter().filter(|call| matches!(call, Call::Align(_)));
    assert_eq!(aligned.count(), 5);
    // Four texts end at the same step, and are not aligned in a row while another is written.
    let last_step = calls.iter().rposition(|call| matches!(call, Call::Step(_)));
    for pair in calls[..last_step.unwrap()].windows(2) {
        let are_steps = pair.iter().any(|call| matches!(call, Call::Step(_)));
        assert!(are_steps, "{pair:?}");
    }
}

#[tokio::test]
async fn between_two_steps_at_most_one_window_is_encoded() {
    let worker = Harness::start(8, 8);
    for sent in worker.send_together(&[30; 24]) {
        assert_eq!(tokens(sent).await, [30]);
    }
    let calls = worker.journal(|journal| journal.calls.clone());
    for pair in calls.windows(2) {
        let is_step = |call: &Call| matches!(call, Call::Step(_));
        assert!(pair.iter().any(is_step), "{pair:?}");
    }
    assert_eq!(worker.most_windows(), 8);
}

/// The long recordings of one caller fill the queue; a clip of another waits for the slot that it takes its turn for, and
/// is written in each step from then on.
#[tokio::test]
async fn a_clip_waits_for_one_window_of_a_caller_with_64_long_recordings() {
    const STEPS: usize = 50;
    let worker = Harness::start(8, 8);
    let window = |caller, request, lane| NewWindow {
        request: RequestId(request),
        caller: Caller::Key(caller),
        lane,
        deadline: Instant::now() + Duration::from_secs(600),
    };
    let mut long = Vec::new();
    for number in 0..16 {
        let lane = if number < 2 {
            Lane::Interactive
        } else {
            Lane::Bulk
        };
        long.extend((0..64).map(|request| worker.send_as(window(0, request, lane), STEPS, None)));
    }
    worker.until(|journal| journal.calls.len() > 500).await;

    let (clip, arrived) = {
        let journal = worker.journal.lock().unwrap();
        let clip = worker.send_as(window(1, 64, Lane::Interactive), STEPS, None);
        (clip, journal.calls.len())
    };
    let id = 64 * 16;
    assert_eq!(tokens(clip).await, [STEPS as u32]);

    let calls = worker.journal(|journal| journal.calls[arrived..].to_vec());
    let opened = calls
        .iter()
        .position(|call| *call == Call::Open(id))
        .unwrap();
    let is_urgent = |call: &&Call| matches!(call, Call::Open(other) if *other < 2 * 64);
    // One that was begun already, and one in the turn of the lane in which the clip arrived.
    assert!(calls[..opened].iter().filter(is_urgent).count() <= 2);
    let steps = calls[opened..].iter().filter_map(|call| match call {
        Call::Step(ids) => Some(ids),
        _ => None,
    });
    let own = steps.take_while(|ids| ids.contains(&id));
    assert_eq!(own.count(), STEPS);
    for (_sent, answer) in long {
        drop(answer);
    }
}

#[tokio::test]
async fn certain_text_is_reported_and_begins_the_text_of_the_next_engine() {
    let worker = Harness::start(2, 2);
    let changed = Arc::new(tokio::sync::Notify::new());
    let certain = CertainText::new(Arc::clone(&changed));
    let endless = worker.send_as(interactive(), ENDLESS, Some(certain.clone()));
    while certain.tokens().len() < 50 {
        changed.notified().await;
    }
    let panics = worker.send(PANICS);
    // The window is written again, alone, until its caller leaves.
    worker.until(|journal| journal.sent.len() >= 3).await;
    drop(endless);
    assert!(answer(panics).await.is_err());

    assert_eq!(tokens(worker.send(1)).await, [1]);
    let sent = worker.journal(|journal| journal.sent.clone());
    assert_eq!(sent, [Some(0), None, Some(50), None, None]);
}
