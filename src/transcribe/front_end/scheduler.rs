//! Which waiting piece of CPU work a free worker takes. Pure: the time is passed in.
//!
//! A worker goes to the caller that occupies the fewest, of several to the one whose last turn is longest
//! ago. A worker cannot be taken back before its piece ends, so this alone would let one caller occupy
//! all of them with long pieces whenever nobody waits, and the next caller wait for seconds. So while
//! others ask, the long pieces of one caller occupy half of the workers at most.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Instant;

use crate::caller::{Caller, RecentCallers};

/// The pieces of work that wait and that run.
#[derive(Debug)]
pub struct Turns {
    workers: usize,
    running: HashMap<Caller, Running>,
    /// No caller without a waiting piece is in it.
    waiting: HashMap<Caller, Waiting>,
    recent: RecentCallers,
    next_number: u64,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Lower for a piece that was asked for earlier.
    pub number: u64,
    caller: Caller,
    is_long: bool,
}

/// The waiting pieces of a caller.
#[derive(Debug)]
struct Waiting {
    /// A number of the time when it began to wait for its next turn.
    since: u64,
    /// In the order in which they were asked for.
    tickets: VecDeque<Ticket>,
}

/// The workers that a caller occupies.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    all: usize,
    /// Those with long pieces.
    long: usize,
}

impl Turns {
    /// Nothing waits, and all `workers` are free.
    pub fn new(workers: NonZeroUsize) -> Self {
        Self {
            workers: workers.get(),
            running: HashMap::new(),
            waiting: HashMap::new(),
            recent: RecentCallers::default(),
            next_number: 0,
        }
    }

    /// Adds a piece of work to those that wait.
    pub fn ask(&mut self, caller: Caller, is_long: bool, now: Instant) -> Ticket {
        self.recent.note(caller, now);
        let number = self.number();
        let ticket = Ticket {
            number,
            caller,
            is_long,
        };
        let waiting = self.waiting.entry(caller).or_insert_with(|| Waiting {
            since: number,
            tickets: VecDeque::new(),
        });
        waiting.tickets.push_back(ticket);
        ticket
    }

    /// Gives a free worker to the piece whose turn it is; none where no worker is free or nothing may
    /// run.
    pub fn start_next(&mut self, now: Instant) -> Option<Ticket> {
        let busy: usize = self.running.values().map(|running| running.all).sum();
        if busy >= self.workers {
            return None;
        }
        let candidates = self.waiting.iter().filter_map(|(caller, waiting)| {
            let running = self.running.get(caller).copied().unwrap_or_default();
            let may_be_long = running.long < self.share() || !self.recent.has_others(*caller, now);
            let mut tickets = waiting.tickets.iter();
            let ticket = tickets.find(|ticket| may_be_long || !ticket.is_long)?;
            Some(((running.all, waiting.since), *ticket))
        });
        let (_, ticket) = candidates.min_by_key(|(turn, _)| *turn)?;
        self.stop_waiting(ticket);
        let number = self.number();
        if let Some(waiting) = self.waiting.get_mut(&ticket.caller) {
            waiting.since = number;
        }
        let running = self.running.entry(ticket.caller).or_default();
        running.all += 1;
        running.long += usize::from(ticket.is_long);
        Some(ticket)
    }

    /// Takes out a piece that has run, or that is no longer wanted.
    pub fn leave(&mut self, ticket: Ticket) {
        if self.stop_waiting(ticket) {
            return;
        }
        if let Some(running) = self.running.get_mut(&ticket.caller) {
            running.all -= 1;
            running.long -= usize::from(ticket.is_long);
            if running.all == 0 {
                self.running.remove(&ticket.caller);
            }
        }
    }

    /// The workers that the long pieces of one caller may occupy while others ask.
    fn share(&self) -> usize {
        self.workers.div_ceil(2)
    }

    /// Takes a piece out of those that wait; whether it was among them.
    fn stop_waiting(&mut self, ticket: Ticket) -> bool {
        let Some(waiting) = self.waiting.get_mut(&ticket.caller) else {
            return false;
        };
        let tickets = &mut waiting.tickets;
        let Some(at) = tickets.iter().position(|other| *other == ticket) else {
            return false;
        };
        tickets.remove(at);
        if tickets.is_empty() {
            self.waiting.remove(&ticket.caller);
        }
        true
    }

    /// The next number; it orders tickets and turns.
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

    fn turns(workers: usize) -> Turns {
        Turns::new(NonZeroUsize::new(workers).unwrap())
    }

    fn start_all(turns: &mut Turns, now: Instant) -> Vec<Ticket> {
        std::iter::from_fn(|| turns.start_next(now)).collect()
    }

    #[test]
    fn alone_a_caller_occupies_all_workers() {
        let (mut turns, now) = (turns(4), Instant::now());
        let asked: Vec<_> = (0..6).map(|_| turns.ask(ALICE, true, now)).collect();
        assert_eq!(start_all(&mut turns, now), asked[..4]);
        turns.leave(asked[1]);
        assert_eq!(start_all(&mut turns, now), [asked[4]]);
    }

