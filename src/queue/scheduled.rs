//! The queue of continuous engines: one scheduler, shared by the requests and the runners of a loaded model.
//!
//! Everything is decided under one lock, which is never held over a call of an engine. A window leaves the queue for
//! the runner that the scheduler gives it to, and is here again only if that runner has to try it once more.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::admission::queue_number;
use super::runner::RunnerHandle;
use super::window::RunnerWindow;
use super::{NewWindow, QueueClosed};
use crate::clock::now;
use crate::job::{Job, JobError};
use crate::schedule::{Departure, Lane, Layout, Limits, Scheduler, Window, WindowId};
use crate::telemetry::Metrics;
use halkspeech_whisper::engine::memory::Dimensions;

/// The sending side. When its last clone is dropped, the runners write what is left and end.
#[derive(Clone, Debug)]
pub struct ScheduledQueue(Arc<Sender>);

/// A place in the queue; it is free again when it is dropped.
#[derive(Debug)]
pub struct ScheduledPlace {
    queue: ScheduledQueue,
    window: NewWindow,
    id: WindowId,
}

/// A window that was sent. Dropping it cancels the window.
#[derive(Debug)]
pub struct SentWindow {
    shared: Arc<Shared>,
    id: WindowId,
}

#[derive(Debug)]
struct Sender(Arc<Shared>);

/// What requests and runners share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Notified after each event that may give a runner work.
    pub changed: Condvar,
    pub metrics: Metrics,
    /// Differs from that of any other queue.
    pub number: u64,
    dimensions: Dimensions,
    origin: Instant,
}

#[derive(Debug)]
pub(super) struct State {
    pub scheduler: Scheduler,
    /// The windows that wait, for the first time or to be tried again.
    pub waiting: HashMap<WindowId, Box<RunnerWindow>>,
    /// Those that wait for a place.
    places: HashMap<WindowId, oneshot::Sender<()>>,
    next_id: u64,
    /// Runners that have an engine.
    runners: usize,
    pub phase: QueuePhase,
}

/// Whether windows are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueuePhase {
    Open,
    /// No request is left: the runners write what is left.
    Draining,
    /// No runner has an engine.
    Closed,
}

impl ScheduledQueue {
    /// A queue with a handle for each of `runners` runners of a model of these sizes.
    #[must_use]
    pub fn new(
        limits: Limits,
        dimensions: Dimensions,
        runners: NonZeroUsize,
        metrics: Metrics,
    ) -> (Self, Vec<RunnerHandle>) {
        let limits = Limits {
            layout: Layout::Alternating { runners },
            ..limits
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                scheduler: Scheduler::new(limits),
                waiting: HashMap::new(),
                places: HashMap::new(),
                next_id: 0,
                runners: runners.get(),
                phase: QueuePhase::Open,
            }),
            changed: Condvar::new(),
            metrics,
            number: queue_number(),
            dimensions,
            origin: now(),
        });
        let handle = |index| RunnerHandle::new(Arc::clone(&shared), index);
        let handles = (0..runners.get()).map(handle).collect();
        (Self(Arc::new(Sender(shared))), handles)
    }

    /// Waits for a place for a window.
    ///
    /// # Errors
    /// [`QueueClosed`] when no runner has an engine.
    pub async fn place(&self, window: NewWindow) -> Result<ScheduledPlace, QueueClosed> {
        let (granted, place) = self.claim(window)?;
        granted.await.map_err(|_| QueueClosed)?;
        Ok(place)
    }

    /// The place of an admitted request for its first window.
    pub(super) fn admitted_place(&self, window: NewWindow) -> Result<ScheduledPlace, QueueClosed> {
        let mut state = self.shared().state();
        if state.phase == QueuePhase::Closed {
            return Err(QueueClosed);
        }
        let id = state.next_id();
        let queue = self.clone();
        Ok(ScheduledPlace { queue, window, id })
    }

    fn claim(
        &self,
        window: NewWindow,
    ) -> Result<(oneshot::Receiver<()>, ScheduledPlace), QueueClosed> {
        let shared = self.shared();
        let mut state = shared.state();
        if state.phase == QueuePhase::Closed {
            return Err(QueueClosed);
        }
        let id = state.next_id();
        let (sender, granted) = oneshot::channel();
        state.places.insert(id, sender);
        let claim = shared.window(id, &window, Duration::ZERO, 0);
        state.scheduler.claim_place(claim, shared.now());
        shared.settle(&mut state);
        let queue = self.clone();
        Ok((granted, ScheduledPlace { queue, window, id }))
    }

    /// Whether windows would get no answer.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().state().phase == QueuePhase::Closed
    }

    /// Places taken, in windows.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.shared().state().scheduler.depth()
    }

    /// Number of windows of a lane that wait for a slot.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        self.shared().state().scheduler.waiting(lane)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl ScheduledPlace {
    /// Sends the window of the place.
    ///
    /// # Errors
    /// [`QueueClosed`] when no runner has an engine.
    pub fn send(self, job: Job) -> Result<SentWindow, QueueClosed> {
        let (id, shared) = (self.id, Arc::clone(&self.queue.0.0));
        let mut state = shared.state();
        if state.phase == QueuePhase::Closed {
            // The place must not be dropped under the lock.
            drop(state);
            return Err(QueueClosed);
        }
        let hypotheses = job.key.options.max_hypotheses();
        let bytes = shared
            .dimensions
            .slot_bytes(job.length, job.prompt.previous.len(), hypotheses);
        let window = shared.window(id, &self.window, job.audio(), bytes);
        let submitted = state.scheduler.submit(window, shared.now());
        if submitted.is_ok() {
            let window = RunnerWindow::new(id, job, &shared.metrics);
            state.waiting.insert(id, Box::new(window));
        }
        shared.settle(&mut state);
        drop(state);
        shared.changed.notify_all();
        submitted.map_err(|_| QueueClosed)?;
        Ok(SentWindow { shared, id })
    }
}

