//! Which connection may stay. Pure: the time is passed in.
//!
//! A caller that is alone may have all ordinary connections, as a proxy has. When they are taken, another
//! caller displaces an idle one of a caller that has more than half: one that has never sent the whole
//! head of a request, or that waits for the next. Until others have not been refused for a minute, nobody
//! gets more than half. Beyond the ordinary ones a few are for probes, of which a caller has half at most;
//! its own next one displaces its oldest idle one.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::caller::{Caller, RecentCallers};

/// The open connections.
#[derive(Debug)]
pub struct Table {
    ordinary: usize,
    reserve: usize,
    /// By number, which is the order of their arrival.
    open: BTreeMap<u64, Open>,
    /// How many of a kind each caller has; none that has none is in it.
    counts: HashMap<(Caller, Kind), usize>,
    reserved: usize,
    /// Who found no ordinary connection free.
    refused: RecentCallers,
    next_number: u64,
}

/// A connection that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number in the table.
    pub number: u64,
    /// What it may be used for.
    pub kind: Kind,
    /// The connection that must be closed for it.
    pub displaced: Option<u64>,
}

/// What a connection may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Everything.
    Ordinary,
    /// One request, which is a probe.
    Reserved,
}

#[derive(Debug)]
struct Open {
    caller: Caller,
    kind: Kind,
    is_busy: bool,
}

impl Table {
    /// No connection is open; there may be `ordinary` ones and `reserve` more.
    pub fn new(ordinary: usize, reserve: usize) -> Self {
        Self {
            ordinary,
            reserve,
            open: BTreeMap::new(),
            counts: HashMap::new(),
            reserved: 0,
            refused: RecentCallers::default(),
            next_number: 0,
        }
    }

    /// Lets a connection in, or does not.
    pub fn admit(&mut self, caller: Caller, now: Instant) -> Option<Admitted> {
        let (own, all) = self.count(caller, Kind::Ordinary);
        let may_have = match self.refused.has_others(caller, now) {
            true => half(self.ordinary),
            false => self.ordinary,
        };
        if own < may_have && all < self.ordinary {
            return Some(self.insert(caller, Kind::Ordinary, None));
        }
        self.refused.record(caller, now);
        if own < half(self.ordinary)
            && let Some(idle) = self.idle_of_majority()
        {
            return Some(self.insert(caller, Kind::Ordinary, Some(idle)));
        }
        let (own, all) = self.count(caller, Kind::Reserved);
        if own < half(self.reserve) && all < self.reserve {
            return Some(self.insert(caller, Kind::Reserved, None));
        }
        let idle = self.oldest_idle(caller, Kind::Reserved)?;
        Some(self.insert(caller, Kind::Reserved, Some(idle)))
    }

    /// Notes that a request has come on a connection.
    pub fn begin(&mut self, number: u64) {
        self.set_busy(number, true);
    }

    /// Notes that it is answered.
    pub fn end(&mut self, number: u64) {
        self.set_busy(number, false);
    }

