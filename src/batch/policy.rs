//! Decides which waiting jobs leave for an engine, when. Pure: the caller passes the time in.
//!
//! A key's jobs leave together when there are enough for a full batch, when the oldest has
//! waited for the batch window, or at once when nothing is being prepared that could join them.
//! Nothing leaves before an engine is idle: while engines are busy, jobs simply gather.
//!
//! Of the keys that may leave, the one that waited longest goes first, but every second time one
//! with the first window of a request may go before it. So the many windows of a long recording
//! hold up somebody else's short one for one batch at most, and are never held up for ever.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use super::pending::{Pending, Waiting};

/// A batch holds as many hypotheses as a full one of a search this wide. The reference's default is 5.
const HYPOTHESES_PER_WINDOW: usize = 8;

/// The two knobs of the micro-batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most windows in a batch.
    pub batch_size: NonZeroUsize,
    /// Longest wait for company, counted from the oldest job's arrival.
    pub window: Duration,
}

/// A key that says what its jobs cost.
pub trait Weigh {
    /// Texts that are searched at one time for each job.
    fn hypotheses(&self) -> usize;
}

impl Limits {
    /// The most windows in a batch of this key: those of wide searches are fewer, because a batch holds
    /// its engine until all of them are done, and others wait.
    fn batch_size_of<K: Weigh>(&self, key: &K) -> usize {
        let windows = self.batch_size.get();
        let hypotheses = windows.saturating_mul(HYPOTHESES_PER_WINDOW);
        (hypotheses / key.hypotheses().max(1)).clamp(1, windows)
    }
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
    /// Whether the last batch went before one that had waited longer.
    pub overtook: bool,
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
        /// Whether a key that waited longer is left behind.
        overtakes: bool,
    },
    /// Look again at this moment, or earlier when something arrives.
    WaitUntil(Instant),
    /// Look again when something arrives.
    Wait,
}

/// Chooses among the keys that are due.
pub fn decide<K: Clone + Eq + Hash + Weigh, J>(
    pending: &Pending<K, J>,
    limits: Limits,
    situation: Situation,
) -> Decision<K> {
    let Some(idle_engines) = NonZeroUsize::new(situation.idle_engines) else {
        return Decision::Wait;
    };
    let due = |waiting: &Waiting<K>| {
        !situation.more_is_coming
            || waiting.len >= limits.batch_size_of(&waiting.key)
            || situation.now >= waiting.oldest + limits.window
    };
    let oldest = pending
        .waiting()
        .filter(due)
        .min_by_key(|waiting| waiting.oldest);
    if let Some(oldest) = oldest {
        let first = first_of_a_request(pending.waiting().filter(due), situation);
        let chosen = first.unwrap_or_else(|| oldest.clone());
        // Idle engines share what waits, so that none sleeps beside a full one.
        let share = chosen.len.div_ceil(idle_engines.get());
        return Decision::Take {
            limit: share.min(limits.batch_size_of(&chosen.key)),
            overtakes: chosen.key != oldest.key,
            key: chosen.key,
        };
    }
    match pending.waiting().map(|waiting| waiting.oldest).min() {
        Some(oldest) => Decision::WaitUntil(oldest + limits.window),
        None => Decision::Wait,
    }
}

/// The key whose first window of a request waited longest, unless the last batch has gone ahead of
/// its turn already.
fn first_of_a_request<K>(
    due: impl Iterator<Item = Waiting<K>>,
    situation: Situation,
) -> Option<Waiting<K>> {
    let firsts = due.filter(|waiting| waiting.oldest_first.is_some() && !situation.overtook);
    firsts.min_by_key(|waiting| waiting.oldest_first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Standing;
    use crate::job::RequestId;

    const WINDOW: Duration = Duration::from_millis(20);
    const LIMITS: Limits = Limits {
        batch_size: NonZeroUsize::new(4).unwrap(),
        window: WINDOW,
    };

    /// Keys from 100 on are those of wide searches.
    impl Weigh for u8 {
        fn hypotheses(&self) -> usize {
            if *self < 100 { 5 } else { 16 }
        }
    }

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
            let standing = Standing {
                request: RequestId(number),
                is_first: true,
                queued_at: start + Duration::from_millis(at_ms),
            };
            pending.push(key, standing, ());
        }
        let situation = Situation {
            now: start + Duration::from_millis(now_ms),
            idle_engines,
            more_is_coming,
            overtook: false,
        };
        assert_eq!(decide(&pending, LIMITS, situation), expected(start));
    }

    fn take(key: u8, limit: usize) -> impl Fn(Instant) -> Decision<u8> {
        move |_| Decision::Take {
            key,
            limit,
            overtakes: false,
        }
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
    fn a_batch_of_wide_searches_has_fewer_windows() {
        check(&[(100, 0); 9], (0, 1, false), take(100, 2));
        check(&[(100, 0), (100, 0)], (1, 1, true), take(100, 2));
        let huge = Limits {
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
    fn idle_engines_share_what_waits() {
        check(&[(0, 0), (0, 0), (0, 0)], (0, 2, false), take(0, 2));
    }

    /// The keys that leave one after the other, once an engine is idle: key 0 is that of a long
    /// recording whose first window has left already, each of `others` a request of one window.
    fn order(others: &[u8]) -> Vec<(u8, usize)> {
        let start = Instant::now();
        let mut pending = Pending::default();
        let mut push = |request: usize, is_first, key| {
            let standing = Standing {
                request: RequestId(request as u64),
                is_first,
                queued_at: start + Duration::from_millis(request as u64),
            };
            pending.push(key, standing, ());
        };
        (0..8).for_each(|_| push(0, false, 0));
        for (number, &key) in (1..).zip(others) {
            push(number, true, key);
        }
        let mut situation = Situation {
            now: start + Duration::from_secs(1),
            idle_engines: 1,
            more_is_coming: false,
            overtook: false,
        };
        let mut order = Vec::new();
        while let Decision::Take {
            key,
            limit,
            overtakes,
        } = decide(&pending, LIMITS, situation)
        {
            situation.overtook = overtakes;
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