impl Drop for ScheduledPlace {
    fn drop(&mut self) {
        let shared = self.queue.shared();
        let mut state = shared.state();
        state.places.remove(&self.id);
        state.scheduler.give_up_place(self.id);
        shared.settle(&mut state);
    }
}

impl Drop for SentWindow {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.scheduler.cancel(self.id);
        self.shared.settle(&mut state);
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase == QueuePhase::Open {
            state.phase = QueuePhase::Draining;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

impl State {
    fn next_id(&mut self) -> WindowId {
        let id = WindowId(self.next_id);
        self.next_id += 1;
        id
    }
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        // Usable also after a panic: the state is consistent between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scheduler's time.
    pub fn now(&self) -> Duration {
        self.time(now())
    }

    pub fn time(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.origin)
    }

    fn window(&self, id: WindowId, new: &NewWindow, audio: Duration, bytes: u64) -> Window {
        Window {
            id,
            request: new.request,
            caller: new.caller,
            lane: new.lane,
            audio,
            deadline: self.time(new.deadline),
            bytes,
        }
    }

    /// Grants places that are free, and answers windows that have left while they waited. Returns those that have
    /// left a runner. To be called after each event.
    pub fn settle(&self, state: &mut State) -> Vec<Departure> {
        for id in state.scheduler.granted() {
            if let Some(place) = state.places.remove(&id) {
                // If the request is gone, its place is given up when it is dropped.
                let _request_gone = place.send(());
            }
        }
        let mut left = Vec::new();
        for departure in state.scheduler.departures() {
            match state.waiting.remove(&departure.window.id) {
                Some(window) => window.skip(departure.outcome, &self.metrics),
                None => left.push(departure),
            }
        }
        left
    }

    /// A runner has no engine any more. Without any, all windows that wait fail.
    pub fn remove_runner(&self, state: &mut State) {
        state.runners -= 1;
        if state.runners > 0 {
            return;
        }
        state.phase = QueuePhase::Closed;
        state.places.clear();
        for (id, window) in std::mem::take(&mut state.waiting) {
            state.scheduler.end(id, self.now());
            window.fail(JobError::EngineGone, &self.metrics);
        }
        self.settle(state);
    }

    /// A runner has an engine again; `false` if it is not needed any more.
    pub fn add_runner(&self, state: &mut State) -> bool {
        let is_open = state.phase == QueuePhase::Open;
        state.runners += usize::from(is_open);
        is_open
    }
}
