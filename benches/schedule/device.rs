//! The fake engine in virtual time: workers that take the scheduler's work and need the machine's times.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use halkspeech::schedule::{
    Layout, Limits, MemoryLimit, Scheduler, ShareLimits, WindowId, Work, Worker,
};

use super::costs::{Machine, seconds};

/// A device with its scheduler.
#[derive(Debug)]
pub struct Device {
    pub scheduler: Scheduler,
    machine: Machine,
    workers: Vec<BusyWorker>,
    /// How much slower encoding and writing are while both run.
    slowdown: f64,
    texts: HashMap<WindowId, OpenText>,
    /// Works that are done, for the figures.
    pub done: Vec<DoneWork>,
}

/// A window that the device has been given.
#[derive(Clone, Copy, Debug)]
pub struct OpenText {
    pub audio_s: f64,
    pub tokens: u32,
    /// When the encoder call began and when the first step began.
    pub encoded_from: Option<Duration>,
    pub written_from: Option<Duration>,
}

/// A work with its times.
#[derive(Clone, Debug)]
pub struct DoneWork {
    pub work: Work,
    pub began: Duration,
    pub ended: Duration,
}

#[derive(Debug)]
struct BusyWorker {
    worker: Worker,
    work: Work,
    began: Duration,
    /// Seconds of work at full speed.
    left: f64,
}

impl Device {
    pub fn new(machine: Machine, slowdown: f64, max_waiting: usize) -> Self {
        Self::with_shares(machine, slowdown, max_waiting, ShareLimits::default())
    }

    pub fn with_shares(
        machine: Machine,
        slowdown: f64,
        max_waiting: usize,
        shares: ShareLimits,
    ) -> Self {
        let count = |count: usize| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let (layout, workers) = if machine.is_gpu() {
            (Layout::Overlapping, vec![Worker::Decoder, Worker::Encoder])
        } else {
            let runners = count(machine.runners);
            let workers = (0..machine.runners).map(Worker::Runner).collect();
            (Layout::Alternating { runners }, workers)
        };
        let limits = Limits {
            layout,
            max_slots: count(machine.slots * machine.runners),
            max_waiting: count(max_waiting),
            max_encode: count(machine.max_encode),
            max_open: count(machine.max_encode),
            batch_window: Duration::from_millis(20),
            memory: MemoryLimit::Shared(u64::MAX),
            shares,
        };
        let workers = workers.into_iter().map(|worker| BusyWorker {
            worker,
            work: Work::Wait,
            began: Duration::ZERO,
            left: 0.0,
        });
        Self {
            scheduler: Scheduler::new(limits),
            machine,
            workers: workers.collect(),
            slowdown,
            texts: HashMap::new(),
            done: Vec::new(),
        }
    }

    /// Knows a window before it is submitted.
    pub fn expect(&mut self, id: WindowId, audio_s: f64, tokens: u32) {
        let text = OpenText {
            audio_s,
            tokens,
            encoded_from: None,
            written_from: None,
        };
        self.texts.insert(id, text);
    }

    pub fn forget(&mut self, id: WindowId) -> Option<OpenText> {
        self.texts.remove(&id)
    }

    /// Gives work to all workers that have none.
    pub fn start(&mut self, now: Duration) {
        for busy in &mut self.workers {
            if !is_waiting(&busy.work) {
                continue;
            }
            busy.work = self.scheduler.next(busy.worker, now, 0);
            busy.began = now;
            let texts = &mut self.texts;
            busy.left = match &busy.work {
                Work::Encode(ids) => {
                    for id in ids {
                        if let Some(text) = texts.get_mut(id) {
                            text.encoded_from = Some(now);
                        }
                    }
                    let audio = ids.iter().filter_map(|id| texts.get(id));
                    self.machine.call_s(audio.map(|text| text.audio_s))
                }
                Work::Step(ids) => {
                    for id in ids {
                        if let Some(text) = texts.get_mut(id) {
                            text.written_from.get_or_insert(now);
                        }
                    }
                    self.machine.step_s(ids.len())
                }
                // Reading a prompt of a few tokens is contained in the measured time of the steps.
                Work::Open(_) | Work::Close(_) | Work::Align(_) => 0.0,
                Work::WaitUntil(_) | Work::Wait => f64::INFINITY,
            };
        }
    }

    /// The time of the next event.
    pub fn next_event(&self, now: Duration) -> Option<Duration> {
        let factor = self.factor();
        let ends = self.workers.iter().filter_map(|busy| match busy.work {
            Work::WaitUntil(until) => Some(until.max(now)),
            _ if busy.left.is_finite() => Some(now + seconds(busy.left * factor)),
            _ => None,
        });
        ends.min()
    }

    /// Lets time pass until `to`; returns the windows that have ended.
    pub fn advance(&mut self, now: Duration, to: Duration) -> Vec<(WindowId, OpenText)> {
        let span = (to - now).as_secs_f64() / self.factor();
        let mut ended = Vec::new();
        for busy in &mut self.workers {
            if is_waiting(&busy.work) {
                busy.work = Work::Wait;
                continue;
            }
            busy.left -= span;
            if busy.left > 1e-9 {
                continue;
            }
            self.scheduler.done(busy.worker, to);
            if let Work::Step(ids) = &busy.work {
                for id in ids {
                    let Some(text) = self.texts.get_mut(id) else {
                        continue;
                    };
                    text.tokens -= 1;
                    if text.tokens == 0 {
                        ended.push((*id, *text));
                        self.texts.remove(id);
                        self.scheduler.end(*id, to);
                    }
                }
            }
            self.done.push(DoneWork {
                work: std::mem::replace(&mut busy.work, Work::Wait),
                began: busy.began,
                ended: to,
            });
        }
        ended
    }

    fn factor(&self) -> f64 {
        let busy = |worker: &BusyWorker| matches!(worker.work, Work::Encode(_) | Work::Step(_));
        let all_busy = self.workers.iter().all(busy);
        if self.machine.is_gpu() && all_busy {
            self.slowdown
        } else {
            1.0
        }
    }
}

fn is_waiting(work: &Work) -> bool {
    matches!(work, Work::Wait | Work::WaitUntil(_))
}
