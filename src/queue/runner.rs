//! The side of a scheduled queue that the thread of an engine holds.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::scheduled::{QueuePhase, Shared, State};
use super::window::RunnerWindow;
use crate::job::JobError;
use crate::schedule::{Departure, WindowId, Work, Worker};

/// Takes work for one engine, and reports what has become of it. Dropping it removes the runner.
#[derive(Debug)]
pub struct RunnerHandle {
    shared: Arc<Shared>,
    worker: Worker,
    has_engine: bool,
}

/// The next action of an engine.
#[derive(Debug)]
pub enum RunnerWork {
    /// Encode this window and open its slot.
    Begin(Box<RunnerWindow>),
    /// Make one step for these windows.
    Step(Vec<WindowId>),
    /// Align the words of this window.
    Align(WindowId),
    /// Close the slots of these windows.
    Close(Vec<WindowId>),
}

/// What has become of an engine's work. [`finish`](Self::finish) ends it.
#[derive(Debug)]
pub struct Report<'r> {
    runner: &'r RunnerHandle,
    state: MutexGuard<'r, State>,
}

impl RunnerHandle {
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self {
            shared,
            worker: Worker::Runner(index),
            has_engine: true,
        }
    }

    /// Waits for work; none when the model is unloaded and nothing is left to write.
    #[must_use]
    pub fn next(&self) -> Option<RunnerWork> {
        let mut state = self.shared.state();
        loop {
            let now = self.shared.now();
            let work = state.scheduler.next(self.worker, now, 0);
            self.shared.settle(&mut state);
            let wait_until = match work {
                Work::Encode(ids) => match self.begin(&mut state, &ids) {
                    Some(window) => return Some(RunnerWork::Begin(window)),
                    None => continue,
                },
                Work::Step(ids) => return Some(RunnerWork::Step(ids)),
                Work::Align(id) => return Some(RunnerWork::Align(id)),
                Work::Close(ids) => return Some(RunnerWork::Close(ids)),
                // Only a decoder of its own opens slots apart.
                Work::Open(_) => {
                    state.scheduler.done(self.worker, now);
                    continue;
                }
                Work::WaitUntil(time) => Some(time),
                Work::Wait => None,
            };
            if state.phase != QueuePhase::Open && state.waiting.is_empty() {
                return None;
            }
            let wait_until = wait_until
                .into_iter()
                .chain(state.scheduler.next_deadline());
            let wait = wait_until.min().map(|time| time.saturating_sub(now));
            state = self.wait(state, wait);
        }
    }

    /// Reports what has become of the work.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        Report {
            runner: self,
            state: self.shared.state(),
        }
    }

    /// Removes the runner while it has no engine. The windows that it was to try again fail; without another runner
    /// all that wait do.
    pub fn suspend(&mut self) {
        if !std::mem::replace(&mut self.has_engine, false) {
            return;
        }
        let mut state = self.shared.state();
        for id in state.scheduler.alone(self.worker) {
            state.scheduler.end(id, self.shared.now());
            if let Some(window) = state.waiting.remove(&id) {
                window.fail(JobError::EngineGone, &self.shared.metrics);
            }
        }
        self.shared.remove_runner(&mut state);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Adds the runner again once it has an engine; `false` if none is needed any more.
    #[must_use]
    pub fn resume(&mut self) -> bool {
        self.has_engine = self.shared.add_runner(&mut self.shared.state());
        self.has_engine
    }

    /// Whether the model is being unloaded or has no runner left.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state().phase != QueuePhase::Open
    }

    /// The window of an encoding that begins.
    fn begin(&self, state: &mut State, ids: &[WindowId]) -> Option<Box<RunnerWindow>> {
        // A runner encodes one window at a time.
        let window = ids.first().and_then(|id| state.waiting.remove(id));
        if window.is_none() {
            let now = self.shared.now();
            state.scheduler.done(self.worker, now);
            for id in ids {
                state.scheduler.end(*id, now);
            }
            self.shared.settle(state);
        }
        window
    }

    fn wait<'s>(
        &self,
        state: MutexGuard<'s, State>,
        time: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        let changed = &self.shared.changed;
        match time {
            None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                let waited = changed.wait_timeout(state, time);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl Drop for RunnerHandle {
    fn drop(&mut self) {
        self.suspend();
    }
}

impl Report<'_> {
    /// The work is done.
    pub fn done(&mut self) {
        let now = self.runner.shared.now();
        self.state.scheduler.done(self.runner.worker, now);
    }

    /// The work has failed as a whole.
    pub fn failed(&mut self) {
        let now = self.runner.shared.now();
        self.state.scheduler.failed(self.runner.worker, now);
    }

    /// A window has its text or has failed for good; its slot is closed.
    pub fn end(&mut self, id: WindowId) {
        let now = self.runner.shared.now();
        self.state.scheduler.end(id, now);
    }

    /// The text of a window is complete, and its words are to be aligned.
    pub fn align(&mut self, id: WindowId) {
        self.state.scheduler.align(id);
    }

    /// A window is to be tried again without others; its slot is closed.
    pub fn retry_alone(&mut self, window: Box<RunnerWindow>) {
        let id = window.id;
        self.state.waiting.insert(id, window);
        self.state.scheduler.retry_alone(self.runner.worker, id);
    }

    /// The device has run out of memory; to be called before its windows lose their slots.
    pub fn reduce_memory(&mut self) {
        self.state.scheduler.reduce_memory(self.runner.worker);
    }

    /// Ends the report. Returns the windows that have left the runner before their end.
    #[must_use]
    pub fn finish(self) -> Vec<Departure> {
        let Self { runner, mut state } = self;
        let left = runner.shared.settle(&mut state);
        drop(state);
        runner.shared.changed.notify_all();
        left
    }
}
