//! A device in virtual time for the tests: its workers take the scheduler's work one call at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::caller::Caller;

/// A device whose windows have texts of one token for each second of audio.
#[derive(Debug)]
pub struct TestDevice {
    pub scheduler: Scheduler,
    pub now: Duration,
    pub limits: Limits,
    workers: Vec<(Worker, Option<(Work, Duration)>)>,
    tokens: BTreeMap<WindowId, u64>,
    opened: BTreeSet<WindowId>,
    /// The works that were begun: worker, work and time.
    pub log: Vec<(Worker, Work, Duration)>,
    pub departures: Vec<Departure>,
}

/// Limits with these numbers of slots and waiting windows.
pub fn limits(layout: Layout, max_slots: usize, max_waiting: usize) -> Limits {
    let count = |count| NonZeroUsize::new(count).unwrap();
    Limits {
        layout,
        max_slots: count(max_slots),
        max_waiting: count(max_waiting),
        max_encode: count(if layout == Layout::Overlapping { 4 } else { 1 }),
        max_open: count(2),
        batch_window: Duration::from_millis(20),
        memory: MemoryLimit::Shared(u64::MAX),
        shares: ShareLimits::default(),
    }
}

/// A CPU with this number of runners.
pub fn cpu(runners: usize) -> Layout {
    Layout::Alternating {
        runners: NonZeroUsize::new(runners).unwrap(),
    }
}

/// A window of 4 s of its own request.
pub fn window(id: u64, lane: Lane, caller: usize) -> Window {
    Window {
        id: WindowId(id),
        request: RequestId(id),
        caller: Caller::Key(caller),
        lane,
        audio: Duration::from_secs(4),
        deadline: Duration::from_secs(1_000_000),
        bytes: 1,
    }
}

impl TestDevice {
    pub fn new(limits: Limits) -> Self {
        let workers = match limits.layout {
            Layout::Alternating { runners } => (0..runners.get()).map(Worker::Runner).collect(),
            Layout::Overlapping => vec![Worker::Encoder, Worker::Decoder],
        };
        Self {
            scheduler: Scheduler::new(limits),
            now: Duration::ZERO,
            limits,
            workers: workers.into_iter().map(|worker| (worker, None)).collect(),
            tokens: BTreeMap::new(),
            opened: BTreeSet::new(),
            log: Vec::new(),
            departures: Vec::new(),
        }
    }

    pub fn worker(&self, index: usize) -> Worker {
        self.workers[index % self.workers.len()].0
    }

    pub fn submit(&mut self, window: Window) -> Result<(), Refusal> {
        let result = self.scheduler.submit(window, self.now);
        if result.is_ok() {
            self.tokens.insert(window.id, window.audio.as_secs());
        }
        result
    }

    /// Gives work to idle workers, then lets the first call end. Returns whether there was work.
    pub fn turn(&mut self, preparing: usize) -> bool {
        for index in 0..self.workers.len() {
            self.give(index, preparing);
        }
        self.collect();
        let ends = self.workers.iter().enumerate();
        let ends = ends.filter_map(|(index, (_, work))| Some((work.as_ref()?.1, index)));
        let Some((end, index)) = ends.min() else {
            return false;
        };
        self.now = self.now.max(end);
        self.finish(index);
        self.collect();
        true
    }

