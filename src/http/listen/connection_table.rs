//! Decides which connections are admitted and which are evicted. Pure: the time is passed in.
//!
//! A single caller, such as a proxy, may have all ordinary connections. When they are taken, a connection
//! of another caller evicts an idle one of a caller that has more than half; idle is a connection without
//! a complete request head. For a minute after a refusal, other callers get no more than half. A few
//! further connections are for probes: a caller has at most half of them, and its next one evicts its
//! oldest idle one.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::caller::{Caller, RecentCallers};

/// The open connections.
#[derive(Debug)]
pub struct ConnectionTable {
    max_ordinary: usize,
    max_probes: usize,
    /// By id, in order of arrival.
    open: BTreeMap<u64, OpenConnection>,
    /// Connections per caller and kind; entries of 0 are removed.
    counts: HashMap<(Caller, ConnectionKind), usize>,
    /// Open probe connections.
    probes: usize,
    /// Callers that found no ordinary connection free.
    refused: RecentCallers,
    next_id: u64,
}

/// A connection that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmittedConnection {
    /// Its id in the table.
    pub id: u64,
    /// Its kind.
    pub kind: ConnectionKind,
    /// The connection that must be closed for it.
    pub evicted: Option<u64>,
}

/// The requests that a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionKind {
    /// All requests.
    Ordinary,
    /// One request, which must be a probe.
    Probe,
}

#[derive(Debug)]
struct OpenConnection {
    caller: Caller,
    kind: ConnectionKind,
    is_busy: bool,
}

impl ConnectionTable {
    /// No open connections; at most `max_ordinary`, and `max_probes` more for probes.
    pub fn new(max_ordinary: usize, max_probes: usize) -> Self {
        Self {
            max_ordinary,
            max_probes,
            open: BTreeMap::new(),
            counts: HashMap::new(),
            probes: 0,
            refused: RecentCallers::default(),
            next_id: 0,
        }
    }

    /// Admits a connection, or returns `None` to refuse it.
    pub fn admit(&mut self, caller: Caller, now: Instant) -> Option<AdmittedConnection> {
        let (own, all) = self.count(caller, ConnectionKind::Ordinary);
        let max_own = match self.refused.has_others(caller, now) {
            true => half(self.max_ordinary),
            false => self.max_ordinary,
        };
        if own < max_own && all < self.max_ordinary {
            return Some(self.insert(caller, ConnectionKind::Ordinary, None));
        }
        self.refused.record(caller, now);
        if own < half(self.max_ordinary)
            && let Some(idle) = self.idle_of_majority()
        {
            return Some(self.insert(caller, ConnectionKind::Ordinary, Some(idle)));
        }
        let (own, all) = self.count(caller, ConnectionKind::Probe);
        if own < half(self.max_probes) && all < self.max_probes {
            return Some(self.insert(caller, ConnectionKind::Probe, None));
        }
        let idle = self.oldest_idle(caller, ConnectionKind::Probe)?;
        Some(self.insert(caller, ConnectionKind::Probe, Some(idle)))
    }

    /// Marks a connection busy: a request has arrived on it.
    pub fn mark_busy(&mut self, id: u64) {
        self.set_busy(id, true);
    }

    /// Marks a connection idle: its request is answered.
    pub fn mark_idle(&mut self, id: u64) {
        self.set_busy(id, false);
    }

