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

/// How long slots stay reserved for a lane after its last window.
const RESERVED_FOR: Duration = Duration::from_secs(60);

impl Limits {
    /// The most windows with a slot that one worker writes.
    #[must_use]
    pub fn slots_of_worker(&self) -> usize {
        match self.layout {
            Layout::Alternating { runners } => self.max_slots.get().div_ceil(runners.get()),
            Layout::Overlapping => self.max_slots.get(),
        }
    }

    /// Number of slots that a lane may take beyond those in use at a worker. Bulk leaves half of the slots
    /// to the others if there was another window within a minute, because its texts pause while theirs
    /// are written and would keep the slots; both leave an eighth to live.
    #[must_use]
    pub fn free_slots(
        &self,
        lane: Lane,
        in_use: &PerLane<usize>,
        last_seen: &PerLane<Option<Duration>>,
        now: Duration,
    ) -> usize {
        let all = self.slots_of_worker();
        let is_recent =
            |lane: Lane| last_seen[lane].is_some_and(|seen| now < seen.saturating_add(RESERVED_FOR));
        let for_live = if is_recent(Lane::Live) { all.div_ceil(8) } else { 0 };
        let used: usize = in_use.iter().sum();
        let free = all.saturating_sub(used);
        let below = |limit: usize, used: usize| free.min(limit.max(1).saturating_sub(used));
        let not_live = used - in_use[Lane::Live];
        match lane {
            Lane::Live => free,
            Lane::Interactive => below(all - for_live, not_live),
            Lane::Bulk if for_live > 0 || is_recent(Lane::Interactive) => {
                below(all / 2, in_use[Lane::Bulk]).min(below(all - for_live, not_live))
            }
            Lane::Bulk => free,
        }
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
