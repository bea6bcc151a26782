//! Windows that are tried again without others, because one of those that they were with may have made a call fail.

use std::time::Duration;

use super::scheduler::Scheduler;
use super::window::{Window, WindowId};
use super::work::{Slot, Work, Worker};

impl Scheduler {
    /// A call of this worker has failed with the window and others, and its slot is closed: it is encoded and written
    /// again by the same worker, which gives no other window a slot meanwhile. Such windows go one after the other,
    /// before all that wait, and count towards no bound.
    pub fn retry_alone(&mut self, worker: Worker, id: WindowId) {
        let Some(index) = self.index(worker) else {
            return;
        };
        let window = match self.release(id) {
            Some(slot) => match slot.leaving {
                Some(outcome) => return self.departed(slot.window, outcome),
                None => Some(slot.window),
            },
            None => self.remove_waiting(id),
        };
        let home = self.home(index);
        self.workers[home].alone.extend(window);
    }

    /// The windows that a worker is to try without others.
    #[must_use]
    pub fn alone(&self, worker: Worker) -> Vec<WindowId> {
        let home = self.index(worker).map(|index| self.home(index));
        let windows = home.into_iter().flat_map(|home| &self.workers[home].alone);
        windows.map(|window| window.id).collect()
    }

    /// The next window that a worker tries without others, once it has closed its slots.
    pub(super) fn next_alone(
        &mut self,
        worker: Worker,
        index: usize,
        now: Duration,
    ) -> Option<Work> {
        let home = self.home(index);
        let has_slots = self.workers[home].in_use.iter().any(|in_use| *in_use > 0);
        if worker == Worker::Decoder || has_slots || self.lacks_memory_for_alone(home) {
            return None;
        }
        let window = self.workers[home].alone.pop_front()?;
        self.give_slot(Slot {
            is_alone: true,
            ..Slot::new(window, home, now)
        });
        Some(Work::Encode(vec![window.id]))
    }

    /// Whether a worker gives no slot to a window that waits: it tries windows without others, or another worker needs
    /// the memory for that.
    pub(super) fn is_closed_to_waiting(&self, home: usize) -> bool {
        let state = &self.workers[home];
        !state.alone.is_empty()
            || state.is_alone.is_some()
            || (0..self.workers.len()).any(|other| {
                self.memory.share_memory(home, other) && self.lacks_memory_for_alone(other)
            })
    }

    fn lacks_memory_for_alone(&self, home: usize) -> bool {
        let window = self.workers[home].alone.front();
        window.is_some_and(|window| !self.memory.fits(home, window.bytes))
    }

    /// Removes a window that waits, for the first time or to be tried alone.
    pub(super) fn remove_waiting(&mut self, id: WindowId) -> Option<Window> {
        if let Some(lane) = self.lanes.remove(&id) {
            return self.waiting[lane].remove(id);
        }
        let mut workers = self.workers.iter_mut();
        workers.find_map(|state| {
            let index = state.alone.iter().position(|window| window.id == id)?;
            state.alone.remove(index)
        })
    }

    /// Gives a slot to a window, which is being encoded from now on.
    pub(super) fn give_slot(&mut self, slot: Slot) {
        self.memory.take(slot.home, slot.window.bytes);
        self.workers[slot.home].add(&slot);
        self.slots.insert(slot.window.id, slot);
    }
}
