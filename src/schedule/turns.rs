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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::lane::Lane;
    use super::*;

    fn window(id: u64, caller: usize, request: u64, deadline_s: u64) -> Window {
        Window {
            id: WindowId(id),
            request: RequestId(request),
            caller: Caller::Key(caller),
            lane: Lane::Interactive,
            audio: Duration::from_secs(1),
            deadline: Duration::from_secs(deadline_s),
            bytes: 0,
        }
    }

    /// The order of windows given as (caller, request, deadline); they are numbered from 0.
    #[track_caller]
    fn check(windows: &[(usize, u64, u64)], expected: &[u64]) {
        let mut turns = Turns::default();
        for (id, &(caller, request, deadline_s)) in (0..).zip(windows) {
            turns.push(window(id, caller, request, deadline_s), Duration::ZERO);
        }
        let order: Vec<u64> = std::iter::from_fn(|| turns.pop()).map(|w| w.id.0).collect();
        assert_eq!(order, expected);
        assert!(turns.is_empty() && turns.audio().is_zero());
    }

    #[test]
    fn callers_take_turns() {
        check(
            &[(1, 1, 9), (1, 1, 9), (1, 1, 9), (2, 2, 9), (2, 2, 9)],
            &[0, 3, 1, 4, 2],
        );
    }

    #[test]
    fn the_requests_of_a_caller_take_turns() {
        check(
            &[(1, 1, 9), (1, 1, 9), (1, 1, 9), (1, 2, 9), (1, 2, 9)],
            &[0, 3, 1, 4, 2],
        );
    }

    #[test]
    fn in_a_turn_the_oldest_deadline_is_first() {
        check(&[(1, 1, 9), (2, 2, 5), (3, 3, 7), (1, 4, 1)], &[3, 1, 2, 0]);
    }

    #[test]
    fn a_caller_that_arrives_during_a_turn_enters_the_next() {
        let mut turns = Turns::default();
        for caller in 1..4 {
            turns.push(window(caller, caller as usize, caller, 9), Duration::ZERO);
        }
        assert_eq!(turns.pop().map(|w| w.id.0), Some(1));
        turns.push(window(4, 4, 4, 0), Duration::ZERO);
        let order: Vec<u64> = std::iter::from_fn(|| turns.pop()).map(|w| w.id.0).collect();
        assert_eq!(order, [2, 3, 4]);
    }

    #[test]
    fn a_window_that_is_put_back_is_the_next() {
        let mut turns = Turns::default();
        for id in 0..4 {
            turns.push(window(id, (id % 2) as usize, id % 2, id), Duration::ZERO);
        }
        let first = turns.pop().unwrap();
        turns.push_first(first, Duration::ZERO);
        assert_eq!(turns.len(), 4);
        let order: Vec<u64> = std::iter::from_fn(|| turns.pop()).map(|w| w.id.0).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    proptest! {
        /// Windows arrive, are taken and removed in any order: each leaves once, those of a request in order
        /// if their deadlines agree, and between two windows of a caller each other waiting caller has one.
        #[test]
        fn no_window_is_lost_and_no_caller_is_overtaken_twice(
            actions in prop::collection::vec((0_u8..10, 0_usize..4, 0_u64..3, 0_u64..3), 1..120),
        ) {
            let mut turns = Turns::default();
            let mut waiting: HashMap<u64, Window> = HashMap::new();
            // Windows taken since a caller that still waits was served or arrived, by caller.
            let mut since: HashMap<usize, HashMap<usize, usize>> = HashMap::new();
            for (id, (action, caller, request, deadline_s)) in (0..).zip(actions) {
                match action {
                    0..5 => {
                        let window = window(id, caller, request + 10 * caller as u64, deadline_s);
                        since.entry(caller).or_default();
                        waiting.insert(id, window);
                        turns.push(window, Duration::ZERO);
                    }
                    5..9 => {
                        let taken = turns.pop();
                        prop_assert_eq!(taken.is_none(), waiting.is_empty());
                        let Some(taken) = taken else { continue };
                        prop_assert_eq!(waiting.remove(&taken.id.0), Some(taken));
                        let Caller::Key(served) = taken.caller else { unreachable!() };
                        for (other, counts) in &mut since {
                            let count = counts.entry(served).or_default();
                            *count += usize::from(*other != served);
                            prop_assert!(*count <= 2, "{other} was overtaken by {served}");
                        }
                        since.insert(served, HashMap::new());
                    }
                    _ => {
                        if let Some(&id) = waiting.keys().min() {
                            prop_assert_eq!(turns.remove(WindowId(id)), waiting.remove(&id));
                        }
                    }
                }
                since.retain(|caller, _| waiting.values().any(|w| w.caller == Caller::Key(*caller)));
                prop_assert_eq!(turns.len(), waiting.len());
                prop_assert_eq!(turns.audio(), Duration::from_secs(waiting.len() as u64));
                prop_assert_eq!(turns.iter().count(), waiting.len());
            }
        }
    }
}
