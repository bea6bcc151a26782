//! The limits of a device.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::shares::ShareLimits;

/// How a device encodes and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A CPU: each of these runners encodes and writes in turn.
    Alternating {
        /// Number of runners, which share the weights.
        runners: NonZeroUsize,
    },
    /// A GPU: one encoder and one decoder at the same time.
    Overlapping,
}

/// The limits of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// How the device encodes and writes.
    pub layout: Layout,
    /// The most windows with a slot, `BATCH_SIZE`: being encoded, encoded, or being written. Divided among
    /// runners. One is one window at a time, `USE_BATCHED_MODE=false`.
    pub max_slots: NonZeroUsize,
    /// The most waiting windows, `MAX_QUEUE_SIZE`.
    pub max_waiting: NonZeroUsize,
    /// The most windows in an encoder call. A CPU encodes one window at a time, so one; on a GPU a call
    /// must be long enough to occupy it and short, because an urgent window waits for it: 16.
    pub max_encode: NonZeroUsize,
    /// The most windows whose slots are opened together.
    pub max_open: NonZeroUsize,
    /// The longest wait of an encoder call for further windows, `BATCH_WINDOW_MS`.
    pub batch_window: Duration,
    /// Memory for slots, in bytes.
    pub memory: u64,
    /// The guaranteed shares of the lanes.
    pub shares: ShareLimits,
}

/// The windows of a worker and of the queue, as far as they decide who may take a slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotDemand {
    /// Slots in use at the worker.
    pub in_use: PerLane<usize>,
    /// Whether windows wait.
    pub waits: PerLane<bool>,
    /// Whether a window arrived within a minute.
    pub is_recent: PerLane<bool>,
}

impl Limits {
    /// The most windows with a slot that one worker writes.
    #[must_use]
    pub fn slots_of_worker(&self) -> usize {
        match self.layout {
            Layout::Alternating { runners } => self.max_slots.get().div_ceil(runners.get()),
            Layout::Overlapping => self.max_slots.get(),
        }
    }

    /// Number of slots that a lane may take beyond those in use at a worker.
    ///
    /// Live takes at most half while others wait. An eighth is kept for live for a minute after its last
    /// window, because live does not wait for a text to end. Bulk takes at most half for a minute after
    /// any other window, because its texts pause beside theirs and keep their slots; an eighth is kept
    /// for it while it waits. One slot is always open to each lane.
    #[must_use]
    pub fn free_slots(&self, lane: Lane, demand: &SlotDemand) -> usize {
        let all = self.slots_of_worker();
        let eighth = all.div_ceil(8);
        let used: usize = demand.in_use.iter().sum();
        let below = |limit: usize, used: usize| limit.max(1).saturating_sub(used);
        let for_live = if demand.is_recent[Lane::Live] {
            eighth
        } else {
            0
        };
        let for_bulk = if demand.waits[Lane::Bulk] { eighth } else { 0 };
        let not_live = below(all - for_live, used - demand.in_use[Lane::Live]);
        let [live, interactive, bulk] = Lane::ALL.map(|lane| demand.in_use[lane]);
        let own = match lane {
            Lane::Live if demand.waits[Lane::Interactive] || demand.waits[Lane::Bulk] => {
                below(all / 2, live).min(below(all.saturating_sub(for_bulk), live + interactive))
            }
            Lane::Live => all,
            Lane::Interactive => {
                let for_others = below(all.saturating_sub(for_live + for_bulk), interactive);
                let not_bulk = below(all.saturating_sub(for_bulk), live + interactive);
                not_live.min(for_others).min(not_bulk)
            }
            Lane::Bulk if demand.is_recent[Lane::Live] || demand.is_recent[Lane::Interactive] => {
                not_live.min(below(all / 2, bulk))
            }
            Lane::Bulk => not_live,
        };
        own.min(all.saturating_sub(used))
    }

    /// The most waiting windows of this lane and the less urgent ones together. Half of the places are kept
    /// from bulk, and an eighth from both others than live, so that a full queue of long recordings refuses
    /// nobody else.
    #[must_use]
    pub fn places(&self, lane: Lane) -> usize {
        let all = self.max_waiting.get();
        match lane {
            Lane::Live => all,
            Lane::Interactive => all - all / 8,
            Lane::Bulk => all.div_ceil(2),
        }
    }
}
