//! A worker whose engine writes as many steps for a window as it has frames.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::job::CertainText;
use crate::job::test_jobs::job;
use crate::worker::spawn;
use halkspeech_whisper::engine::fake::FakeEngine;
use halkspeech_whisper::engine::memory::DeviceMemory;
use halkspeech_whisper::engine::{
    BatchKey, EngineFactory, EngineInput, EnginePlan, GenerateOptions,
};
use halkspeech_whisper::search::ScoredToken;

type Answer = oneshot::Receiver<Result<JobOutput, JobError>>;

/// Frames of a window that every step fails with, of one that panics, and of one that never ends.
const BAD: usize = 1001;
const PANICS: usize = 1002;
/// Frames of a window that cannot be encoded, and of one that is written until such a window comes.
const UNREADABLE: usize = 1003;
const UNTIL_UNREADABLE: usize = u32::MAX as usize;
const ENDLESS: usize = usize::MAX;

/// What the engines of a test have done.
#[derive(Default)]
struct Journal {
    engines: usize,
    closed: Vec<WindowId>,
    most_windows: usize,
    /// Number of tokens that each opened window begins with; none if its text is not reported.
    sent: Vec<Option<usize>>,
}

struct StepEngine {
    /// Frames of each open window, and the steps that are left.
    open: Vec<(WindowId, usize, usize)>,
    certain: Vec<ScoredToken>,
    batch_size: usize,
    /// Maximum number of windows that fit into its memory.
    memory: usize,
    journal: Arc<Mutex<Journal>>,
}

impl Engine for StepEngine {
    fn n_mels(&self) -> usize {
        80
    }

    fn plan(&self) -> EnginePlan {
        EnginePlan {
            device: "none".to_owned(),
            windows: self.batch_size,
            encoder_windows: 1,
            memory: None,
        }
    }

    fn max_windows(&self, _key: &BatchKey, lengths: &[usize]) -> usize {
        lengths.len()
    }

    fn reduce_budget(&mut self, _key: &BatchKey, _lengths: &[usize]) {}

    fn device_memory(&self) -> Option<DeviceMemory> {
        None
    }

    fn continuous(&mut self) -> Option<&mut dyn ContinuousEngine> {
        Some(self)
    }

