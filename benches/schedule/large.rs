//! A GPU with 10,000 callers, 300 live sessions and long files, all at one time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use halkspeech::caller::Caller;
use halkspeech::schedule::{
    Lane, Offer, OfferedAudio, Outcome, PromiseId, Refusal, RequestId, ShareLimits, Window,
    WindowId, Work,
};

use super::costs::{Machine, seconds};
use super::device::Device;
use super::random::Random;
use super::usage::Usage;

/// The traffic.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Callers that send a clip of 2 to 30 s, and the next one when it was answered.
    pub callers: usize,
    /// Time of a clip until its deadline, in seconds.
    pub patience_s: f64,
    /// Live sessions, each sending a window of 1 to 12 s every second.
    pub live_sessions: usize,
    /// Long files, each by another caller, of which up to this many windows of 30 s wait at a time.
    pub files: usize,
    pub windows_of_file: usize,
    /// The share of bulk.
    pub bulk_min: f64,
    /// Length of the simulation.
    pub seconds: f64,
}

/// What was seen, after the first third.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Seconds from the arrival of a live window to its first step, less its encoder call.
    pub live_waits_s: Vec<f64>,
    /// Seconds from the arrival of a live window to its end.
    pub live_latencies_s: Vec<f64>,
    /// Seconds from admission to the end.
    pub clip_latencies_s: Vec<f64>,
    /// Seconds from the first attempt to the end.
    pub clip_totals_s: Vec<f64>,
    /// Times of admission after a refusal, as a multiple of the time in its `Retry-After`.
    pub returns: Vec<f64>,
    /// The times of `Retry-After`.
    pub retry_after_s: Vec<f64>,
    pub refusals: usize,
    pub expired: usize,
    pub bulk_windows: usize,
    /// Steps and encoder calls of other lanes than live, in seconds.
    pub steps_s: Vec<f64>,
    pub calls_s: Vec<f64>,
    pub usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Live(usize),
    Ask(usize),
    File(usize),
}

/// Where a clip of a caller is.
#[derive(Clone, Copy, Debug, Default)]
struct Clip {
    audio_s: f64,
    first_attempt_s: f64,
    /// When it was refused last, and the time at which it may return.
    refused: Option<(f64, f64)>,
    admitted_s: f64,
    promise: Option<PromiseId>,
}

/// The state of the simulation.
struct Simulation {
    traffic: Traffic,
    machine: Machine,
    random: Random,
    device: Device,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    number: u64,
    clips: Vec<Clip>,
    windows: HashMap<WindowId, (Event, f64)>,
    encoded_s: HashMap<WindowId, f64>,
    seen: Observed,
}

/// Runs the traffic against the scheduler.
pub fn simulate(machine: &Machine, traffic: Traffic, slowdown: f64) -> Observed {
    let shares = ShareLimits {
        bulk_min: traffic.bulk_min,
        ..ShareLimits::default()
    };
    let mut simulation = Simulation {
        traffic,
        machine: *machine,
        random: Random::new(11),
        device: Device::with_shares(*machine, slowdown, 2048, shares),
        events: BinaryHeap::new(),
        number: 0,
        clips: vec![Clip::default(); traffic.callers],
        windows: HashMap::new(),
        encoded_s: HashMap::new(),
        seen: Observed::default(),
    };
    simulation.run();
    simulation.seen
}