    /// Removes a closed connection.
    pub fn remove(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        self.probes -= usize::from(open.kind == ConnectionKind::Probe);
        let key = (open.caller, open.kind);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    fn set_busy(&mut self, id: u64, is_busy: bool) {
        if let Some(open) = self.open.get_mut(&id) {
            open.is_busy = is_busy;
        }
    }

    fn insert(
        &mut self,
        caller: Caller,
        kind: ConnectionKind,
        evicted: Option<u64>,
    ) -> AdmittedConnection {
        if let Some(id) = evicted {
            self.remove(id);
        }
        let id = self.next_id;
        self.next_id += 1;
        let open = OpenConnection {
            caller,
            kind,
            is_busy: false,
        };
        self.open.insert(id, open);
        self.probes += usize::from(kind == ConnectionKind::Probe);
        *self.counts.entry((caller, kind)).or_default() += 1;
        AdmittedConnection { id, kind, evicted }
    }

    /// The number of connections of a kind: the caller's, and all.
    fn count(&self, caller: Caller, kind: ConnectionKind) -> (usize, usize) {
        let own = self.counts.get(&(caller, kind)).copied().unwrap_or(0);
        let all = match kind {
            ConnectionKind::Ordinary => self.open.len() - self.probes,
            ConnectionKind::Probe => self.probes,
        };
        (own, all)
    }

    fn oldest_idle(&self, caller: Caller, kind: ConnectionKind) -> Option<u64> {
        let mut open = self.open.iter();
        let is_match =
            |open: &OpenConnection| open.caller == caller && open.kind == kind && !open.is_busy;
        open.find(|(_, open)| is_match(open)).map(|(id, _)| *id)
    }

    /// The oldest idle connection of the caller that has more than half of the ordinary ones.
    fn idle_of_majority(&self) -> Option<u64> {
        // Boyer-Moore majority vote: one pass finds the only caller that can have more than half.
        let (mut candidate, mut votes) = (None, 0_usize);
        for open in self.open.values() {
            match open.kind {
                ConnectionKind::Probe => {}
                ConnectionKind::Ordinary if votes == 0 => {
                    (candidate, votes) = (Some(open.caller), 1);
                }
                ConnectionKind::Ordinary if candidate == Some(open.caller) => votes += 1,
                ConnectionKind::Ordinary => votes -= 1,
            }
        }
        let caller = candidate?;
        let (own, _) = self.count(caller, ConnectionKind::Ordinary);
        (own > half(self.max_ordinary))
            .then(|| self.oldest_idle(caller, ConnectionKind::Ordinary))?
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

    fn admitted(id: u64, kind: ConnectionKind, evicted: Option<u64>) -> Option<AdmittedConnection> {
        Some(AdmittedConnection { id, kind, evicted })
    }

    /// A table whose ordinary connections all belong to one caller.
    fn taken_by_alice(max_ordinary: usize, now: Instant) -> ConnectionTable {
        let mut table = ConnectionTable::new(max_ordinary, 4);
        for id in 0..max_ordinary as u64 {
            let expected = admitted(id, ConnectionKind::Ordinary, None);
            assert_eq!(table.admit(ALICE, now), expected);
        }
        table
    }

    #[test]
    fn a_single_caller_has_all_connections_and_half_of_those_for_probes() {
        let now = Instant::now();
        let mut table = taken_by_alice(5, now);
        assert_eq!(
            table.admit(ALICE, now),
            admitted(5, ConnectionKind::Probe, None)
        );
        assert_eq!(
            table.admit(ALICE, now),
            admitted(6, ConnectionKind::Probe, None)
        );
        // The next probe evicts the oldest connection without a complete head.
        table.mark_busy(5);
        assert_eq!(
            table.admit(ALICE, now),
            admitted(7, ConnectionKind::Probe, Some(6))
        );
        table.mark_busy(7);
        assert_eq!(table.admit(ALICE, now), None);
        table.remove(0);
        assert_eq!(
            table.admit(ALICE, now),
            admitted(8, ConnectionKind::Ordinary, None)
        );
    }

    #[test]
    fn another_caller_evicts_idle_connections_until_it_has_half() {
        let now = Instant::now();
        let mut table = taken_by_alice(5, now);
        table.mark_busy(0);
        table.mark_busy(1);
        table.mark_idle(1);
        assert_eq!(
            table.admit(BOB, now),
            admitted(5, ConnectionKind::Ordinary, Some(1))
        );
        assert_eq!(
            table.admit(BOB, now),
            admitted(6, ConnectionKind::Ordinary, Some(2))
        );
        // Alice has only half left.
        assert_eq!(
            table.admit(BOB, now),
            admitted(7, ConnectionKind::Probe, None)
        );
        assert_eq!(
            table.admit(ALICE, now),
            admitted(8, ConnectionKind::Probe, None)
        );
    }

    #[test]
    fn busy_connections_are_never_evicted() {
        let now = Instant::now();
        let mut table = taken_by_alice(4, now);
        (0..4).for_each(|id| table.mark_busy(id));
        assert_eq!(
            table.admit(BOB, now),
            admitted(4, ConnectionKind::Probe, None)
        );
        // But a free connection does not go back to the caller that had all of them.
        table.remove(0);
        table.remove(1);
        assert_eq!(
            table.admit(ALICE, now),
            admitted(5, ConnectionKind::Probe, None)
        );
        assert_eq!(
            table.admit(BOB, now),
            admitted(6, ConnectionKind::Ordinary, None)
        );
        let later = now + Duration::from_secs(60);
        assert_eq!(
            table.admit(ALICE, later),
            admitted(7, ConnectionKind::Ordinary, None)
        );
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit(usize),
        MarkBusy(prop::sample::Index),
        MarkIdle(prop::sample::Index),
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_usize..3).prop_map(Step::Admit),
            1 => any::<prop::sample::Index>().prop_map(Step::MarkBusy),
            1 => any::<prop::sample::Index>().prop_map(Step::MarkIdle),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn counts_match_the_open_connections(
            (max_ordinary, max_probes) in (1_usize..9, 1_usize..5),
            steps in prop::collection::vec((step(), 0_u64..40), 0..100),
        ) {
            let (mut table, mut now) = (ConnectionTable::new(max_ordinary, max_probes), Instant::now());
            let mut open: BTreeMap<u64, (Caller, ConnectionKind, bool)> = BTreeMap::new();
            for (step, passed_s) in steps {
                now += Duration::from_secs(passed_s);
                let chosen = |index: prop::sample::Index| {
                    let ids: Vec<u64> = open.keys().copied().collect();
                    (!ids.is_empty()).then(|| *index.get(&ids))
                };
                match step {
                    Step::Admit(caller) => {
                        let caller = Caller::Key(caller);
                        let Some(admitted) = table.admit(caller, now) else {
                            continue;
                        };
                        if let Some(evicted) = admitted.evicted {
                            let was_busy = open.remove(&evicted).map(|(.., is_busy)| is_busy);
                            prop_assert_eq!(was_busy, Some(false));
                        }
                        let entry = (caller, admitted.kind, false);
                        prop_assert!(open.insert(admitted.id, entry).is_none());
                    }
                    Step::MarkBusy(index) => {
                        if let Some(id) = chosen(index) {
                            table.mark_busy(id);
                            open.entry(id).and_modify(|entry| entry.2 = true);
                        }
                    }
                    Step::MarkIdle(index) => {
                        if let Some(id) = chosen(index) {
                            table.mark_idle(id);
                            open.entry(id).and_modify(|entry| entry.2 = false);
                        }
                    }
                    Step::Remove(index) => {
                        if let Some(id) = chosen(index) {
                            table.remove(id);
                            open.remove(&id);
                        }
                    }
                }
                let of = |kind| open.values().filter(move |entry| entry.1 == kind);
                prop_assert!(of(ConnectionKind::Ordinary).count() <= max_ordinary);
                prop_assert!(of(ConnectionKind::Probe).count() <= max_probes);
                for caller in (0..3).map(Caller::Key) {
                    let probes = of(ConnectionKind::Probe).filter(|entry| entry.0 == caller);
                    prop_assert!(probes.count() <= half(max_probes));
                }
                prop_assert!(table.open.keys().eq(open.keys()));
                prop_assert!(table.counts.values().sum::<usize>() == open.len());
                prop_assert!(table.counts.values().all(|count| *count > 0));
            }
        }
    }
}