    fn generate(
        &mut self,
        _key: &BatchKey,
        _inputs: &[EngineInput<'_>],
        _answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        Err(EngineError::Batch("not a batch engine".to_owned()))
    }
}

impl ContinuousEngine for StepEngine {
    fn open(
        &mut self,
        id: WindowId,
        _options: &GenerateOptions,
        input: &EngineInput<'_>,
    ) -> Result<(), EngineError> {
        let frames = input.features.frames;
        if frames == UNREADABLE {
            self.open.iter_mut().for_each(|(_, _, left)| *left = 1);
            return Err(EngineError::Batch("no encoding".to_owned()));
        }
        self.open.push((id, frames, frames));
        let mut journal = self.journal.lock().unwrap();
        journal.sent.push(input.sent.map(<[ScoredToken]>::len));
        journal.most_windows = journal.most_windows.max(self.open.len());
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(WindowId, Generation)>, EngineError> {
        let has = |wanted| self.open.iter().any(|&(_, frames, _)| frames == wanted);
        assert!(!has(PANICS), "the device is gone");
        if has(BAD) {
            self.open.clear();
            return Err(EngineError::Batch("bad window".to_owned()));
        }
        if self.open.len() > self.memory {
            self.open.clear();
            return Err(EngineError::OutOfMemory("out of memory".to_owned()));
        }
        for (_, _, left) in &mut self.open {
            *left -= 1;
        }
        let ended = self.open.iter().filter(|(_, _, left)| *left == 0);
        let texts = ended.map(|&(id, frames, _)| {
            let token = u32::try_from(frames).unwrap();
            (id, FakeEngine::generation(vec![token]))
        });
        let texts = texts.collect();
        self.open.retain(|(_, _, left)| *left > 0);
        Ok(texts)
    }

    fn certain(&self, id: WindowId) -> Option<&[ScoredToken]> {
        let &(_, frames, left) = self.open.iter().find(|&&(other, ..)| other == id)?;
        // Each step makes another token certain.
        self.certain.get(..(frames - left).min(self.certain.len()))
    }

    fn close(&mut self, id: WindowId) {
        self.open.retain(|&(other, ..)| other != id);
        self.journal.lock().unwrap().closed.push(id);
    }

    fn rows(&self) -> usize {
        self.open.len()
    }
}

/// A worker with the test in place of its batcher.
struct Harness {
    slots: mpsc::Receiver<EngineSlot>,
    journal: Arc<Mutex<Journal>>,
    metrics: Metrics,
}

impl Harness {
    fn start(batch_size: usize, memory: usize) -> Self {
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
                journal: Arc::clone(&of_engines),
            }))
        });
        let (sender, slots) = mpsc::channel(1);
        let metrics = Metrics::new();
        spawn("engine", factory, sender, metrics.clone()).unwrap();
        Self {
            slots,
            journal,
            metrics,
        }
    }

    /// Hands a window of this many steps to the next place that is offered.
    async fn send(&mut self, frames: usize) -> Answer {
        self.send_with_timeout(frames, Duration::from_secs(600))
            .await
    }

    async fn send_with_timeout(&mut self, frames: usize, timeout: Duration) -> Answer {
        self.send_reporting(frames, timeout, None).await
    }

    /// As [`send`](Self::send); its text is reported.
    async fn send_reporting(
        &mut self,
        frames: usize,
        timeout: Duration,
        certain: Option<CertainText>,
    ) -> Answer {
        let key = BatchKey {
            frames: 0,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };
        let (mut job, answer) = job(1, key, Instant::now(), timeout);
        job.features.frames = frames;
        job.certain = certain;
        let slot = self.slots.recv().await.unwrap();
        assert!(slot.send(Batch { jobs: vec![job] }).is_ok());
        answer
    }

    fn journal<T>(&self, read: impl Fn(&Journal) -> T) -> T {
        read(&self.journal.lock().unwrap())
    }
}

async fn tokens(answer: Answer) -> Vec<u32> {
    answer.await.unwrap().unwrap().generation.tokens
}

#[tokio::test]
async fn a_window_enters_while_another_is_written_and_leaves_before_it() {
    let mut worker = Harness::start(2, 2);
    let endless = worker.send(ENDLESS).await;
    for frames in [3, 1, 2] {
        let short = worker.send(frames).await.await.unwrap().unwrap();
        assert_eq!(short.generation.tokens, [frames as u32]);
        assert_eq!(short.batch_size, 2);
    }
    drop(endless);
    assert_eq!(tokens(worker.send(5).await).await, [5]);
    assert_eq!(worker.journal(|journal| journal.most_windows), 2);
    let steps = worker.metrics.decoder_steps.get();
    assert!(worker.metrics.decoder_rows.get() > steps);
    assert_eq!(worker.metrics.generated_tokens.get(), 4);
}

#[tokio::test]
async fn the_place_of_a_window_is_free_when_its_caller_has_left_or_its_deadline_has_passed() {
    let mut worker = Harness::start(1, 1);
    drop(worker.send(ENDLESS).await);
    let late = worker.send_with_timeout(ENDLESS, Duration::ZERO).await;
    assert_eq!(tokens(worker.send(1).await).await, [1]);
    assert_eq!(late.await.unwrap().unwrap_err(), JobError::Expired);
    // The second window is dropped before it enters, or closed after.
    assert!(worker.journal(|journal| journal.closed.contains(&WindowId(0))));
    assert_eq!(worker.metrics.jobs_cancelled.get(), 1);
    assert_eq!(worker.metrics.jobs_expired.get(), 1);
    assert_eq!(worker.metrics.jobs_failed.get(), 0);
}

