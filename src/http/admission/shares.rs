//! Decides which callers get permits, without a clock.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Instant;

use crate::caller::{Caller, RecentCallers};

/// The permits that callers hold, and the callers of recent requests.
#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    /// Maximum number of permits of one caller.
    caller_limit: Option<NonZeroUsize>,
    taken: usize,
    /// Number of permits by caller; callers without permits are absent.
    held: HashMap<Caller, usize>,
    recent: RecentCallers,
}

/// Why a caller gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShareRefusal {
    /// All permits are taken or reserved for others.
    Full,
    /// The caller holds half of the permits, and others send requests.
    Share,
    /// The caller holds as many permits as any caller may.
    CallerLimit(NonZeroUsize),
}

impl Shares {
    pub fn new(limit: usize, caller_limit: Option<NonZeroUsize>) -> Self {
        Self {
            limit,
            caller_limit,
            taken: 0,
            held: HashMap::new(),
            recent: RecentCallers::default(),
        }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Maximum number of permits of one caller while others send requests.
    pub fn share(&self) -> usize {
        self.limit.div_ceil(2)
    }

    /// Gives a permit to a caller, or refuses it; either counts as a recent request of the caller.
    /// `reserved` permits are reserved for others.
    pub fn enter(
        &mut self,
        caller: Caller,
        reserved: usize,
        now: Instant,
    ) -> Result<(), ShareRefusal> {
        self.recent.record(caller, now);
        if let Some(limit) = self.caller_limit
            && self.held_by(caller) >= limit.get()
        {
            return Err(ShareRefusal::CallerLimit(limit));
        }
        if self.taken + reserved >= self.limit {
            return Err(ShareRefusal::Full);
        }
        if self.free_for(caller, now) == 0 {
            return Err(ShareRefusal::Share);
        }
        self.taken += 1;
        *self.held.entry(caller).or_default() += 1;
        Ok(())
    }

    /// Returns a permit.
    pub fn leave(&mut self, caller: Caller) {
        self.taken -= 1;
        if let Some(held) = self.held.get_mut(&caller) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&caller);
            }
        }
    }

    /// Number of permits that are available to a caller.
    pub fn free_for(&self, caller: Caller, now: Instant) -> usize {
        (self.limit - self.taken).min(self.open_to(caller, now))
    }

    /// Number of permits that the caller may take besides those it holds, whether they are free or not.
    pub fn open_to(&self, caller: Caller, now: Instant) -> usize {
        let max_held = if self.recent.has_others(caller, now) {
            self.share()
        } else {
            self.limit
        };
        let max_held = self
            .caller_limit
            .map_or(max_held, |limit| max_held.min(limit.get()));
        max_held.saturating_sub(self.held_by(caller))
    }

    fn held_by(&self, caller: Caller) -> usize {
        self.held.get(&caller).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    use super::*;

    const ALICE: Caller = Caller::Key(0);
    const BOB: Caller = Caller::Key(1);

    #[test]
    fn a_single_caller_gets_all_permits() {
        let (mut shares, now) = (Shares::new(5, None), Instant::now());
        for free in (0..5).rev() {
            shares.enter(ALICE, 0, now).unwrap();
            assert_eq!(shares.free_for(ALICE, now), free);
        }
        assert_eq!(shares.enter(ALICE, 0, now), Err(ShareRefusal::Full));
        shares.leave(ALICE);
        shares.enter(ALICE, 0, now).unwrap();
    }

    #[test]
    fn a_caller_gets_half_of_the_permits_while_others_send_requests() {
        let (mut shares, now) = (Shares::new(4, None), Instant::now());
        shares.enter(BOB, 0, now).unwrap();
        shares.leave(BOB);
        for _ in 0..2 {
            shares.enter(ALICE, 0, now).unwrap();
        }
        for refusals in 0..3 {
            assert_eq!(
                shares.enter(ALICE, 0, now),
                Err(ShareRefusal::Share),
                "{refusals}"
            );
        }
        assert_eq!(shares.free_for(ALICE, now), 0);
        assert_eq!(shares.free_for(BOB, now), 2);
        shares.enter(BOB, 0, now).unwrap();

        let later = now + Duration::from_secs(60);
        shares.enter(ALICE, 0, later).unwrap();
        assert_eq!(shares.enter(BOB, 0, later), Err(ShareRefusal::Full));
    }

    #[test]
    fn a_caller_gets_no_more_permits_than_its_limit() {
        let limit = NonZeroUsize::new(2).unwrap();
        let (mut shares, now) = (Shares::new(8, Some(limit)), Instant::now());
        for free in [1, 0] {
            shares.enter(ALICE, 0, now).unwrap();
            assert_eq!(shares.free_for(ALICE, now), free);
        }
        assert_eq!(
            shares.enter(ALICE, 0, now),
            Err(ShareRefusal::CallerLimit(limit))
        );
        shares.enter(BOB, 0, now).unwrap();
        shares.leave(ALICE);
        shares.enter(ALICE, 0, now).unwrap();
    }

    #[test]
    fn reserved_permits_are_not_given() {
        let (mut shares, now) = (Shares::new(3, None), Instant::now());
        shares.enter(ALICE, 2, now).unwrap();
        assert_eq!(shares.enter(ALICE, 2, now), Err(ShareRefusal::Full));
        shares.enter(ALICE, 1, now).unwrap();
        assert_eq!(
            [ALICE, BOB].map(|caller| shares.open_to(caller, now)),
            [1, 2]
        );
    }

    #[test]
    fn a_refused_caller_counts_as_sending_requests() {
        let (mut shares, now) = (Shares::new(4, None), Instant::now());
        for _ in 0..4 {
            shares.enter(ALICE, 0, now).unwrap();
        }
        assert_eq!(shares.enter(BOB, 0, now), Err(ShareRefusal::Full));

        // Alice keeps her permits; those that become free go to Bob until she is down to her half.
        shares.leave(ALICE);
        assert_eq!(shares.enter(ALICE, 0, now), Err(ShareRefusal::Share));
        shares.enter(BOB, 0, now).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_counts_of_permits_agree(
            limit in 1_usize..9,
            steps in proptest::collection::vec((0_usize..3, any::<bool>(), 0_u64..40), 0..100),
        ) {
            let (mut shares, mut now) = (Shares::new(limit, None), Instant::now());
            let mut inside = Vec::new();
            for (number, enters, passed_s) in steps {
                now += Duration::from_secs(passed_s);
                let caller = Caller::Key(number);
                if enters {
                    let others = shares.recent.has_others(caller, now);
                    let own = inside.iter().filter(|other| **other == caller).count();
                    let expected = inside.len() < limit && !(others && own >= limit.div_ceil(2));
                    prop_assert!(shares.enter(caller, 0, now).is_ok() == expected);
                    if expected {
                        inside.push(caller);
                    }
                } else if let Some(at) = inside.iter().position(|other| *other == caller) {
                    shares.leave(inside.swap_remove(at));
                }
                prop_assert!(shares.taken == inside.len());
                prop_assert!(shares.held.values().sum::<usize>() == inside.len());
                prop_assert!(shares.held.values().all(|held| *held > 0));
            }
        }
    }
}
