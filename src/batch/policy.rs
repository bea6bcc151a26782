//! Decides which waiting jobs leave for an engine, when. Pure: the caller passes the time in.
//!
//! A key's jobs leave together when there are enough for a full batch, when the oldest has
//! waited for the batch window, or at once when nothing is being prepared that could join them.
//! Nothing leaves before an engine is idle: while engines are busy, jobs simply gather.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::pending::{Pending, Waiting};

/// The two knobs of the micro-batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most windows in a batch.
    pub batch_size: NonZeroUsize,
    /// Longest wait for company, counted from the oldest job's arrival.
    pub window: Duration,
}

/// What is known at the moment of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The moment.
    pub now: Instant,
    /// Engines that wait for a batch.
    pub idle_engines: usize,
    /// Whether windows are being prepared that may join.
    pub more_is_coming: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<K> {
    /// Send up to `limit` jobs of `key`.
    Take {
        /// The key whose turn it is.
        key: K,
        /// How many jobs, at most.
        limit: usize,
    },
    /// Look again at this moment, or earlier when something arrives.
    WaitUntil(Instant),
    /// Look again when something arrives.
    Wait,
}

/// Chooses the key that waited longest among those that are due.
pub fn decide<K: Clone + Eq + Hash, J>(
    pending: &Pending<K, J>,
    limits: Limits,
    situation: Situation,
) -> Decision<K> {
    let Some(idle_engines) = NonZeroUsize::new(situation.idle_engines) else {
        return Decision::Wait;
    };
    let due = |waiting: &Waiting<K>| {
        !situation.more_is_coming
            || waiting.len >= limits.batch_size.get()
            || situation.now >= waiting.oldest + limits.window
    };
    if let Some(first) = pending
        .waiting()
        .filter(due)
        .min_by_key(|waiting| waiting.oldest)
    {
        // Idle engines share what waits, so that none sleeps beside a full one.
        let share = first.len.div_ceil(idle_engines.get());
        return Decision::Take {
            key: first.key,
            limit: share.min(limits.batch_size.get()),
        };
    }
    match pending.waiting().map(|waiting| waiting.oldest).min() {
        Some(oldest) => Decision::WaitUntil(oldest + limits.window),
        None => Decision::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::RequestId;

    const WINDOW: Duration = Duration::from_millis(20);

    /// Decides over jobs given as (key, milliseconds since the start at which it arrived).
    #[track_caller]
    fn check(
        jobs: &[(u8, u64)],
        (now_ms, idle_engines, more_is_coming): (u64, usize, bool),
        expected: impl Fn(Instant) -> Decision<u8>,
    ) {
        let start = Instant::now();
        let mut pending = Pending::default();
        for (number, &(key, at_ms)) in (0..).zip(jobs) {
            pending.push(
                key,
                RequestId(number),
                start + Duration::from_millis(at_ms),
                (),
            );
        }
        let limits = Limits {
            batch_size: NonZeroUsize::new(4).unwrap(),
            window: WINDOW,
        };
        let now = start + Duration::from_millis(now_ms);
        let decision = decide(
            &pending,
            limits,
            Situation {
                now,
                idle_engines,
                more_is_coming,
            },
        );
        assert_eq!(decision, expected(start));
    }

    fn take(key: u8, limit: usize) -> impl Fn(Instant) -> Decision<u8> {
        move |_| Decision::Take { key, limit }
    }

    #[test]
    fn waits_for_an_engine_whatever_gathers() {
        check(&[(0, 0); 9], (1000, 0, false), |_| Decision::Wait);
        check(&[], (0, 2, true), |_| Decision::Wait);
    }

    #[test]
    fn a_lone_job_leaves_at_once_when_nothing_else_is_coming() {
        check(&[(0, 0)], (0, 1, false), take(0, 1));
    }

    #[test]
    fn waits_for_company_at_most_for_the_window() {
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
    fn idle_engines_share_what_waits() {
        check(&[(0, 0), (0, 0), (0, 0)], (0, 2, false), take(0, 2));
    }
}
