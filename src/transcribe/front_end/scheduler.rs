//! Decides which waiting CPU work a free worker takes. Pure: the time is passed in.
//!
//! A worker goes to the caller that occupies the fewest workers; on a tie, to the one whose last turn is
//! longest ago. Running work is not interrupted, so this alone would let one caller occupy all workers
//! with long items whenever nobody else waits, and the next caller would wait for seconds. So while other
//! callers are active, the long items of one caller occupy at most half of the workers.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Instant;

use crate::caller::{Caller, RecentCallers};

/// The work items that are waiting or running.
#[derive(Debug)]
pub struct Scheduler {
    workers: usize,
    running: HashMap<Caller, WorkerCounts>,
    /// Only callers with at least one waiting item.
    waiting: HashMap<Caller, CallerQueue>,
    recent: RecentCallers,
    next_number: u64,
}

/// A work item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// Order of submission.
    pub number: u64,
    caller: Caller,
    is_long: bool,
}

/// The waiting items of a caller.
#[derive(Debug)]
struct CallerQueue {
    /// Logical time from which on it has been waiting for its next turn.
    since: u64,
    /// In order of submission.
    items: VecDeque<WorkItem>,
}

/// The workers that a caller occupies.
#[derive(Clone, Copy, Debug, Default)]
struct WorkerCounts {
    all: usize,
    /// Workers that run long items.
    long: usize,
}

impl Scheduler {
    /// A scheduler with `workers` free workers.
    pub fn new(workers: NonZeroUsize) -> Self {
        Self {
            workers: workers.get(),
            running: HashMap::new(),
            waiting: HashMap::new(),
            recent: RecentCallers::default(),
            next_number: 0,
        }
    }

    /// Adds a waiting item.
    pub fn submit(&mut self, caller: Caller, is_long: bool, now: Instant) -> WorkItem {
        self.recent.record(caller, now);
        let number = self.number();
        let item = WorkItem {
            number,
            caller,
            is_long,
        };
        let waiting = self.waiting.entry(caller).or_insert_with(|| CallerQueue {
            since: number,
            items: VecDeque::new(),
        });
        waiting.items.push_back(item);
        item
    }

    /// Assigns a free worker to the next item; none if no worker is free or no item may run.
    pub fn start_next(&mut self, now: Instant) -> Option<WorkItem> {
        let busy: usize = self.running.values().map(|running| running.all).sum();
        if busy >= self.workers {
            return None;
        }
        let candidates = self.waiting.iter().filter_map(|(caller, waiting)| {
            let running = self.running.get(caller).copied().unwrap_or_default();
            let may_be_long = running.long < self.share() || !self.recent.has_others(*caller, now);
            let mut items = waiting.items.iter();
            let item = items.find(|item| may_be_long || !item.is_long)?;
            Some(((running.all, waiting.since), *item))
        });
        let (_, item) = candidates.min_by_key(|(turn, _)| *turn)?;
        self.stop_waiting(item);
        let number = self.number();
        if let Some(waiting) = self.waiting.get_mut(&item.caller) {
            waiting.since = number;
        }
        let running = self.running.entry(item.caller).or_default();
        running.all += 1;
        running.long += usize::from(item.is_long);
        Some(item)
    }

    /// Removes an item that has run, or that was cancelled.
    pub fn remove(&mut self, item: WorkItem) {
        if self.stop_waiting(item) {
            return;
        }
        if let Some(running) = self.running.get_mut(&item.caller) {
            running.all -= 1;
            running.long -= usize::from(item.is_long);
            if running.all == 0 {
                self.running.remove(&item.caller);
            }
        }
    }

    /// The number of workers that long items of one caller may occupy while other callers are active.
    fn share(&self) -> usize {
        self.workers.div_ceil(2)
    }

    /// Removes a waiting item; returns whether it was waiting.
    fn stop_waiting(&mut self, item: WorkItem) -> bool {
        let Some(waiting) = self.waiting.get_mut(&item.caller) else {
            return false;
        };
        let items = &mut waiting.items;
        let Some(at) = items.iter().position(|other| *other == item) else {
            return false;
        };
        items.remove(at);
        if items.is_empty() {
            self.waiting.remove(&item.caller);
        }
        true
    }

    /// The next logical time, which orders items and turns.
    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ALICE: Caller = Caller::Key(0);
    const BOB: Caller = Caller::Key(1);
    const CAROL: Caller = Caller::Key(2);

    fn scheduler(workers: usize) -> Scheduler {
        Scheduler::new(NonZeroUsize::new(workers).unwrap())
    }

    fn start_all(scheduler: &mut Scheduler, now: Instant) -> Vec<WorkItem> {
        std::iter::from_fn(|| scheduler.start_next(now)).collect()
    }

    #[test]
    fn a_single_caller_occupies_all_workers() {
        let (mut scheduler, now) = (scheduler(4), Instant::now());
        let submitted: Vec<_> = (0..6).map(|_| scheduler.submit(ALICE, true, now)).collect();
        assert_eq!(start_all(&mut scheduler, now), submitted[..4]);
        scheduler.remove(submitted[1]);
        assert_eq!(start_all(&mut scheduler, now), [submitted[4]]);
    }

