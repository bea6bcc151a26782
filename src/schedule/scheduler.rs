//! Decides what the workers of a device do next.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::admission::{Admission, Offer, Refusal, WaitingWindows};
use super::lane::{Lane, PerLane};
use super::limits::{Layout, Limits};
use super::memory::MemoryAccounts;
use super::places::Places;
use super::turns::Turns;
use super::window::{Departure, Outcome, RequestId, Window, WindowId};
use super::work::{Slot, Stage, Work, Worker};
use super::worker::WorkerState;

/// Owns the windows of a device from their arrival to their departure. See the module's documentation.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) limits: Limits,
    pub(super) waiting: PerLane<Turns>,
    pub(super) lanes: HashMap<WindowId, Lane>,
    pub(super) slots: HashMap<WindowId, Slot>,
    pub(super) workers: Vec<WorkerState>,
    pub(super) memory: MemoryAccounts,
    pub(super) last_seen: PerLane<Option<Duration>>,
    pub(super) places: Places,
    deadlines: BTreeSet<(Duration, WindowId)>,
    departures: Vec<Departure>,
    admission: Admission,
    is_shutting_down: bool,
}

impl Scheduler {
    /// A scheduler without windows.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let workers = match limits.layout {
            Layout::Alternating { runners } => runners.get(),
            Layout::Overlapping => 2,
        };
        Self {
            limits,
            waiting: PerLane::default(),
            lanes: HashMap::new(),
            slots: HashMap::new(),
            workers: (0..workers)
                .map(|_| WorkerState::new(limits.shares))
                .collect(),
            memory: MemoryAccounts::new(limits.memory, workers),
            last_seen: PerLane::default(),
            places: Places::default(),
            deadlines: BTreeSet::new(),
            departures: Vec::new(),
            admission: Admission::default(),
            is_shutting_down: false,
        }
    }

    /// Asks whether a new request may send its windows. An admitted request holds a place in the queue
    /// until its first window arrives or [`Self::close_request`] is called, which is required in the end.
    ///
    /// # Errors
    /// [`Refusal`] with the time after which the request should return; a place is kept for it then.
    pub fn offer(&mut self, offer: &Offer, now: Duration) -> Result<(), Refusal> {
        if self.is_shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        self.expire(now);
        let waiting = PerLane::from_fn(|lane| WaitingWindows {
            windows: self.waiting[lane].len(),
            held: self.places.held(lane),
            audio: self.waiting[lane].audio(),
        });
        self.admission.offer(offer, &self.limits, &waiting, now)
    }

    /// Ends a request: audio that it announced and did not send is no longer expected. Its windows have to
    /// be cancelled apart.
    pub fn close_request(&mut self, request: RequestId) {
        self.admission.close(request);
    }

    /// Adds a window to the queue.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`] when the lane has all its places in use and the window none of its own
    /// ([`Self::claim_place`]).
    pub fn submit(&mut self, window: Window, now: Duration) -> Result<(), Refusal> {
        if self.is_shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        self.expire(now);
        let lane = window.lane;
        let has_own_place = self.places.take(window.id);
        let holds_place = has_own_place || self.admission.holds_place(window.request);
        if !holds_place && !self.has_place(lane) {
            return Err(Refusal::QueueFull {
                retry_after: self.time_of(&window),
                promise: None,
            });
        }
        if !has_own_place {
            self.admission.take_place(window.request);
        }
        self.admission.arrived(&window);
        self.admission.observe(true, now);
        self.last_seen[lane] = Some(now);
        self.deadlines.insert((window.deadline, window.id));
        self.lanes.insert(window.id, lane);
        self.waiting[lane].push(window, now);
        Ok(())
    }

    /// The next action of a worker that has nothing to do. `preparing` is the number of windows that are
    /// being prepared and may join an encoder call. The work stays the worker's until [`Self::done`] or
    /// [`Self::failed`].
    pub fn next(&mut self, worker: Worker, now: Duration, preparing: usize) -> Work {
        self.expire(now);
        let Some(index) = self.index(worker) else {
            return Work::Wait;
        };
        self.admission.observe(!self.lanes.is_empty(), now);
        let work = self.decide(worker, index, now, preparing);
        self.begin(index, &work, now);
        work
    }

    /// The work of a worker is done.
    pub fn done(&mut self, worker: Worker, now: Duration) {
        let Some(index) = self.index(worker) else {
            return;
        };
        let Some(running) = self.workers[index].running.take() else {
            return;
        };
        self.charge(index, &running, now);
        for &id in running.work.windows() {
            self.finish_call(id, &running.work, index);
        }
    }

    /// The work of a worker has failed as a whole. Windows that were being encoded wait again, others keep
    /// their slots as they were before the call. The caller ends those that shall not be tried again.
    pub fn failed(&mut self, worker: Worker, now: Duration) {
        let Some(index) = self.index(worker) else {
            return;
        };
        let Some(running) = self.workers[index].running.take() else {
            return;
        };
        self.charge(index, &running, now);
        for &id in running.work.windows() {
            match running.work {
                Work::Encode(_) => self.put_back(id, now),
                Work::Open(_) => self.set_stage(id, Stage::Encoded),
                Work::Align(_) => self.set_stage(id, Stage::Written),
                Work::Close(_) => self.set_stage(id, Stage::Open),
                Work::Step(_) | Work::WaitUntil(_) | Work::Wait => {}
            }
            self.leave_if_marked(id);
        }
    }

    /// The text of a window is complete, and its words shall be aligned before it ends.
    pub fn align(&mut self, id: WindowId) {
        if self
            .slots
            .get(&id)
            .is_some_and(|slot| slot.stage == Stage::Open)
        {
            self.set_stage(id, Stage::Written);
        }
    }

    /// A window is complete or has failed for good; the runner has closed its slot. Its place is free.
    pub fn end(&mut self, id: WindowId, now: Duration) {
        if let Some(slot) = self.slots.get(&id) {
            let in_slot = now.saturating_sub(slot.taken_at);
            self.admission.ended(&slot.window, in_slot, now);
        }
        self.depart(id, Outcome::Ended);
    }

    /// A window has to be encoded again, because its encoding or its slot was lost: it waits again and is
    /// the next of its caller. It may exceed the bound of the queue.
    pub fn put_back(&mut self, id: WindowId, now: Duration) {
        let Some(slot) = self.release(id) else {
            return;
        };
        if let Some(outcome) = slot.leaving {
            self.departed(slot.window, outcome);
            return;
        }
        self.lanes.insert(id, slot.window.lane);
        self.waiting[slot.window.lane].push_first(slot.window, now);
    }

    /// Cancels a window: at once if it waits, after the running call if it is being encoded, and by
    /// [`Work::Close`] before the next step but one if its text is being written.
    pub fn cancel(&mut self, id: WindowId) {
        self.leave(id, Outcome::Cancelled);
    }

    /// Cancels all windows and refuses further ones.
    pub fn shut_down(&mut self) {
        self.is_shutting_down = true;
        for (_, id) in self.deadlines.clone() {
            self.leave(id, Outcome::Cancelled);
        }
    }

    /// Called after the device of a worker has run out of memory, while its windows still have their slots: halves the
    /// memory that slots may take there, from what they take now.
    pub fn reduce_memory(&mut self, worker: Worker) {
        if let Some(index) = self.index(worker) {
            self.memory.reduce(self.home(index));
        }
    }

    /// The windows that have left since the last call. Each window that [`Self::submit`] has accepted is
    /// among them exactly once.
    pub fn departures(&mut self) -> Vec<Departure> {
        std::mem::take(&mut self.departures)
    }

    /// The earliest deadline of all windows; [`Self::next`] lets go of those whose deadlines have passed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Number of windows that wait in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        self.waiting[lane].len()
    }

    /// Number of windows with a slot.
    #[must_use]
    pub fn slots_in_use(&self) -> usize {
        self.slots.len()
    }

    /// Memory of the slots in use, in bytes.
    #[must_use]
    pub fn memory_in_use(&self) -> u64 {
        self.memory.in_use()
    }

    /// Places in the queue that windows of this lane and the less urgent ones take or hold.
    pub(super) fn taken_from(&self, lane: Lane) -> usize {
        let lanes = Lane::ALL.into_iter().filter(|other| *other >= lane);
        let taken = |lane| {
            self.waiting[lane].len() + self.admission.reserved(lane) + self.places.held(lane)
        };
        lanes.map(taken).sum()
    }

    /// The time in which audio of this length is worked off.
    fn time_of(&self, window: &Window) -> Duration {
        let speed = self.admission.speed(window.lane, &self.limits);
        let time = speed.map(|speed| window.audio.div_f64(speed));
        time.unwrap_or_default().max(Duration::from_millis(100))
    }

    pub(super) fn index(&self, worker: Worker) -> Option<usize> {
        match (self.limits.layout, worker) {
            (Layout::Alternating { runners }, Worker::Runner(index)) => {
                (index < runners.get()).then_some(index)
            }
            (Layout::Overlapping, Worker::Decoder) => Some(0),
            (Layout::Overlapping, Worker::Encoder) => Some(1),
            _ => None,
        }
    }

    fn expire(&mut self, now: Duration) {
        let due = |(deadline, id): &(Duration, WindowId)| (*deadline <= now).then_some(*id);
        while let Some(id) = self.deadlines.first().and_then(due) {
            self.leave(id, Outcome::Expired);
        }
    }

    /// Lets a window go as soon as the running work allows.
    fn leave(&mut self, id: WindowId, outcome: Outcome) {
        if let Some(slot) = self.slots.get_mut(&id) {
            self.deadlines.remove(&(slot.window.deadline, id));
            slot.leaving.get_or_insert(outcome);
            self.leave_if_marked(id);
        } else {
            self.depart(id, outcome);
        }
    }

    fn leave_if_marked(&mut self, id: WindowId) {
        let Some(slot) = self.slots.get(&id).copied() else {
            return;
        };
        let Some(outcome) = slot.leaving else {
            return;
        };
        if slot.stage.is_running() {
            return;
        }
        if slot.stage.is_opened() {
            self.set_stage(id, Stage::Open);
            self.workers[slot.home].to_close.insert(id);
        } else {
            self.depart(id, outcome);
        }
    }

    /// What follows for a window from work that is done.
    fn finish_call(&mut self, id: WindowId, work: &Work, index: usize) {
        match work {
            Work::Encode(_) => self.set_stage(id, self.stage_after_encoding()),
            Work::Open(_) => self.set_stage(id, Stage::Open),
            Work::Align(_) => self.set_stage(id, Stage::Written),
            Work::Close(_) => {
                self.workers[index].to_close.remove(&id);
                let outcome = self.slots.get(&id).and_then(|slot| slot.leaving);
                self.depart(id, outcome.unwrap_or(Outcome::Cancelled));
                return;
            }
            Work::Step(_) | Work::WaitUntil(_) | Work::Wait => {}
        }
        self.leave_if_marked(id);
    }

    fn stage_after_encoding(&self) -> Stage {
        match self.limits.layout {
            Layout::Alternating { .. } => Stage::Open,
            Layout::Overlapping => Stage::Encoded,
        }
    }

    /// Removes a window from wherever it is.
    fn depart(&mut self, id: WindowId, outcome: Outcome) {
        let slot = self.release(id).map(|slot| slot.window);
        if let Some(window) = slot.or_else(|| self.remove_waiting(id)) {
            self.departed(window, outcome);
        }
    }

    pub(super) fn departed(&mut self, window: Window, outcome: Outcome) {
        self.deadlines.remove(&(window.deadline, window.id));
        self.departures.push(Departure { window, outcome });
    }

    /// Frees the slot of a window.
    pub(super) fn release(&mut self, id: WindowId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.memory.free(slot.home, slot.window.bytes);
        self.workers[slot.home].forget(&slot);
        Some(slot)
    }

    pub(super) fn set_stage(&mut self, id: WindowId, stage: Stage) {
        if let Some(slot) = self.slots.get_mut(&id) {
            self.workers[slot.home].move_to(slot, stage);
        }
    }
}
