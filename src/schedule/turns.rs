//! The waiting windows of a lane: callers take turns, then their requests.
//!
//! In a turn of the lane each waiting caller gives one window, the oldest deadline first. A caller that
//! arrives during a turn enters the next one, so a turn is finite and nobody is overtaken twice by the same
//! caller. The requests of a caller take turns in the same way for the windows that it gives.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::window::{RequestId, Window, WindowId};
use crate::caller::Caller;

/// Turn, deadline and order of arrival: the lowest is next.
type Position = (u64, Duration, u64);

/// The waiting windows of one lane.
#[derive(Debug, Default)]
pub struct Turns {
    /// The current turn of the lane.
    turn: u64,
    arrivals: u64,
    callers: HashMap<Caller, CallerTurns>,
    /// The callers in the order of their next windows.
    order: BTreeMap<Position, Caller>,
    /// Where each window is.
    places: HashMap<WindowId, (Caller, Position)>,
    audio: Duration,
}

/// The waiting windows of one caller.
#[derive(Debug, Default)]
struct CallerTurns {
    /// The turn of the lane in which it gives its next window.
    lane_turn: u64,
    /// The current turn of its requests.
    turn: u64,
    windows: BTreeMap<Position, (Window, Duration)>,
    requests: HashMap<RequestId, RequestTurns>,
}

/// The waiting windows of one request.
#[derive(Clone, Copy, Debug)]
struct RequestTurns {
    last_turn: u64,
    windows: usize,
}

impl Turns {
    /// Adds a window that arrived at `now`.
    pub fn push(&mut self, window: Window, now: Duration) {
        let next = self.turn + 1;
        let caller = self.callers.entry(window.caller).or_default();
        if caller.windows.is_empty() {
            // A caller that was served in this turn has to wait for the next one as well.
            caller.lane_turn = next;
        }
        let after_request = caller.requests.get(&window.request);
        let after_request = after_request.map_or(0, |request| request.last_turn + 1);
        let turn = after_request.max(caller.turn + 1);
        self.insert(window, turn, now);
    }

    /// Puts a window back that was taken and could not be encoded or written. It is the next of its caller,
    /// in the current turn.
    pub fn push_first(&mut self, window: Window, now: Duration) {
        let turn = self.turn;
        let caller = self.callers.entry(window.caller).or_default();
        if caller.windows.is_empty() {
            caller.lane_turn = turn;
        } else {
            let front = caller.position();
            caller.lane_turn = turn.min(caller.lane_turn);
            self.order.remove(&front);
            self.order.insert(caller.position(), window.caller);
        }
        self.insert(window, 0, now);
    }

    /// The next window.
    #[must_use]
    pub fn front(&self) -> Option<&Window> {
        let caller = self.callers.get(self.order.values().next()?)?;
        caller.windows.values().next().map(|(window, _)| window)
    }

    /// Takes the next window.
    pub fn pop(&mut self) -> Option<Window> {
        let (&position, &caller) = self.order.first_key_value()?;
        self.turn = self.turn.max(position.0);
        let id = self.front()?.id;
        if let Some(entry) = self.callers.get_mut(&caller) {
            // `remove` reads the position, so the next turn is set through the order.
            self.order.remove(&position);
            entry.lane_turn = self.turn + 1;
            entry.turn = entry.turn.max(entry.front().0);
            self.order.insert(entry.position(), caller);
        }
        self.remove(id)
    }

    /// Removes a window.
    pub fn remove(&mut self, id: WindowId) -> Option<Window> {
        let (caller, position) = self.places.remove(&id)?;
        let entry = self.callers.get_mut(&caller)?;
        self.order.remove(&entry.position());
        let (window, _) = entry.windows.remove(&position)?;
        self.audio = self.audio.saturating_sub(window.audio);
        if let Some(request) = entry.requests.get_mut(&window.request) {
            request.windows -= 1;
            if request.windows == 0 {
                entry.requests.remove(&window.request);
            }
        }
        if entry.windows.is_empty() {
            self.callers.remove(&caller);
        } else {
            self.order.insert(entry.position(), caller);
        }
        Some(window)
    }

    /// The windows and the times of their arrival, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Window, Duration)> {
        let windows = self
            .callers
            .values()
            .flat_map(|caller| caller.windows.values());
        windows.map(|(window, arrived)| (window, *arrived))
    }

    /// Number of waiting windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no window waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Length of the audio of all waiting windows.
    #[must_use]
    pub fn audio(&self) -> Duration {
        self.audio
    }

    fn insert(&mut self, window: Window, turn: u64, now: Duration) {
        let Some(caller) = self.callers.get_mut(&window.caller) else {
            return;
        };
        if !caller.windows.is_empty() {
            self.order.remove(&caller.position());
        }
        self.arrivals += 1;
        let position = (turn, window.deadline, self.arrivals);
        let request = caller.requests.entry(window.request);
        let request = request.or_insert(RequestTurns {
            last_turn: turn,
            windows: 0,
        });
        request.last_turn = request.last_turn.max(turn);
        request.windows += 1;
        caller.windows.insert(position, (window, now));
        self.order.insert(caller.position(), window.caller);
        self.places.insert(window.id, (window.caller, position));
        self.audio += window.audio;
    }
}

impl CallerTurns {
    /// The position of its next window among its own.
    fn front(&self) -> Position {
        self.windows
            .keys()
            .next()
            .copied()
            .unwrap_or((0, Duration::ZERO, 0))
    }

    /// Its position among the callers of the lane.
    fn position(&self) -> Position {
        let (_, deadline, arrival) = self.front();
        (self.lane_turn, deadline, arrival)
    }
}