    /// Takes a connection out that is closed.
    pub fn remove(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        self.reserved -= usize::from(open.kind == Kind::Reserved);
        let key = (open.caller, open.kind);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    fn set_busy(&mut self, number: u64, is_busy: bool) {
        if let Some(open) = self.open.get_mut(&number) {
            open.is_busy = is_busy;
        }
    }

    fn insert(&mut self, caller: Caller, kind: Kind, displaced: Option<u64>) -> Admitted {
        if let Some(number) = displaced {
            self.remove(number);
        }
        let number = self.next_number;
        self.next_number += 1;
        let open = Open {
            caller,
            kind,
            is_busy: false,
        };
        self.open.insert(number, open);
        self.reserved += usize::from(kind == Kind::Reserved);
        *self.counts.entry((caller, kind)).or_default() += 1;
        Admitted {
            number,
            kind,
            displaced,
        }
    }

    /// The connections of a kind: the caller's, and all.
    fn count(&self, caller: Caller, kind: Kind) -> (usize, usize) {
        let own = self.counts.get(&(caller, kind)).copied().unwrap_or(0);
        let all = match kind {
            Kind::Ordinary => self.open.len() - self.reserved,
            Kind::Reserved => self.reserved,
        };
        (own, all)
    }

    fn oldest_idle(&self, caller: Caller, kind: Kind) -> Option<u64> {
        let mut open = self.open.iter();
        let is_it = |open: &Open| open.caller == caller && open.kind == kind && !open.is_busy;
        open.find(|(_, open)| is_it(open))
            .map(|(number, _)| *number)
    }

    /// The oldest idle connection of the caller that has more than half of the ordinary ones.
    fn idle_of_majority(&self) -> Option<u64> {
        // The vote of Boyer and Moore: one pass names the only caller that can have more than half.
        let (mut candidate, mut votes) = (None, 0_usize);
        for open in self.open.values() {
            match open.kind {
                Kind::Reserved => {}
                Kind::Ordinary if votes == 0 => (candidate, votes) = (Some(open.caller), 1),
                Kind::Ordinary if candidate == Some(open.caller) => votes += 1,
                Kind::Ordinary => votes -= 1,
            }
        }
        let caller = candidate?;
        let (own, _) = self.count(caller, Kind::Ordinary);
        (own > half(self.ordinary)).then(|| self.oldest_idle(caller, Kind::Ordinary))?
    }
}

fn half(limit: usize) -> usize {
    limit.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ALICE: Caller = Caller::Key(0);
    const BOB: Caller = Caller::Key(1);

    fn admitted(number: u64, kind: Kind, displaced: Option<u64>) -> Option<Admitted> {
        Some(Admitted {
            number,
            kind,
            displaced,
        })
    }

    /// A table whose ordinary connections are all of one caller.
    fn taken_by_alice(ordinary: usize, now: Instant) -> Table {
        let mut table = Table::new(ordinary, 4);
        for number in 0..ordinary as u64 {
            let expected = admitted(number, Kind::Ordinary, None);
            assert_eq!(table.admit(ALICE, now), expected);
        }
        table
    }

    #[test]
    fn alone_a_caller_has_all_connections_and_half_of_the_reserve() {
        let now = Instant::now();
        let mut table = taken_by_alice(5, now);
        assert_eq!(table.admit(ALICE, now), admitted(5, Kind::Reserved, None));
        assert_eq!(table.admit(ALICE, now), admitted(6, Kind::Reserved, None));
        // The next probe closes the connection whose head is longest on its way.
        table.begin(5);
        assert_eq!(
            table.admit(ALICE, now),
            admitted(7, Kind::Reserved, Some(6))
        );
        table.begin(7);
        assert_eq!(table.admit(ALICE, now), None);
        table.remove(0);
        assert_eq!(table.admit(ALICE, now), admitted(8, Kind::Ordinary, None));
    }

    #[test]
    fn another_caller_displaces_what_is_idle_until_it_has_half() {
        let now = Instant::now();
        let mut table = taken_by_alice(5, now);
        table.begin(0);
        table.begin(1);
        table.end(1);
        assert_eq!(table.admit(BOB, now), admitted(5, Kind::Ordinary, Some(1)));
        assert_eq!(table.admit(BOB, now), admitted(6, Kind::Ordinary, Some(2)));
        // Alice is down to her half.
        assert_eq!(table.admit(BOB, now), admitted(7, Kind::Reserved, None));
        assert_eq!(table.admit(ALICE, now), admitted(8, Kind::Reserved, None));
    }

    #[test]
    fn requests_that_are_being_answered_are_never_displaced() {
        let now = Instant::now();
        let mut table = taken_by_alice(4, now);
        (0..4).for_each(|number| table.begin(number));
        assert_eq!(table.admit(BOB, now), admitted(4, Kind::Reserved, None));
        // But nothing that becomes free goes back to the caller that had all of them.
        table.remove(0);
        table.remove(1);
        assert_eq!(table.admit(ALICE, now), admitted(5, Kind::Reserved, None));
        assert_eq!(table.admit(BOB, now), admitted(6, Kind::Ordinary, None));
        let later = now + Duration::from_secs(60);
        assert_eq!(table.admit(ALICE, later), admitted(7, Kind::Ordinary, None));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit(usize),
        Begin(prop::sample::Index),
        End(prop::sample::Index),
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_usize..3).prop_map(Step::Admit),
            1 => any::<prop::sample::Index>().prop_map(Step::Begin),
            1 => any::<prop::sample::Index>().prop_map(Step::End),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_connections_add_up(
            (ordinary, reserve) in (1_usize..9, 1_usize..5),
            steps in prop::collection::vec((step(), 0_u64..40), 0..100),
        ) {
            let (mut table, mut now) = (Table::new(ordinary, reserve), Instant::now());
            let mut open: BTreeMap<u64, (Caller, Kind, bool)> = BTreeMap::new();
            for (step, passed_s) in steps {
                now += Duration::from_secs(passed_s);
                let chosen = |index: prop::sample::Index| {
                    let numbers: Vec<u64> = open.keys().copied().collect();
                    (!numbers.is_empty()).then(|| *index.get(&numbers))
                };
                match step {
                    Step::Admit(caller) => {
                        let caller = Caller::Key(caller);
                        let Some(admitted) = table.admit(caller, now) else {
                            continue;
                        };
                        if let Some(displaced) = admitted.displaced {
                            let was_busy = open.remove(&displaced).map(|(.., is_busy)| is_busy);
                            prop_assert_eq!(was_busy, Some(false));
                        }
                        let entry = (caller, admitted.kind, false);
                        prop_assert!(open.insert(admitted.number, entry).is_none());
                    }
                    Step::Begin(index) => {
                        if let Some(number) = chosen(index) {
                            table.begin(number);
                            open.entry(number).and_modify(|entry| entry.2 = true);
                        }
                    }
                    Step::End(index) => {
                        if let Some(number) = chosen(index) {
                            table.end(number);
                            open.entry(number).and_modify(|entry| entry.2 = false);
                        }
                    }
                    Step::Remove(index) => {
                        if let Some(number) = chosen(index) {
                            table.remove(number);
                            open.remove(&number);
                        }
                    }
                }
                let of = |kind| open.values().filter(move |entry| entry.1 == kind);
                prop_assert!(of(Kind::Ordinary).count() <= ordinary);
                prop_assert!(of(Kind::Reserved).count() <= reserve);
                for caller in (0..3).map(Caller::Key) {
                    let reserved = of(Kind::Reserved).filter(|entry| entry.0 == caller);
                    prop_assert!(reserved.count() <= half(reserve));
                }
                prop_assert!(table.open.keys().eq(open.keys()));
                prop_assert!(table.counts.values().sum::<usize>() == open.len());
                prop_assert!(table.counts.values().all(|count| *count > 0));
            }
        }
    }
}