#[tokio::test]
async fn a_bad_window_fails_no_other() {
    let mut worker = Harness::start(4, 4);
    let mut answers = Vec::new();
    for frames in [50, 60, BAD, 70] {
        answers.push(worker.send(frames).await);
    }
    let bad = answers.remove(2).await.unwrap().unwrap_err();
    assert_eq!(bad, JobError::Failed("bad window".to_owned()));
    for (answer, expected) in answers.into_iter().zip([50, 60, 70]) {
        assert_eq!(tokens(answer).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 1);
}

#[tokio::test]
async fn a_window_that_cannot_be_encoded_fails_after_an_attempt_alone() {
    let mut worker = Harness::start(2, 2);
    let long = worker.send(UNTIL_UNREADABLE).await;
    let unreadable = worker.send(UNREADABLE).await;
    let error = unreadable.await.unwrap().unwrap_err();
    assert_eq!(error, JobError::Failed("no encoding".to_owned()));
    assert_eq!(tokens(long).await, [u32::MAX]);
    // Once beside the other window, once alone.
    assert_eq!(worker.metrics.encoder_calls.get(), 3);
    assert_eq!(worker.metrics.jobs_failed.get(), 1);
}

#[tokio::test]
async fn an_engine_that_panics_is_replaced_and_only_the_window_it_panics_on_fails() {
    let mut worker = Harness::start(3, 3);
    let mut answers = Vec::new();
    for frames in [50, PANICS, 60] {
        answers.push(worker.send(frames).await);
    }
    let panicked = answers.remove(1).await.unwrap().unwrap_err();
    assert_eq!(
        panicked,
        JobError::Panicked("the device is gone".to_owned())
    );
    for (answer, expected) in answers.into_iter().zip([50, 60]) {
        assert_eq!(tokens(answer).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 3);
    assert_eq!(worker.metrics.engines_restarted.get(), 2);
}

#[tokio::test]
async fn out_of_memory_windows_are_written_with_fewer_others() {
    let mut worker = Harness::start(4, 2);
    let mut answers = Vec::new();
    for frames in [50, 51, 52, 53, 54, 55] {
        answers.push(worker.send(frames).await);
    }
    for (answer, expected) in answers.into_iter().zip(50..) {
        assert_eq!(tokens(answer).await, [expected]);
    }
    assert_eq!(worker.journal(|journal| journal.engines), 1);
}

#[tokio::test]
async fn windows_are_written_to_their_end_when_the_model_is_unloaded() {
    let mut worker = Harness::start(2, 2);
    let first = worker.send(40).await;
    let second = worker.send(60).await;
    worker.slots.close();
    assert_eq!(tokens(first).await, [40]);
    assert_eq!(tokens(second).await, [60]);
}

#[tokio::test]
async fn certain_text_is_reported_and_begins_the_text_of_the_next_engine() {
    let mut worker = Harness::start(2, 2);
    let changed = Arc::new(tokio::sync::Notify::new());
    let certain = CertainText::new(Arc::clone(&changed));
    let timeout = Duration::from_secs(600);
    let endless = worker
        .send_reporting(ENDLESS, timeout, Some(certain.clone()))
        .await;
    while certain.tokens().len() < 50 {
        changed.notified().await;
    }
    let panics = worker.send(PANICS).await;
    // The window is written again, alone, until its caller leaves.
    while worker.journal(|journal| journal.sent.len()) < 3 {
        tokio::task::yield_now().await;
    }
    drop(endless);
    assert!(panics.await.unwrap().is_err());

    assert_eq!(tokens(worker.send(1).await).await, [1]);
    let sent = worker.journal(|journal| journal.sent.clone());
    assert_eq!(sent, [Some(0), None, Some(50), None, None]);
}