    /// Runs until nothing is left to do.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.turn(0) {
                return;
            }
        }
        panic!(
            "no end: {:?}",
            &self.log[self.log.len().saturating_sub(5)..]
        );
    }

    /// Gives work to idle workers.
    pub fn begin(&mut self) {
        for index in 0..self.workers.len() {
            self.give(index, 0);
        }
    }

    /// The running work of a worker fails.
    pub fn fail(&mut self, index: usize) {
        self.begin();
        let count = self.workers.len();
        let (worker, work) = &mut self.workers[index % count];
        if let Some((Work::Encode(_) | Work::Open(_) | Work::Step(_) | Work::Close(_), _)) = work {
            *work = None;
            self.scheduler.failed(*worker, self.now);
        }
        self.collect();
    }

    /// The running call of a worker fails: its windows are tried again, each without others.
    pub fn fail_with_retries(&mut self, index: usize) {
        self.begin();
        let count = self.workers.len();
        let (worker, work) = &mut self.workers[index % count];
        let (worker, running) = (*worker, work.clone());
        if let Some((work @ (Work::Encode(_) | Work::Step(_)), _)) = running
            && worker != Worker::Encoder
        {
            self.fail(index);
            for id in work.windows() {
                self.opened.remove(id);
                self.scheduler.retry_alone(worker, *id);
            }
        }
        self.collect();
    }

    fn give(&mut self, index: usize, preparing: usize) {
        let (worker, work) = &self.workers[index];
        if work.is_some() {
            return;
        }
        let worker = *worker;
        let work = self.scheduler.next(worker, self.now, preparing);
        self.check(worker, &work);
        let cost = match &work {
            Work::Wait => return,
            Work::WaitUntil(until) => {
                assert!(*until > self.now, "a time that is past");
                *until - self.now
            }
            Work::Encode(ids) => Duration::from_millis(40 * ids.len() as u64),
            Work::Step(ids) => Duration::from_millis(5 + ids.len() as u64),
            Work::Open(_) | Work::Close(_) | Work::Align(_) => Duration::from_millis(1),
        };
        if !matches!(work, Work::WaitUntil(_)) {
            self.log.push((worker, work.clone(), self.now));
        }
        self.workers[index].1 = Some((work, self.now + cost));
    }

    fn finish(&mut self, index: usize) {
        let (worker, work) = &mut self.workers[index];
        let (worker, Some((work, _))) = (*worker, work.take()) else {
            return;
        };
        self.scheduler.done(worker, self.now);
        match work {
            Work::Encode(ids) if matches!(worker, Worker::Runner(_)) => self.opened.extend(ids),
            Work::Open(ids) => self.opened.extend(ids),
            Work::Close(ids) => ids.iter().for_each(|id| {
                self.opened.remove(id);
            }),
            Work::Align(id) => self.scheduler.end(id, self.now),
            Work::Step(ids) => {
                for id in ids {
                    let tokens = self.tokens.get_mut(&id).unwrap();
                    *tokens = tokens.saturating_sub(1);
                    match *tokens {
                        // Every third text is aligned.
                        0 if id.0 % 3 == 0 => self.scheduler.align(id),
                        0 => self.scheduler.end(id, self.now),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn collect(&mut self) {
        self.departures.extend(self.scheduler.departures());
    }

    /// The invariants of every work that is handed out.
    fn check(&self, worker: Worker, work: &Work) {
        let ids: BTreeSet<_> = work.windows().iter().collect();
        assert_eq!(
            ids.len(),
            work.windows().len(),
            "a window twice in {work:?}"
        );
        for (other, running) in &self.workers {
            if let Some((running, _)) = running {
                assert!(
                    running.windows().iter().all(|id| !ids.contains(id)),
                    "{running:?} of {other:?} and {work:?} of {worker:?} share a window"
                );
            }
        }
        match work {
            Work::Encode(ids) => {
                assert!(worker != Worker::Decoder && !ids.is_empty());
                assert!(ids.len() <= self.limits.max_encode.get());
            }
            Work::Open(ids) => {
                assert!(worker == Worker::Decoder && !ids.is_empty());
                assert!(ids.len() <= self.limits.max_open.get());
            }
            Work::Step(ids) => {
                assert!(worker != Worker::Encoder && !ids.is_empty());
                assert!(ids.iter().all(|id| self.opened.contains(id)));
            }
            _ => {}
        }
        assert!(self.scheduler.slots_in_use() <= self.limits.max_slots.get());
    }
}
