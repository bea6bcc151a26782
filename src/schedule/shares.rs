//! The shares of the lanes in a worker's time.
//!
//! Without a shortage the order of the lanes decides. A lane that others would keep waiting for longer than
//! its share gains credit: its share of the time in which it waits beside them. When the credit covers the
//! next work item of the lane, that item is next, and its time is subtracted. So over any span in which a
//! lane waits it gets its share, less one work item; time that it used while nobody else waited is not
//! counted.

use std::time::Duration;

use super::lane::{Lane, PerLane};

/// The guaranteed shares of a worker's time, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareLimits {
    /// The most that live may take while other lanes wait. Default a half.
    pub live_max: f64,
    /// The least that bulk gets while it waits. Default an eighth.
    pub bulk_min: f64,
}

/// The credit of the lanes at one worker.
#[derive(Clone, Debug)]
pub struct Shares {
    limits: ShareLimits,
    /// The time until which credit is computed.
    at: Duration,
    contention: Contention,
    /// Credit of bulk beside the other two, in seconds.
    bulk: f64,
    /// Credit of interactive and bulk together beside live, in seconds.
    others: f64,
}

/// Which lanes are kept waiting, from one event of a worker to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// Bulk waits, beside a live or interactive window that waits or is written.
    pub bulk_waits: bool,
    /// Interactive or bulk waits, beside a live window that waits or is written.
    pub others_wait: bool,
}

/// What a worker could do next for each lane: the expected time of the item, none if the lane has no item.
pub type Candidates = PerLane<Option<Duration>>;

/// The credit of bulk grows faster than its share by this factor, so that it gets its share in any ten
/// seconds although its work items cannot be divided.
const BULK_MARGIN: f64 = 1.1;

/// The same for interactive and bulk together, so that the margin of bulk is not at the cost of interactive.
const OTHERS_MARGIN: f64 = 1.05;

impl Default for ShareLimits {
    fn default() -> Self {
        Self {
            live_max: 0.5,
            bulk_min: 0.125,
        }
    }
}

impl Shares {
    /// No lane has credit.
    #[must_use]
    pub fn new(limits: ShareLimits) -> Self {
        Self {
            limits,
            at: Duration::ZERO,
            contention: Contention::default(),
            bulk: 0.0,
            others: 0.0,
        }
    }

    /// Adds the credit of the time since the last call, and notes who waits from now on.
    pub fn advance(&mut self, now: Duration, contention: Contention) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        if self.contention.bulk_waits {
            self.bulk += elapsed * self.limits.bulk_min * BULK_MARGIN;
        }
        if self.contention.others_wait {
            self.others += elapsed * (1.0 - self.limits.live_max) * OTHERS_MARGIN;
        }
        if !contention.bulk_waits {
            self.bulk = 0.0;
        }
        if !contention.others_wait {
            self.others = 0.0;
        }
        self.contention = contention;
    }

    /// Subtracts the time that lanes have used. A lane owes at most this.
    pub fn charge(&mut self, used: PerLane<Duration>) {
        let used = PerLane::from_fn(|lane| used[lane].as_secs_f64());
        let bulk = used[Lane::Bulk];
        let others = bulk + used[Lane::Interactive];
        self.bulk = (self.bulk - bulk).max(-bulk);
        self.others = (self.others - others).max(-others);
    }

    /// Whether the credit of bulk covers work of this length, or nobody is delayed by it.
    #[must_use]
    pub fn allows_bulk(&self, cost: Duration) -> bool {
        !self.contention.bulk_waits || self.bulk >= cost.as_secs_f64()
    }

    /// The lane that is next among those with work.
    #[must_use]
    pub fn choose(&self, candidates: &Candidates) -> Option<Lane> {
        let covered =
            |credit: f64, lane| candidates[lane].is_some_and(|cost| credit >= cost.as_secs_f64());
        if self.contention.bulk_waits && covered(self.bulk, Lane::Bulk) {
            return Some(Lane::Bulk);
        }
        let others = [Lane::Interactive, Lane::Bulk];
        let first = others
            .into_iter()
            .find(|lane| self.may_use(*lane, candidates));
        if self.contention.others_wait
            && let Some(lane) = first
            && covered(self.others, lane)
        {
            return Some(lane);
        }
        Lane::ALL
            .into_iter()
            .find(|lane| self.may_use(*lane, candidates))
    }

    fn may_use(&self, lane: Lane, candidates: &Candidates) -> bool {
        candidates[lane].is_some_and(|cost| lane != Lane::Bulk || self.allows_bulk(cost))
    }
}
