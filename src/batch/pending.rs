//! Waiting jobs, ordered so that keys go by age and requests take turns.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use crate::job::RequestId;

/// Jobs that wait for an engine, grouped by batch key.
///
/// Within a key, requests take turns: a request with many windows gives one, then stands
/// behind the others. The windows of one request keep their order.
#[derive(Debug)]
pub struct Pending<K, J> {
    groups: HashMap<K, Group<J>>,
    len: usize,
}

/// What a job's turn depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The request it belongs to.
    pub request: RequestId,
    /// Whether it is the first of its request.
    pub is_first: bool,
    /// When it arrived.
    pub queued_at: Instant,
}

/// One key's waiting jobs, as the policy sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting<K> {
    /// The key.
    pub key: K,
    /// Number of jobs with it.
    pub len: usize,
    /// When the oldest of them arrived.
    pub oldest: Instant,
    /// When the oldest arrived of those that are the first of their request.
    pub oldest_first: Option<Instant>,
}

#[derive(Debug)]
struct Group<J> {
    turns: VecDeque<Turn<J>>,
    len: usize,
}

#[derive(Debug)]
struct Turn<J> {
    request: RequestId,
    jobs: VecDeque<(Standing, J)>,
}

impl<K, J> Default for Pending<K, J> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            len: 0,
        }
    }
}

impl<K: Clone + Eq + Hash, J> Pending<K, J> {
    /// Adds a job at the end of its request's line.
    pub fn push(&mut self, key: K, standing: Standing, job: J) {
        let group = self.groups.entry(key).or_insert_with(|| Group {
            turns: VecDeque::new(),
            len: 0,
        });
        let mut turns = group.turns.iter_mut();
        match turns.find(|turn| turn.request == standing.request) {
            Some(turn) => turn.jobs.push_back((standing, job)),
            None => group.turns.push_back(Turn {
                request: standing.request,
                jobs: VecDeque::from([(standing, job)]),
            }),
        }
        group.len += 1;
        self.len += 1;
    }

    /// Takes up to `limit` jobs of `key`, one request after the other.
    pub fn take(&mut self, key: &K, limit: usize) -> Vec<J> {
        let Some(group) = self.groups.get_mut(key) else {
            return Vec::new();
        };
        let mut taken = Vec::with_capacity(limit.min(group.len));
        while taken.len() < limit {
            let Some(mut turn) = group.turns.pop_front() else {
                break;
            };
            if let Some((_, job)) = turn.jobs.pop_front() {
                taken.push(job);
            }
            if !turn.jobs.is_empty() {
                group.turns.push_back(turn);
            }
        }
        group.len -= taken.len();
        self.len -= taken.len();
        self.groups.retain(|_, group| group.len > 0);
        taken
    }

    /// Removes and returns every job that `condition` holds for.
    pub fn remove_if(&mut self, condition: impl Fn(&J) -> bool) -> Vec<J> {
        let mut removed = Vec::new();
        for group in self.groups.values_mut() {
            for turn in &mut group.turns {
                // A pass without a hit, the usual case, moves nothing.
                if turn.jobs.iter().any(|(_, job)| condition(job)) {
                    for (standing, job) in std::mem::take(&mut turn.jobs) {
                        if condition(&job) {
                            removed.push(job);
                        } else {
                            turn.jobs.push_back((standing, job));
                        }
                    }
                }
            }
            group.turns.retain(|turn| !turn.jobs.is_empty());
            group.len = group.turns.iter().map(|turn| turn.jobs.len()).sum();
        }
        self.groups.retain(|_, group| group.len > 0);
        self.len -= removed.len();
        removed
    }

    /// What waits, key by key.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting<K>> + '_ {
        self.groups.iter().filter_map(|(key, group)| {
            let fronts = group.turns.iter().filter_map(|turn| turn.jobs.front());
            let fronts = fronts.map(|(standing, _)| standing);
            let firsts = fronts.clone().filter(|standing| standing.is_first);
            let oldest_first = firsts.map(|standing| standing.queued_at).min();
            let oldest = fronts.map(|standing| standing.queued_at).min();
            oldest.map(|oldest| Waiting {
                key: key.clone(),
                len: group.len,
                oldest,
                oldest_first,
            })
        })
    }

    /// Every waiting job.
    pub fn iter(&self) -> impl Iterator<Item = &J> {
        let turns = self.groups.values().flat_map(|group| &group.turns);
        turns.flat_map(|turn| turn.jobs.iter().map(|(_, job)| job))
    }

    /// Number of waiting jobs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standing(request: u64) -> Standing {
        Standing {
            request: RequestId(request),
            is_first: true,
            queued_at: Instant::now(),
        }
    }

    fn order(pushed: &[(u8, u64, u32)], key: u8, limit: usize) -> Vec<u32> {
        let mut pending = Pending::default();
        for &(key, request, job) in pushed {
            pending.push(key, standing(request), job);
        }
        pending.take(&key, limit)
    }

    #[test]
    fn requests_take_turns() {
        let pushed = [(0, 1, 10), (0, 1, 11), (0, 1, 12), (0, 2, 20), (0, 3, 30)];

        assert_eq!(order(&pushed, 0, 4), [10, 20, 30, 11]);
    }

    #[test]
    fn keys_do_not_mix() {
        let pushed = [(0, 1, 10), (1, 2, 20), (0, 3, 30)];

        assert_eq!(order(&pushed, 0, 8), [10, 30]);
        assert_eq!(order(&pushed, 2, 8), [0_u32; 0]);
    }

    proptest! {
        #[test]
        fn loses_none_repeats_none_and_keeps_the_order_of_a_request(
            jobs in prop::collection::vec((0_u8..3, 0_u64..4, any::<bool>()), 0..60),
            limit in 1_usize..5,
        ) {
            let mut pending = Pending::default();
            for (number, &(key, request, wanted)) in jobs.iter().enumerate() {
                pending.push(key, standing(request), (key, request, number, wanted));
            }

            let mut seen = pending.remove_if(|&(.., wanted)| !wanted);
            prop_assert!(seen.iter().all(|&(.., wanted)| !wanted));
            let mut order = std::collections::HashMap::new();
            loop {
                let Some(waiting) = pending.waiting().next() else {
                    break;
                };
                let len = pending.len();
                let taken = pending.take(&waiting.key, limit);
                prop_assert!(!taken.is_empty() && taken.len() <= limit);
                prop_assert_eq!(pending.len(), len - taken.len());
                prop_assert!(taken.iter().all(|job| job.0 == waiting.key));
                for &(key, request, number, _) in &taken {
                    let before = order.insert((key, request), number);
                    prop_assert!(before.is_none_or(|before| before < number));
                }
                seen.extend(taken);
            }

            prop_assert!(pending.is_empty());
            let mut numbers: Vec<usize> = seen.iter().map(|job| job.2).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..jobs.len()).collect::<Vec<_>>());
        }
    }
}
