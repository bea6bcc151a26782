//! Chooses the next work of a worker, and accounts for it.

use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::limits::{Layout, SlotDemand};
use super::scheduler::Scheduler;
use super::shares::Contention;
use super::window::WindowId;
use super::work::{Slot, Stage, Work, Worker};
use super::worker::Running;

/// The weight of the last measurement in a mean time.
const WEIGHT_OF_LAST: f64 = 0.2;

/// How long a lane counts as active after its last window.
const RECENT: Duration = Duration::from_secs(60);

/// A work item of a lane.
#[derive(Debug)]
struct Item {
    work: ItemKind,
    /// Expected time.
    cost: Duration,
}

#[derive(Debug)]
enum ItemKind {
    Align(WindowId),
    Open,
    Encode,
}

impl Scheduler {
    pub(super) fn decide(
        &mut self,
        worker: Worker,
        index: usize,
        now: Duration,
        preparing: usize,
    ) -> Work {
        if self.workers[index].running.is_some() {
            return Work::Wait;
        }
        self.note_contention(index);
        if !self.workers[index].to_close.is_empty() {
            return Work::Close(self.workers[index].to_close.iter().copied().collect());
        }
        if let Some(work) = self.next_alone(worker, index, now) {
            return work;
        }
        let rows = if worker == Worker::Encoder {
            Vec::new()
        } else {
            self.rows(index)
        };
        // Between two steps there is at most one item, because running texts wait for it.
        if rows.is_empty() || !self.workers[index].had_item {
            let mut wait_until: Option<Duration> = None;
            let items = PerLane::from_fn(|lane| {
                let item = self.item(worker, index, lane, now);
                let is_encode = item
                    .as_ref()
                    .is_some_and(|item| matches!(item.work, ItemKind::Encode));
                if is_encode && let Some(until) = self.wait_for_company(lane, now, preparing) {
                    wait_until = Some(wait_until.map_or(until, |other| other.min(until)));
                    return None;
                }
                item
            });
            let costs = PerLane::from_fn(|lane| items[lane].as_ref().map(|item| item.cost));
            if let Some(lane) = self.workers[self.home(index)].shares.choose(&costs)
                && let Some(item) = &items[lane]
            {
                return match &item.work {
                    ItemKind::Align(id) => Work::Align(*id),
                    ItemKind::Open => Work::Open(self.to_open(index, lane)),
                    ItemKind::Encode => Work::Encode(self.take(worker, index, lane, now)),
                };
            }
            if rows.is_empty() {
                return wait_until.map_or(Work::Wait, Work::WaitUntil);
            }
        }
        Work::Step(rows)
    }

    /// Records that a worker has begun its work.
    pub(super) fn begin(&mut self, index: usize, work: &Work, now: Duration) {
        let stage = match work {
            Work::Wait | Work::WaitUntil(_) => return,
            Work::Encode(_) => Stage::Encoding,
            Work::Open(_) => Stage::Opening,
            Work::Align(_) => Stage::Aligning,
            Work::Close(_) => Stage::Closing,
            Work::Step(_) => Stage::Open,
        };
        let mut weights = PerLane::<f64>::default();
        for id in work.windows() {
            if let Some(slot) = self.slots.get(id) {
                let is_step = stage == Stage::Open;
                let weight = if is_step {
                    1.0
                } else {
                    slot.window.audio.as_secs_f64()
                };
                weights[slot.window.lane] += weight;
            }
            if stage != Stage::Open {
                self.set_stage(*id, stage);
            }
        }
        let contention = self.workers[self.home(index)].shares.contention();
        self.workers[index].running = Some(Running {
            work: work.clone(),
            began: now,
            weights,
            contention,
        });
    }

    /// Charges the time of work that is done to the lanes.
    pub(super) fn charge(&mut self, index: usize, running: &Running, now: Duration) {
        let elapsed = now.saturating_sub(running.began);
        let sum: f64 = running.weights.iter().sum();
        let state = &mut self.workers[index];
        match running.work {
            Work::Step(_) => {
                state.step_time = elapsed;
                state.had_item = false;
            }
            Work::Encode(_) => {
                state.had_item = true;
                let measured = elapsed.as_secs_f64() / sum.max(0.1);
                let known = if state.encode_time > 0.0 {
                    state.encode_time
                } else {
                    measured
                };
                state.encode_time = known + WEIGHT_OF_LAST * (measured - known);
            }
            Work::Open(_) | Work::Align(_) => state.had_item = true,
            Work::Close(_) | Work::Wait | Work::WaitUntil(_) => return,
        }
        if sum > 0.0 {
            let weights = running.weights;
            let used = PerLane::from_fn(|lane| elapsed.mul_f64(weights[lane] / sum));
            let home = self.home(index);
            self.workers[home].shares.charge(used, running.contention);
        }
    }

    /// The slots that take part in the next step. Bulk is written beside an urgent text only within its
    /// share.
    fn rows(&self, index: usize) -> Vec<WindowId> {
        let state = &self.workers[index];
        let [live, interactive, bulk] = Lane::ALL.map(|lane| &state.open[lane]);
        let all = live.len() + interactive.len() + bulk.len();
        let cost = state
            .step_time
            .mul_f64(bulk.len() as f64 / all.max(1) as f64);
        let urgent = live.iter().chain(interactive).copied();
        if bulk.is_empty()
            || (!state.shares.allows_bulk(cost) && live.len() + interactive.len() > 0)
        {
            urgent.collect()
        } else {
            urgent.chain(bulk.iter().copied()).collect()
        }
    }