impl Simulation {
    fn run(&mut self) {
        for caller in 0..self.traffic.callers {
            let at = self.random.uniform((0.0, 10.0));
            self.at(at, Event::Ask(caller));
        }
        for session in 0..self.traffic.live_sessions {
            let at = self.random.uniform((0.0, 1.0));
            self.at(at, Event::Live(session));
        }
        for file in 0..self.traffic.files {
            let at = self.random.uniform((0.0, 1.0));
            for _ in 0..self.traffic.windows_of_file {
                self.at(at, Event::File(file));
            }
        }
        let mut now = Duration::ZERO;
        let end = seconds(self.traffic.seconds);
        while now < end {
            while let Some(Reverse((at, ..))) = self.events.peek()
                && *at <= now
            {
                if let Some(Reverse((_, _, event))) = self.events.pop() {
                    self.arrive(event, now);
                }
            }
            self.device.start(now);
            let arrival = self.events.peek().map(|Reverse((at, ..))| *at);
            let Some(next) = self.device.next_event(now).into_iter().chain(arrival).min() else {
                break;
            };
            let waits = Lane::ALL.map(|lane| self.device.scheduler.waiting(lane) > 0);
            self.device.advance(now, next);
            now = next;
            self.note_work(now, waits);
            for departure in self.device.scheduler.departures() {
                self.depart(departure.window, departure.outcome, now);
            }
        }
    }

    fn at(&mut self, at_s: f64, event: Event) {
        self.number += 1;
        self.events
            .push(Reverse((seconds(at_s), self.number, event)));
    }

    fn arrive(&mut self, event: Event, now: Duration) {
        let now_s = now.as_secs_f64();
        match event {
            Event::Live(_) => {
                let audio_s = self.random.uniform((1.0, 12.0));
                self.submit(event, (audio_s, 5.0), now);
                self.at(now_s + 1.0, event);
            }
            Event::Ask(caller) => self.ask(caller, now),
            Event::File(_) => {
                if !self.submit(event, (30.0, 600.0), now) {
                    // The file waits for a place.
                    self.at(now_s + 0.1, event);
                }
            }
        }
    }

    fn ask(&mut self, caller: usize, now: Duration) {
        let now_s = now.as_secs_f64();
        if self.clips[caller].audio_s == 0.0 {
            self.clips[caller].audio_s = self.random.uniform((2.0, 30.0));
            self.clips[caller].first_attempt_s = now_s;
        }
        let clip = self.clips[caller];
        let offer = Offer {
            promise: clip.promise,
            request: RequestId(caller as u64),
            lane: Lane::Interactive,
            audio: OfferedAudio::Known(seconds(clip.audio_s)),
            patience: seconds(self.traffic.patience_s),
        };
        match self.device.scheduler.offer(&offer, now) {
            Ok(()) => {
                if let Some((refused_s, told_s)) = clip.refused
                    && self.is_steady(now)
                {
                    self.seen.returns.push((now_s - refused_s) / told_s);
                }
                self.clips[caller].admitted_s = now_s;
                let audio_s = clip.audio_s;
                let event = Event::Ask(caller);
                self.submit(event, (audio_s, self.traffic.patience_s), now);
            }
            Err(refusal) => {
                let (Refusal::QueueFull {
                    retry_after,
                    promise,
                }
                | Refusal::TooLate {
                    retry_after,
                    promise,
                    ..
                }) = refusal
                else {
                    return;
                };
                self.clips[caller].promise = promise;
                // The header has whole seconds; the network adds up to a tenth of a second.
                let told_s = retry_after.as_secs_f64().ceil();
                if self.is_steady(now) {
                    self.seen.refusals += 1;
                    self.seen.retry_after_s.push(told_s);
                    // A second refusal: the first `Retry-After` was not kept.
                    if let Some((refused_s, told_s)) = clip.refused
                        && now_s - refused_s > 1.5 * told_s
                    {
                        self.seen.returns.push(f64::INFINITY);
                    }
                }
                self.clips[caller].refused.get_or_insert((now_s, told_s));
                let delay = self.random.uniform((0.0, 0.1));
                self.at(now_s + told_s + delay, Event::Ask(caller));
            }
        }
    }

