//! Decides when which waiting jobs are sent to an engine. Pure: the caller passes the time in.
//!
//! The jobs of a key are due when there are enough for a full batch, when the oldest has waited for
//! the batch window, or at once when no window is being prepared that could join them. They are sent
//! only to an idle engine: while all engines are busy, jobs accumulate.
//!
//! Of the keys that are due, the one that waited longest goes first, but every second batch may be
//! that of a key with the first window of a request. So the windows of a long recording delay the
//! short recording of another request by one batch at most, and are not starved either.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::pending::{GroupSummary, Pending};
use halkspeech_whisper::engine::BatchKey;

/// Hypotheses per window for which a full batch is sized. The reference's default is 5.
pub const HYPOTHESES_PER_WINDOW: usize = 8;

/// The limits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Maximum number of windows in a batch.
    pub batch_size: NonZeroUsize,
    /// Longest wait for further windows, counted from the oldest job's arrival.
    pub window: Duration,
}

/// A batch key that determines the width of the search.
pub trait HypothesisCount {
    /// Hypotheses that are held at one time for each job.
    fn hypotheses(&self) -> usize;
}

impl HypothesisCount for BatchKey {
    fn hypotheses(&self) -> usize {
        self.options.max_hypotheses()
    }
}

impl BatchLimits {
    /// Maximum number of windows in a batch of this key. It is lower for wide searches, because a batch
    /// occupies its engine until all its windows are done.
    fn batch_size_of<K: HypothesisCount>(&self, key: &K) -> usize {
        let windows = self.batch_size.get();
        let hypotheses = windows.saturating_mul(HYPOTHESES_PER_WINDOW);
        (hypotheses / key.hypotheses().max(1)).clamp(1, windows)
    }
}

/// The state that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyInput {
    /// The current time.
    pub now: Instant,
    /// Engines that wait for a batch.
    pub idle_engines: usize,
    /// Whether windows are being prepared that may join.
    pub more_expected: bool,
    /// Whether the last batch was sent before one that had waited longer.
    pub overtook: bool,
}

/// The next action of the batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<K> {
    /// Send up to `limit` jobs of `key`.
    Take {
        /// The chosen key.
        key: K,
        /// Maximum number of jobs.
        limit: usize,
        /// Whether it is sent before a key that waited longer.
        overtakes: bool,
    },
    /// Decide again at this time, or earlier when a job or an engine arrives.
    WaitUntil(Instant),
    /// Decide again when a job or an engine arrives.
    Wait,
}

/// Chooses among the keys that are due.
pub fn decide<K: Clone + Eq + Hash + HypothesisCount, J>(
    pending: &Pending<K, J>,
    limits: BatchLimits,
    input: PolicyInput,
) -> Decision<K> {
    let Some(idle_engines) = NonZeroUsize::new(input.idle_engines) else {
        return Decision::Wait;
    };
    let due = |group: &GroupSummary<K>| {
        !input.more_expected
            || group.len >= limits.batch_size_of(&group.key)
            || input.now >= group.oldest + limits.window
    };
    let oldest = pending
        .groups()
        .filter(due)
        .min_by_key(|group| group.oldest);
    if let Some(oldest) = oldest {
        let first = oldest_first_window(pending.groups().filter(due), input);
        let chosen = first.unwrap_or_else(|| oldest.clone());
        // The jobs are divided among the idle engines, so that none stays idle.
        let share = chosen.len.div_ceil(idle_engines.get());
        return Decision::Take {
            limit: share.min(limits.batch_size_of(&chosen.key)),
            overtakes: chosen.key != oldest.key,
            key: chosen.key,
        };
    }
    match pending.groups().map(|group| group.oldest).min() {
        Some(oldest) => Decision::WaitUntil(oldest + limits.window),
        None => Decision::Wait,
    }
}