    #[test]
    fn while_others_ask_long_pieces_occupy_half() {
        for (workers, expected) in [(1, 1), (2, 1), (3, 2), (4, 2), (16, 8)] {
            let (mut turns, now) = (turns(workers), Instant::now());
            let other = turns.ask(BOB, false, now);
            turns.leave(other);
            let asked: Vec<_> = (0..20).map(|_| turns.ask(ALICE, true, now)).collect();
            assert_eq!(start_all(&mut turns, now), asked[..expected], "{workers}");
            // Short ones may have the rest, in front of long ones that have to wait.
            let short = turns.ask(ALICE, false, now);
            let started = start_all(&mut turns, now);
            assert_eq!(started.contains(&short), workers > 1, "{workers}");
            turns.leave(short);
            // A minute later nobody else asks.
            let later = now + Duration::from_secs(60);
            assert_eq!(start_all(&mut turns, later), asked[expected..workers]);
        }
    }

    #[test]
    fn the_caller_with_the_fewest_workers_is_next() {
        let (mut turns, now) = (turns(2), Instant::now());
        let alice = [(); 4].map(|()| turns.ask(ALICE, true, now));
        assert_eq!(start_all(&mut turns, now), alice[..2]);
        let bob = [(); 2].map(|()| turns.ask(BOB, true, now));
        let carol = turns.ask(CAROL, true, now);
        turns.leave(alice[0]);
        assert_eq!(start_all(&mut turns, now), [bob[0]]);
        turns.leave(alice[1]);
        // Alice and carol have none now, and the last turn of alice was before carol asked.
        assert_eq!(start_all(&mut turns, now), [alice[2]]);
        turns.leave(bob[0]);
        assert_eq!(start_all(&mut turns, now), [carol]);
        turns.leave(alice[2]);
        assert_eq!(start_all(&mut turns, now), [bob[1]]);
        turns.leave(carol);
        assert_eq!(start_all(&mut turns, now), [alice[3]]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask(usize, bool),
        Leave(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..4, any::<bool>()).prop_map(|(caller, is_long)| Step::Ask(caller, is_long)),
            any::<prop::sample::Index>().prop_map(Step::Leave),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_is_lost_and_no_more_than_the_workers_run(
            workers in 1_usize..6,
            steps in prop::collection::vec((step(), 0_u64..40), 0..100),
        ) {
            let (mut turns, mut now) = (turns(workers), Instant::now());
            let (mut waiting, mut running) = (Vec::new(), Vec::new());
            for (step, passed_s) in steps {
                now += Duration::from_secs(passed_s);
                match step {
                    Step::Ask(caller, is_long) => {
                        waiting.push(turns.ask(Caller::Key(caller), is_long, now));
                    }
                    Step::Leave(index) if !(waiting.is_empty() && running.is_empty()) => {
                        let at = index.index(waiting.len() + running.len());
                        let ticket = if at < waiting.len() {
                            waiting.remove(at)
                        } else {
                            running.swap_remove(at - waiting.len())
                        };
                        turns.leave(ticket);
                    }
                    Step::Leave(_) => {}
                }
                for ticket in start_all(&mut turns, now) {
                    let at = waiting.iter().position(|other| *other == ticket);
                    prop_assert!(at.is_some(), "started twice, or after it had left");
                    running.push(waiting.remove(at.unwrap_or_default()));
                }
                prop_assert!(running.len() <= workers);
                if running.len() < workers {
                    // Nothing waits for a free worker but long pieces beyond their caller's share.
                    for ticket in &waiting {
                        let long = |other: &&Ticket| other.is_long && other.caller == ticket.caller;
                        let occupied = running.iter().filter(long).count();
                        prop_assert!(ticket.is_long && occupied >= turns.share());
                    }
                }
            }
            // Once nothing comes any more, all of them run.
            while let Some(ticket) = running.pop() {
                turns.leave(ticket);
                let started = start_all(&mut turns, now);
                waiting.retain(|ticket| !started.contains(ticket));
                running.extend(started);
            }
            prop_assert!(waiting.is_empty());
            prop_assert!(turns.running.is_empty() && turns.waiting.is_empty());
        }

        /// However many pieces the others have and send, a caller that occupies no worker gets one
        /// after one piece of each of them at most.
        #[test]
        fn nobody_is_overtaken_for_ever(
            workers in 1_usize..4,
            others in 1_usize..5,
            ended in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let (mut turns, now) = (turns(workers), Instant::now());
            for _ in 0..10 {
                for other in 1..=others {
                    turns.ask(Caller::Key(other), true, now);
                }
            }
            let mut running = start_all(&mut turns, now);
            let mine = turns.ask(ALICE, true, now);
            let mut ends = 0;
            for index in ended {
                running.extend(start_all(&mut turns, now));
                if running.contains(&mine) {
                    break;
                }
                let ticket = running.swap_remove(index.index(running.len()));
                turns.leave(ticket);
                turns.ask(ticket.caller, true, now);
                ends += 1;
            }
            prop_assert!(running.contains(&mine));
            prop_assert!(ends <= others + 1, "{ends} pieces went before");
        }
    }
}
