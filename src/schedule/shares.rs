//! The shares of the lanes in the time of a device: of a runner, or of the encoder and the decoder of a GPU
//! together.
//!
//! Without a shortage the order of the lanes decides. A lane that waits gains credit: its share of the time of
//! all work that is done meanwhile. When the credit covers the next work item of the lane, that item is next,
//! and its time is subtracted. So over any span in which a lane waits it gets its share, less one work item;
//! time that it used while nobody else waited is not counted.

use std::time::Duration;

use super::lane::{Lane, PerLane};

/// The guaranteed shares of a worker's time, each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareLimits {
    /// The most that live may take while interactive waits. Default a half.
    pub live_max: f64,
    /// What bulk gets while it waits beside others: at least this, and hardly more. Default an eighth.
    pub bulk_min: f64,
}

/// The credit of the lanes.
#[derive(Clone, Debug)]
pub struct Shares {
    limits: ShareLimits,
    contention: Contention,
    /// Credit of bulk beside the other two, in seconds.
    bulk: f64,
    /// Credit of interactive and bulk together beside live, in seconds.
    others: f64,
}

/// Which lanes are kept waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// Bulk waits or is written, and so is a live or interactive window.
    pub bulk_waits: bool,
    /// A live or interactive window has a slot, so bulk is limited to its share. Without one nobody would
    /// gain by a pause of bulk.
    pub bulk_is_limited: bool,
    /// Interactive or bulk waits, and live waits or is written.
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
            contention: Contention::default(),
            bulk: 0.0,
            others: 0.0,
        }
    }

    /// Notes who waits. A lane that does not wait has no credit and no debt.
    pub fn note(&mut self, contention: Contention) {
        if !contention.bulk_waits {
            self.bulk = 0.0;
        }
        if !contention.others_wait {
            self.others = 0.0;
        }
        self.contention = contention;
    }

    /// Adds the credit of work that is done, and subtracts what lanes have used of its time. `contention` is
    /// that at its beginning. A lane owes at most the time of this work.
    pub fn charge(&mut self, used: PerLane<Duration>, contention: Contention) {
        let used = PerLane::from_fn(|lane| used[lane].as_secs_f64());
        let all: f64 = used.iter().sum();
        let bulk = used[Lane::Bulk];
        let others = bulk + used[Lane::Interactive];
        if contention.bulk_waits {
            let gained = all * self.limits.bulk_min * BULK_MARGIN;
            self.bulk = (self.bulk + gained - bulk).max(-bulk);
        }
        if contention.others_wait {
            let gained = all * (1.0 - self.limits.live_max) * OTHERS_MARGIN;
            self.others = (self.others + gained - others).max(-others);
        }
    }

    /// Who waited when it was noted last.
    #[must_use]
    pub fn contention(&self) -> Contention {
        self.contention
    }

    /// Whether the credit of bulk covers work of this length, or nobody is delayed by it.
    #[must_use]
    pub fn allows_bulk(&self, cost: Duration) -> bool {
        !self.contention.bulk_is_limited || covers(self.bulk, cost)
    }

    /// The lane that is next among those with work.
    #[must_use]
    pub fn choose(&self, candidates: &Candidates) -> Option<Lane> {
        let covered = |credit: f64, lane| candidates[lane].is_some_and(|cost| covers(credit, cost));
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

/// Whether there is credit, and enough for work of this length. The length is zero if it is not known yet.
fn covers(credit: f64, cost: Duration) -> bool {
    credit > 0.0 && credit >= cost.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL_WAIT: Contention = Contention {
        bulk_waits: true,
        bulk_is_limited: true,
        others_wait: true,
    };

    /// The parts of the time that lanes get if those with an item always wait, in ten seconds.
    fn parts(items_ms: [Option<u64>; 3]) -> [f64; 3] {
        let candidates =
            PerLane::from_fn(|lane| items_ms[lane as usize].map(Duration::from_millis));
        let others = candidates[Lane::Interactive].is_some() || candidates[Lane::Bulk].is_some();
        let has_urgent =
            candidates[Lane::Live].is_some() || candidates[Lane::Interactive].is_some();
        let contention = Contention {
            bulk_waits: candidates[Lane::Bulk].is_some() && has_urgent,
            bulk_is_limited: has_urgent,
            others_wait: others && candidates[Lane::Live].is_some(),
        };
        let mut shares = Shares::new(ShareLimits::default());
        let (mut now, mut used) = (Duration::ZERO, PerLane::<Duration>::default());
        while now < Duration::from_secs(10) {
            shares.note(contention);
            let lane = shares.choose(&candidates).expect("a lane has an item");
            let cost = candidates[lane].expect("the lane has an item");
            now += cost;
            used[lane] += cost;
            let charged = |other| if other == lane { cost } else { Duration::ZERO };
            shares.charge(PerLane::from_fn(charged), contention);
        }
        Lane::ALL.map(|lane| used[lane].div_duration_f64(now))
    }

    #[test]
    fn an_urgent_lane_goes_first_without_credit_of_others() {
        let shares = Shares::new(ShareLimits::default());
        let item = Some(Duration::from_millis(1));
        for (has_item, expected) in [
            ([true; 3], Some(Lane::Live)),
            ([false, true, true], Some(Lane::Interactive)),
            ([false, false, true], Some(Lane::Bulk)),
            ([false; 3], None),
        ] {
            let candidates = PerLane::from_fn(|lane| item.filter(|_| has_item[lane as usize]));
            assert_eq!(shares.choose(&candidates), expected);
        }
    }

    #[test]
    fn time_that_bulk_used_alone_is_not_counted_against_it() {
        let mut shares = Shares::new(ShareLimits::default());
        let work_of = |lane, seconds| {
            PerLane::from_fn(|other| Duration::from_secs(if other == lane { seconds } else { 0 }))
        };
        shares.charge(work_of(Lane::Bulk, 100), Contention::default());
        shares.note(ALL_WAIT);
        shares.charge(work_of(Lane::Live, 1), ALL_WAIT);
        // An eighth of a second, and the margin.
        assert!(shares.allows_bulk(Duration::from_millis(130)));
        assert!(!shares.allows_bulk(Duration::from_millis(140)));
    }

    #[test]
    fn bulk_waits_only_beside_others() {
        let mut shares = Shares::new(ShareLimits::default());
        assert!(shares.allows_bulk(Duration::MAX));
        shares.note(ALL_WAIT);
        assert!(!shares.allows_bulk(Duration::from_nanos(1)));
        assert_eq!(parts([None, None, Some(30)]), [0.0, 0.0, 1.0]);
    }

    proptest! {
        /// Whatever the lengths of their items, up to 100 ms, lanes get their shares of ten seconds.
        #[test]
        fn lanes_get_their_shares(items_ms in [1_u64..100, 1_u64..100, 1_u64..100]) {
            let [live, interactive, bulk] = items_ms;
            let [part_live, part_interactive, part_bulk] =
                parts([Some(live), Some(interactive), Some(bulk)]);
            prop_assert!(part_live <= 0.5 && part_live > 0.4, "{part_live}");
            prop_assert!(part_interactive >= 0.37, "{part_interactive}");
            prop_assert!((0.125..0.15).contains(&part_bulk), "{part_bulk}");
            let [_, part_interactive, part_bulk] = parts([None, Some(interactive), Some(bulk)]);
            prop_assert!((0.125..0.15).contains(&part_bulk), "{part_bulk} {part_interactive}");
            let [part_live, _, part_bulk] = parts([Some(live), None, Some(bulk)]);
            prop_assert!((0.125..0.15).contains(&part_bulk), "{part_bulk} {part_live}");
            let [part_live, part_interactive, _] = parts([Some(live), Some(interactive), None]);
            prop_assert!((0.4..=0.5).contains(&part_live), "{part_live} {part_interactive}");
        }
    }
}