/// The group whose first window of a request waited longest; none if the last batch has overtaken
/// another one already.
fn oldest_first_window<K>(
    due: impl Iterator<Item = GroupSummary<K>>,
    input: PolicyInput,
) -> Option<GroupSummary<K>> {
    let firsts = due.filter(|group| group.oldest_first.is_some() && !input.overtook);
    firsts.min_by_key(|group| group.oldest_first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Arrival;
    use crate::schedule::RequestId;

    const WINDOW: Duration = Duration::from_millis(20);
    const LIMITS: BatchLimits = BatchLimits {
        batch_size: NonZeroUsize::new(4).unwrap(),
        window: WINDOW,
    };

    /// Keys from 100 on are those of wide searches.
    impl HypothesisCount for u8 {
        fn hypotheses(&self) -> usize {
            if *self < 100 { 5 } else { 16 }
        }
    }

    /// Decides over jobs given as (key, milliseconds since the start at which it arrived).
    #[track_caller]
    fn check(
        jobs: &[(u8, u64)],
        (now_ms, idle_engines, more_expected): (u64, usize, bool),
        expected: impl Fn(Instant) -> Decision<u8>,
    ) {
        let start = Instant::now();
        let mut pending = Pending::default();
        for (number, &(key, at_ms)) in (0..).zip(jobs) {
            let arrival = Arrival {
                request: RequestId(number),
                is_first: true,
                queued_at: start + Duration::from_millis(at_ms),
            };
            pending.push(key, arrival, ());
        }
        let input = PolicyInput {
            now: start + Duration::from_millis(now_ms),
            idle_engines,
            more_expected,
            overtook: false,
        };
        assert_eq!(decide(&pending, LIMITS, input), expected(start));
    }

    fn take(key: u8, limit: usize) -> impl Fn(Instant) -> Decision<u8> {
        move |_| Decision::Take {
            key,
            limit,
            overtakes: false,
        }
    }

    #[test]
    fn waits_for_an_idle_engine() {
        check(&[(0, 0); 9], (1000, 0, false), |_| Decision::Wait);
        check(&[], (0, 2, true), |_| Decision::Wait);
    }

    #[test]
    fn a_lone_job_leaves_at_once_when_nothing_else_is_coming() {
        check(&[(0, 0)], (0, 1, false), take(0, 1));
    }

    #[test]
    fn waits_for_further_jobs_at_most_for_the_window() {
        check(&[(0, 5)], (5, 1, true), |start| {
            Decision::WaitUntil(start + Duration::from_millis(25))
        });
        check(&[(0, 5)], (25, 1, true), take(0, 1));
    }

    #[test]
    fn a_full_batch_leaves_before_its_window_is_over() {
        check(
            &[(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
            (1, 1, true),
            take(0, 4),
        );
    }

    #[test]
    fn a_batch_of_wide_searches_has_fewer_windows() {
        check(&[(100, 0); 9], (0, 1, false), take(100, 2));
        check(&[(100, 0), (100, 0)], (1, 1, true), take(100, 2));
        let huge = BatchLimits {
            batch_size: NonZeroUsize::MIN,
            ..LIMITS
        };
        assert_eq!(huge.batch_size_of(&100), 1);
    }

    #[test]
    fn the_key_that_waited_longest_goes_first() {
        check(
            &[(1, 3), (0, 5), (0, 5), (0, 5), (0, 5)],
            (30, 1, true),
            take(1, 1),
        );
        // A full batch of a younger key does not have to wait for an older one's window.
        check(
            &[(1, 3), (0, 5), (0, 5), (0, 5), (0, 5)],
            (6, 1, true),
            take(0, 4),
        );
    }

    #[test]
    fn idle_engines_share_the_waiting_jobs() {
        check(&[(0, 0), (0, 0), (0, 0)], (0, 2, false), take(0, 2));
    }

    /// The order in which keys are sent to one idle engine: key 0 is that of a long recording whose
    /// first window has been sent already, each of `others` a request of one window.
    fn order(others: &[u8]) -> Vec<(u8, usize)> {
        let start = Instant::now();
        let mut pending = Pending::default();
        let mut push = |request: usize, is_first, key| {
            let arrival = Arrival {
                request: RequestId(request as u64),
                is_first,
                queued_at: start + Duration::from_millis(request as u64),
            };
            pending.push(key, arrival, ());
        };
        (0..8).for_each(|_| push(0, false, 0));
        for (number, &key) in (1..).zip(others) {
            push(number, true, key);
        }
        let mut input = PolicyInput {
            now: start + Duration::from_secs(1),
            idle_engines: 1,
            more_expected: false,
            overtook: false,
        };
        let mut order = Vec::new();
        while let Decision::Take {
            key,
            limit,
            overtakes,
        } = decide(&pending, LIMITS, input)
        {
            input.overtook = overtakes;
            order.push((key, pending.take(&key, limit).len()));
        }
        order
    }

    #[test]
    fn a_long_recording_holds_up_a_short_one_for_one_batch_at_most() {
        assert_eq!(order(&[1]), [(1, 1), (0, 4), (0, 4)]);
        assert_eq!(order(&[1, 1, 1]), [(1, 3), (0, 4), (0, 4)]);
    }

    #[test]
    fn short_recordings_hold_up_a_long_one_every_second_time_at_most() {
        let alternating = [(1, 1), (0, 4), (2, 1), (0, 4), (3, 1), (4, 1)];
        assert_eq!(order(&[1, 2, 3, 4]), alternating);
    }
}