    #[test]
    fn while_others_are_active_long_items_occupy_half() {
        for (workers, expected) in [(1, 1), (2, 1), (3, 2), (4, 2), (16, 8)] {
            let (mut scheduler, now) = (scheduler(workers), Instant::now());
            let other = scheduler.submit(BOB, false, now);
            scheduler.remove(other);
            let submitted: Vec<_> = (0..20)
                .map(|_| scheduler.submit(ALICE, true, now))
                .collect();
            assert_eq!(
                start_all(&mut scheduler, now),
                submitted[..expected],
                "{workers}"
            );
            // Short items may take the remaining workers, before long ones that have to wait.
            let short = scheduler.submit(ALICE, false, now);
            let started = start_all(&mut scheduler, now);
            assert_eq!(started.contains(&short), workers > 1, "{workers}");
            scheduler.remove(short);
            // A minute later no other caller is active.
            let later = now + Duration::from_secs(60);
            assert_eq!(
                start_all(&mut scheduler, later),
                submitted[expected..workers]
            );
        }
    }

    #[test]
    fn the_caller_with_the_fewest_workers_is_next() {
        let (mut scheduler, now) = (scheduler(2), Instant::now());
        let alice = [(); 4].map(|()| scheduler.submit(ALICE, true, now));
        assert_eq!(start_all(&mut scheduler, now), alice[..2]);
        let bob = [(); 2].map(|()| scheduler.submit(BOB, true, now));
        let carol = scheduler.submit(CAROL, true, now);
        scheduler.remove(alice[0]);
        assert_eq!(start_all(&mut scheduler, now), [bob[0]]);
        scheduler.remove(alice[1]);
        // Alice and carol have none now, and the last turn of alice was before carol's submission.
        assert_eq!(start_all(&mut scheduler, now), [alice[2]]);
        scheduler.remove(bob[0]);
        assert_eq!(start_all(&mut scheduler, now), [carol]);
        scheduler.remove(alice[2]);
        assert_eq!(start_all(&mut scheduler, now), [bob[1]]);
        scheduler.remove(carol);
        assert_eq!(start_all(&mut scheduler, now), [alice[3]]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Submit(usize, bool),
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..4, any::<bool>()).prop_map(|(caller, is_long)| Step::Submit(caller, is_long)),
            any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_is_lost_and_no_more_than_the_workers_run(
            workers in 1_usize..6,
            steps in prop::collection::vec((step(), 0_u64..40), 0..100),
        ) {
            let (mut scheduler, mut now) = (scheduler(workers), Instant::now());
            let (mut waiting, mut running) = (Vec::new(), Vec::new());
            for (step, passed_s) in steps {
                now += Duration::from_secs(passed_s);
                match step {
                    Step::Submit(caller, is_long) => {
                        waiting.push(scheduler.submit(Caller::Key(caller), is_long, now));
                    }
                    Step::Remove(index) if !(waiting.is_empty() && running.is_empty()) => {
                        let at = index.index(waiting.len() + running.len());
                        let item = if at < waiting.len() {
                            waiting.remove(at)
                        } else {
                            running.swap_remove(at - waiting.len())
                        };
                        scheduler.remove(item);
                    }
                    Step::Remove(_) => {}
                }
                for item in start_all(&mut scheduler, now) {
                    let at = waiting.iter().position(|other| *other == item);
                    prop_assert!(at.is_some(), "started twice, or after it was removed");
                    running.push(waiting.remove(at.unwrap_or_default()));
                }
                prop_assert!(running.len() <= workers);
                if running.len() < workers {
                    // Only long items beyond their caller's share wait although a worker is free.
                    for item in &waiting {
                        let long = |other: &&WorkItem| other.is_long && other.caller == item.caller;
                        let occupied = running.iter().filter(long).count();
                        prop_assert!(item.is_long && occupied >= scheduler.share());
                    }
                }
            }
            // Once nothing more is submitted, all of them run.
            while let Some(item) = running.pop() {
                scheduler.remove(item);
                let started = start_all(&mut scheduler, now);
                waiting.retain(|item| !started.contains(item));
                running.extend(started);
            }
            prop_assert!(waiting.is_empty());
            prop_assert!(scheduler.running.is_empty() && scheduler.waiting.is_empty());
        }

        /// A caller that occupies no worker waits for at most one item of each other caller, however
        /// many items they submit.
        #[test]
        fn no_caller_starves(
            workers in 1_usize..4,
            others in 1_usize..5,
            ended in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let (mut scheduler, now) = (scheduler(workers), Instant::now());
            for _ in 0..10 {
                for other in 1..=others {
                    scheduler.submit(Caller::Key(other), true, now);
                }
            }
            let mut running = start_all(&mut scheduler, now);
            let mine = scheduler.submit(ALICE, true, now);
            let mut ends = 0;
            for index in ended {
                running.extend(start_all(&mut scheduler, now));
                if running.contains(&mine) {
                    break;
                }
                let item = running.swap_remove(index.index(running.len()));
                scheduler.remove(item);
                scheduler.submit(item.caller, true, now);
                ends += 1;
            }
            prop_assert!(running.contains(&mine));
            prop_assert!(ends <= others + 1, "{ends} items ran before");
        }
    }
}