    /// The windows that are opened together: those of a lane first, then of the others.
    fn to_open(&self, index: usize, first: Lane) -> Vec<WindowId> {
        let state = &self.workers[index];
        let others = Lane::ALL.into_iter().filter(|lane| {
            let is_allowed = *lane != Lane::Bulk || state.shares.allows_bulk(state.step_time);
            *lane != first && is_allowed
        });
        let lanes = std::iter::once(first).chain(others);
        let ids = lanes.flat_map(|lane| state.to_open[lane].iter().copied());
        ids.take(self.limits.max_open.get()).collect()
    }

    /// The next item of a lane: texts that are complete before those that begin.
    fn item(&self, worker: Worker, index: usize, lane: Lane, now: Duration) -> Option<Item> {
        let state = &self.workers[index];
        if worker != Worker::Encoder {
            let cost = state.step_time;
            if let Some(id) = state.to_align[lane].first() {
                let work = ItemKind::Align(*id);
                return Some(Item { work, cost });
            }
            if !state.to_open[lane].is_empty() {
                let work = ItemKind::Open;
                return Some(Item { work, cost });
            }
        }
        if worker == Worker::Decoder || !self.has_room(index, lane, now) {
            return None;
        }
        let audio = self.waiting[lane].front()?.audio;
        let windows = self.waiting[lane].len().min(self.max_encode(now));
        let cost = audio.mul_f64(state.encode_time * windows as f64);
        Some(Item {
            work: ItemKind::Encode,
            cost,
        })
    }

    /// Whether the next window of a lane can be given a slot.
    fn has_room(&self, index: usize, lane: Lane, now: Duration) -> bool {
        let home = self.home(index);
        if self.is_closed_to_waiting(home) {
            return false;
        }
        let Some(window) = self.waiting[lane].front() else {
            return false;
        };
        self.memory.fits(home, window.bytes) && self.free_slots(home, lane, now) > 0
    }

    fn free_slots(&self, home: usize, lane: Lane, now: Duration) -> usize {
        let demand = SlotDemand {
            slots: self.limits.slots_of_worker(home),
            in_use: self.workers[home].in_use,
            waits: PerLane::from_fn(|lane| !self.waiting[lane].is_empty()),
            is_recent: PerLane::from_fn(|lane| self.is_recent(lane, now)),
        };
        self.limits.free_slots(lane, &demand)
    }

    fn is_recent(&self, lane: Lane, now: Duration) -> bool {
        self.last_seen[lane].is_some_and(|seen| now < seen.saturating_add(RECENT))
    }

    /// The most windows in an encoder call: half as many as usual while there are live sessions, whose
    /// windows wait for the call.
    fn max_encode(&self, now: Duration) -> usize {
        let most = self.limits.max_encode.get();
        if self.is_recent(Lane::Live, now) {
            most.div_ceil(2)
        } else {
            most
        }
    }

    /// The time until which an encoder call waits for further windows; none if it is due.
    fn wait_for_company(&self, lane: Lane, now: Duration, preparing: usize) -> Option<Duration> {
        let waiting = &self.waiting[lane];
        if preparing == 0 || lane == Lane::Live || waiting.len() >= self.max_encode(now) {
            return None;
        }
        let oldest = waiting.iter().map(|(_, arrived)| arrived).min()?;
        let until = oldest.saturating_add(self.limits.batch_window);
        (now < until).then_some(until)
    }

    /// Gives slots to the windows of an encoder call.
    fn take(&mut self, worker: Worker, index: usize, lane: Lane, now: Duration) -> Vec<WindowId> {
        let home = self.home(index);
        let mut taken = Vec::new();
        while taken.len() < self.max_encode(now) && self.has_room(index, lane, now) {
            let Some(window) = self.waiting[lane].pop() else {
                break;
            };
            self.lanes.remove(&window.id);
            taken.push(window.id);
            self.give_slot(Slot::new(window, home, now));
        }
        debug_assert!(worker != Worker::Decoder, "a decoder does not encode");
        taken
    }

    /// The worker that writes what this one encodes.
    pub(super) fn home(&self, index: usize) -> usize {
        match self.limits.layout {
            Layout::Alternating { .. } => index,
            Layout::Overlapping => 0,
        }
    }

    /// Notes which lanes are kept waiting at a worker, and at the other one of a GPU.
    fn note_contention(&mut self, index: usize) {
        let home = self.home(index);
        let state = &mut self.workers[home];
        let waits = |lane: Lane| !self.waiting[lane].is_empty();
        let pending = |lane: Lane| waits(lane) || state.items(lane) > 0;
        let is_active = |lane: Lane| waits(lane) || state.in_use[lane] > 0;
        let [live, interactive, bulk] = Lane::ALL.map(is_active);
        let contention = Contention {
            bulk_waits: bulk && (live || interactive),
            bulk_is_limited: state.in_use[Lane::Live] + state.in_use[Lane::Interactive] > 0,
            others_wait: live && (pending(Lane::Interactive) || pending(Lane::Bulk)),
        };
        state.shares.note(contention);
    }
}
