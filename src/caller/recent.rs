//! Whether other callers are active. Pure: the time is passed in.

use std::time::{Duration, Instant};

use super::Caller;

/// How long a caller counts as active after a request.
const ACTIVE_FOR: Duration = Duration::from_secs(60);

/// The two most recent distinct callers, latest first: for any caller, at least one is another one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentCallers([Option<(Caller, Instant)>; 2]);

impl RecentCallers {
    /// Records a request of a caller.
    pub fn record(&mut self, caller: Caller, now: Instant) {
        let Self([first, second]) = *self;
        let is_first = first.is_some_and(|(other, _)| other == caller);
        *self = Self([Some((caller, now)), if is_first { second } else { first }]);
    }

    /// Whether a caller other than this one was active within the last minute.
    #[must_use]
    pub fn has_others(&self, caller: Caller, now: Instant) -> bool {
        let mut callers = self.0.iter().flatten();
        callers
            .any(|(other, at)| *other != caller && now.saturating_duration_since(*at) < ACTIVE_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_callers_are_enough_to_know_another() {
        let [alice, bob, carol] = [0, 1, 2].map(Caller::Key);
        let (mut recent, now) = (RecentCallers::default(), Instant::now());
        let requests = [(bob, 0), (carol, 30), (alice, 40), (alice, 89), (alice, 90)];
        for (caller, at_s) in requests {
            let now = now + Duration::from_secs(at_s);
            let others = recent.has_others(alice, now);
            assert_eq!(others, (1..90).contains(&at_s), "{at_s}");
            recent.record(caller, now);
        }
    }
}
