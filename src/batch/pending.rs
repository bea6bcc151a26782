//! Jobs waiting for an engine, grouped by batch key; within a key, requests take turns.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use crate::schedule::RequestId;

/// Jobs that wait for an engine, grouped by batch key.
///
/// Within a key, requests are served round-robin, one window at a time. The windows of one request
/// keep their order.
#[derive(Debug)]
pub struct Pending<K, J> {
    groups: HashMap<K, Group<J>>,
    len: usize,
}

/// The properties of a job that determine its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The request it belongs to.
    pub request: RequestId,
    /// Whether it is the first window of its request.
    pub is_first: bool,
    /// When it arrived.
    pub queued_at: Instant,
}

/// The waiting jobs of one key, summarized for the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary<K> {
    /// The key.
    pub key: K,
    /// Number of jobs with it.
    pub len: usize,
    /// When the oldest of them arrived.
    pub oldest: Instant,
    /// When the oldest first window of a request arrived, if there is one.
    pub oldest_first: Option<Instant>,
}

#[derive(Debug)]
struct Group<J> {
    requests: VecDeque<RequestJobs<J>>,
    len: usize,
}

#[derive(Debug)]
struct RequestJobs<J> {
    request: RequestId,
    jobs: VecDeque<(Arrival, J)>,
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
    /// Adds a job behind the others of its request.
    pub fn push(&mut self, key: K, arrival: Arrival, job: J) {
        let group = self.groups.entry(key).or_insert_with(|| Group {
            requests: VecDeque::new(),
            len: 0,
        });
        let mut requests = group.requests.iter_mut();
        match requests.find(|entry| entry.request == arrival.request) {
            Some(entry) => entry.jobs.push_back((arrival, job)),
            None => group.requests.push_back(RequestJobs {
                request: arrival.request,
                jobs: VecDeque::from([(arrival, job)]),
            }),
        }
        group.len += 1;
        self.len += 1;
    }

    /// Takes up to `limit` jobs of `key`, one of each request in turn.
    pub fn take(&mut self, key: &K, limit: usize) -> Vec<J> {
        let Some(group) = self.groups.get_mut(key) else {
            return Vec::new();
        };
        let mut taken = Vec::with_capacity(limit.min(group.len));
        while taken.len() < limit {
            let Some(mut entry) = group.requests.pop_front() else {
                break;
            };
            if let Some((_, job)) = entry.jobs.pop_front() {
                taken.push(job);
            }
            if !entry.jobs.is_empty() {
                group.requests.push_back(entry);
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
            for entry in &mut group.requests {
                // Usually no job matches, and none is moved.
                if entry.jobs.iter().any(|(_, job)| condition(job)) {
                    for (arrival, job) in std::mem::take(&mut entry.jobs) {
                        if condition(&job) {
                            removed.push(job);
                        } else {
                            entry.jobs.push_back((arrival, job));
                        }
                    }
                }
            }
            group.requests.retain(|entry| !entry.jobs.is_empty());
            group.len = group.requests.iter().map(|entry| entry.jobs.len()).sum();
        }
        self.groups.retain(|_, group| group.len > 0);
        self.len -= removed.len();
        removed
    }

    /// A summary of the waiting jobs of each key.
    pub fn groups(&self) -> impl Iterator<Item = GroupSummary<K>> + '_ {
        self.groups.iter().filter_map(|(key, group)| {
            let fronts = group.requests.iter().filter_map(|entry| entry.jobs.front());
            let fronts = fronts.map(|(arrival, _)| arrival);
            let firsts = fronts.clone().filter(|arrival| arrival.is_first);
            let oldest_first = firsts.map(|arrival| arrival.queued_at).min();
            let oldest = fronts.map(|arrival| arrival.queued_at).min();
            oldest.map(|oldest| GroupSummary {
                key: key.clone(),
                len: group.len,
                oldest,
                oldest_first,
            })
        })
    }

    /// Every waiting job.
    pub fn iter(&self) -> impl Iterator<Item = &J> {
        let requests = self.groups.values().flat_map(|group| &group.requests);
        requests.flat_map(|entry| entry.jobs.iter().map(|(_, job)| job))
    }

    /// Number of waiting jobs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no job is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arrival(request: u64) -> Arrival {
        Arrival {
            request: RequestId(request),
            is_first: true,
            queued_at: Instant::now(),
        }
    }

    fn order(pushed: &[(u8, u64, u32)], key: u8, limit: usize) -> Vec<u32> {
        let mut pending = Pending::default();
        for &(key, request, job) in pushed {
            pending.push(key, arrival(request), job);
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
            for (number, &(key, request, kept)) in jobs.iter().enumerate() {
                pending.push(key, arrival(request), (key, request, number, kept));
            }

            let mut taken_out = pending.remove_if(|&(.., kept)| !kept);
            prop_assert!(taken_out.iter().all(|&(.., kept)| !kept));
            let mut order = std::collections::HashMap::new();
            loop {
                let Some(group) = pending.groups().next() else {
                    break;
                };
                let len = pending.len();
                let taken = pending.take(&group.key, limit);
                prop_assert!(!taken.is_empty() && taken.len() <= limit);
                prop_assert_eq!(pending.len(), len - taken.len());
                prop_assert!(taken.iter().all(|job| job.0 == group.key));
                for &(key, request, number, _) in &taken {
                    let before = order.insert((key, request), number);
                    prop_assert!(before.is_none_or(|before| before < number));
                }
                taken_out.extend(taken);
            }

            prop_assert!(pending.is_empty());
            let mut numbers: Vec<usize> = taken_out.iter().map(|job| job.2).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..jobs.len()).collect::<Vec<_>>());
        }
    }
}
