//! Places in the queue for windows that are still to be prepared, so that no window is prepared without one.
//!
//! While a lane has no place, callers take turns for the next one, then their requests, as they do for slots: those
//! with the most recordings do not get the most places.

use std::collections::HashMap;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::scheduler::Scheduler;
use super::turns::Turns;
use super::window::{Window, WindowId};

/// Places that were given to windows that have not arrived, and the line for further ones.
#[derive(Debug, Default)]
pub struct Places {
    line: PerLane<Turns>,
    in_line: HashMap<WindowId, Lane>,
    held: HashMap<WindowId, Lane>,
    number_held: PerLane<usize>,
    granted: Vec<WindowId>,
}

impl Places {
    /// Number of places of a lane that are held for windows.
    pub fn held(&self, lane: Lane) -> usize {
        self.number_held[lane]
    }

    /// Takes the place of a window that arrives; `false` if it has none.
    pub fn take(&mut self, id: WindowId) -> bool {
        let lane = self.held.remove(&id);
        if let Some(lane) = lane {
            self.number_held[lane] -= 1;
        }
        lane.is_some()
    }

    fn hold(&mut self, id: WindowId, lane: Lane) {
        self.held.insert(id, lane);
        self.number_held[lane] += 1;
        self.granted.push(id);
    }
}

impl Scheduler {
    /// Whether a window of this lane would get a place now, before none that is in line for one.
    #[must_use]
    pub fn has_place(&self, lane: Lane) -> bool {
        let is_free = self.taken_from(lane) < self.limits.places(lane)
            && self.taken_from(Lane::Live) < self.limits.max_waiting.get();
        is_free && self.places.line[lane].is_empty()
    }

    /// Number of places that are taken: by windows that wait, and for those that are to come.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.taken_from(Lane::Live)
    }

    /// The most waiting windows.
    #[must_use]
    pub fn max_waiting(&self) -> usize {
        self.limits.max_waiting.get()
    }

    /// Asks for a place for a window that is to be prepared; [`Self::granted`] returns its id when it has one. The
    /// place is its own until [`Self::submit`], or [`Self::give_up_place`] if it does not come.
    pub fn claim_place(&mut self, window: Window, now: Duration) {
        self.places.in_line.insert(window.id, window.lane);
        self.places.line[window.lane].push(window, now);
    }

    /// A window no longer needs its place or is no longer in line for one. No error if it has arrived.
    pub fn give_up_place(&mut self, id: WindowId) {
        if let Some(lane) = self.places.in_line.remove(&id) {
            self.places.line[lane].remove(id);
        } else {
            self.places.take(id);
        }
    }

    /// The windows that have been given a place since the last call; to be called after each event.
    pub fn granted(&mut self) -> Vec<WindowId> {
        for lane in Lane::ALL {
            while self.taken_from(lane) < self.limits.places(lane)
                && self.taken_from(Lane::Live) < self.limits.max_waiting.get()
                && let Some(window) = self.places.line[lane].pop()
            {
                self.places.in_line.remove(&window.id);
                self.places.hold(window.id, lane);
            }
        }
        std::mem::take(&mut self.places.granted)
    }
}