    /// Submits a window of this audio and patience; returns whether it was accepted.
    fn submit(&mut self, event: Event, (audio_s, patience_s): (f64, f64), now: Duration) -> bool {
        let lane = lane_of(event);
        self.number += 1;
        let id = WindowId(self.number);
        let (index, offset) = match event {
            Event::Ask(caller) => (caller, 0),
            Event::Live(session) => (session, 1 << 20),
            Event::File(file) => (file, 1 << 21),
        };
        let window = Window {
            id,
            request: RequestId((index + offset) as u64),
            caller: Caller::Key(index + offset),
            lane,
            audio: seconds(audio_s),
            deadline: now + seconds(patience_s),
            bytes: 0,
        };
        let mean = self.machine.tokens_per_s * audio_s;
        let tokens = self.random.normal(mean, 0.15 * mean).max(4.0) as u32;
        self.device.expect(id, audio_s, tokens);
        let is_accepted = self.device.scheduler.submit(window, now).is_ok();
        if is_accepted {
            self.windows.insert(id, (event, now.as_secs_f64()));
        } else {
            self.device.forget(id);
        }
        is_accepted
    }

    fn depart(&mut self, window: Window, outcome: Outcome, now: Duration) {
        let now_s = now.as_secs_f64();
        self.encoded_s.remove(&window.id);
        self.device.forget(window.id);
        let Some((event, arrived_s)) = self.windows.remove(&window.id) else {
            return;
        };
        let is_steady = self.is_steady(now);
        if is_steady && outcome != Outcome::Ended {
            self.seen.expired += 1;
        }
        match event {
            Event::Live(_) if is_steady => self.seen.live_latencies_s.push(now_s - arrived_s),
            Event::Live(_) => {}
            Event::File(_) => {
                self.seen.bulk_windows += usize::from(is_steady);
                self.at(now_s, event);
            }
            Event::Ask(caller) => {
                let clip = &mut self.clips[caller];
                if is_steady {
                    self.seen.clip_latencies_s.push(now_s - clip.admitted_s);
                    self.seen.clip_totals_s.push(now_s - clip.first_attempt_s);
                }
                *clip = Clip::default();
                self.device
                    .scheduler
                    .close_request(RequestId(caller as u64));
                self.at(now_s + 0.001, event);
            }
        }
    }

    /// Reads the figures from the work that was done.
    fn note_work(&mut self, now: Duration, waits: [bool; 3]) {
        let is_steady = self.is_steady(now);
        for done in std::mem::take(&mut self.device.done) {
            let elapsed = (done.ended - done.began).as_secs_f64();
            let lanes: Vec<Lane> = done
                .work
                .windows()
                .iter()
                .filter_map(|id| self.windows.get(id))
                .map(|(event, _)| lane_of(*event))
                .collect();
            match &done.work {
                Work::Encode(ids) => {
                    for id in ids {
                        self.encoded_s.insert(*id, elapsed);
                    }
                    if is_steady && lanes.first() != Some(&Lane::Live) {
                        self.seen.calls_s.push(elapsed);
                    }
                }
                Work::Step(ids) => {
                    for id in ids {
                        let Some(encoded_s) = self.encoded_s.remove(id) else {
                            continue;
                        };
                        if let Some((Event::Live(_), arrived_s)) = self.windows.get(id)
                            && is_steady
                        {
                            let began_s = done.began.as_secs_f64();
                            self.seen.live_waits_s.push(began_s - arrived_s - encoded_s);
                        }
                    }
                    if is_steady {
                        self.seen.steps_s.push(elapsed);
                    }
                }
                _ => {}
            }
            if is_steady {
                self.seen.usage.add(&lanes, elapsed);
            }
        }
        if is_steady {
            self.seen.usage.pass(now.as_secs_f64(), waits);
        }
    }

    fn is_steady(&self, now: Duration) -> bool {
        now.as_secs_f64() > self.traffic.seconds / 3.0
    }
}

fn lane_of(event: Event) -> Lane {
    match event {
        Event::Live(_) => Lane::Live,
        Event::Ask(_) => Lane::Interactive,
        Event::File(_) => Lane::Bulk,
    }
}
