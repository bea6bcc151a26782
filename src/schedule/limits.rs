//! The limits of a device.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::lane::{Lane, PerLane};
use super::memory::MemoryLimit;
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
    /// the runners. One is one window at a time, `USE_BATCHED_MODE=false`.
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
    /// Memory for slots.
    pub memory: MemoryLimit,
    /// The guaranteed shares of the lanes.
    pub shares: ShareLimits,
}

/// The windows of a worker and of the queue, as far as they decide who may take a slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotDemand {
    /// The most slots of the worker.
    pub slots: usize,
    /// Slots in use at the worker.
    pub in_use: PerLane<usize>,
    /// Whether windows wait.
    pub waits: PerLane<bool>,
    /// Whether a window arrived within a minute.
    pub is_recent: PerLane<bool>,
}

impl Limits {
    /// The most windows with a slot that the worker of this index writes.
    #[must_use]
    pub fn slots_of_worker(&self, index: usize) -> usize {
        let all = self.max_slots.get();
        match self.layout {
            Layout::Alternating { runners } => all / runners + usize::from(index < all % runners),
            Layout::Overlapping => all,
        }
    }

    /// Number of slots that a lane may take beyond those in use at a worker.
    ///
    /// Live takes at most half while others wait. An eighth is kept for live for a minute after its last
    /// window, because live does not wait for a text to end. Bulk takes at most half for a minute after
    /// any other window, because its texts pause beside theirs and keep their slots; an eighth is kept
    /// for it while it waits. Fewer than four slots are not divided: shares in time have to do.
    #[must_use]
    pub fn free_slots(&self, lane: Lane, demand: &SlotDemand) -> usize {
        let all = demand.slots;
        let eighth = all.div_ceil(8);
        let used: usize = demand.in_use.iter().sum();
        if all < 4 {
            return all.saturating_sub(used);
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        let count = |count| NonZeroUsize::new(count).unwrap();
        Limits {
            layout: Layout::Overlapping,
            max_slots: count(8),
            max_waiting: count(64),
            max_encode: count(4),
            max_open: count(4),
            batch_window: Duration::from_millis(20),
            memory: MemoryLimit::Shared(u64::MAX),
            shares: ShareLimits::default(),
        }
    }

    fn per_lane<T: Copy>(values: [T; 3]) -> PerLane<T> {
        PerLane::from_fn(|lane| values[lane as usize])
    }

    /// The slots of 16 that each lane may still take.
    #[track_caller]
    fn check(in_use: [usize; 3], waits: [bool; 3], is_recent: [bool; 3], expected: [usize; 3]) {
        let demand = SlotDemand {
            slots: 16,
            in_use: per_lane(in_use),
            waits: per_lane(waits),
            is_recent: per_lane(is_recent),
        };
        let free = Lane::ALL.map(|lane| limits().free_slots(lane, &demand));
        assert_eq!(free, expected);
    }

    #[test]
    fn a_lane_alone_may_take_all_slots() {
        check([0; 3], [false; 3], [false; 3], [16; 3]);
        check(
            [0, 3, 0],
            [false, true, false],
            [false, true, false],
            [8, 13, 8],
        );
        check([0, 0, 16], [false, false, true], [false; 3], [0, 0, 0]);
    }

    #[test]
    fn slots_are_kept_for_live_and_for_bulk_that_waits() {
        check(
            [0, 14, 0],
            [false, true, false],
            [true, true, false],
            [2, 0, 0],
        );
        check(
            [0, 13, 0],
            [false, true, true],
            [false, true, true],
            [1, 1, 3],
        );
        check(
            [0, 14, 0],
            [false, true, true],
            [false, true, true],
            [0, 0, 2],
        );
    }

    #[test]
    fn live_takes_half_while_others_wait() {
        check([8, 0, 0], [true, true, false], [true; 3], [0, 8, 8]);
        check([8, 0, 0], [true, false, false], [true; 3], [8, 8, 8]);
    }

    #[test]
    fn runners_divide_the_slots() {
        let layout = Layout::Alternating {
            runners: NonZeroUsize::new(3).unwrap(),
        };
        let limits = Limits { layout, ..limits() };
        let slots = [0, 1, 2].map(|runner| limits.slots_of_worker(runner));
        assert_eq!(slots, [3, 3, 2]);
    }

    proptest! {
        /// Taking as many slots as a lane may, in any order, never exceeds all slots; without texts each
        /// lane may take one.
        #[test]
        fn slots_are_never_exceeded_and_open_to_each_lane(
            max_slots in 1_usize..40,
            waits in prop::array::uniform3(any::<bool>()),
            is_recent in prop::array::uniform3(any::<bool>()),
            order in prop::collection::vec((0_usize..3, 1_usize..9), 0..40),
        ) {
            let limits = limits();
            let mut demand = SlotDemand {
                slots: max_slots,
                in_use: PerLane::default(),
                waits: per_lane(waits),
                is_recent: per_lane(is_recent),
            };
            for lane in Lane::ALL {
                prop_assert!(limits.free_slots(lane, &demand) > 0);
            }
            for (lane, wanted) in order {
                let lane = Lane::ALL[lane];
                let taken = wanted.min(limits.free_slots(lane, &demand));
                demand.in_use[lane] += taken;
                prop_assert!(demand.in_use.iter().sum::<usize>() <= max_slots);
            }
        }
    }
}
