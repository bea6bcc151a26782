//! Which refused requests are expected back and when, as a decision without a clock.
//!
//! A refusal names a time to return: permits become free one after the other, and the refused
//! requests return likewise, instead of all at once. A permit is kept for a request that returns
//! on time. One that returns early gets only a permit for which no return is expected, and each
//! early return moves it back by one permit, up to the last expected return, so that asking again
//! and again gains nothing. Nor does it take the turn of another request that looks the same: a
//! connection shows that it is in haste, as no refusal names a wait as short as that.

use std::time::{Duration, Instant};

use super::turnover::Turnover;
use crate::caller::Caller;

/// Longest wait that a refusal names: OpenAI's SDKs do not obey longer ones.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Shortest one.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// A request that follows a refusal sooner than this did not wait as it was told.
pub(super) const HASTE: Duration = Duration::from_millis(80);
/// How much too early a return still counts as on time: timers and networks are not exact.
const TOLERANCE: Duration = Duration::from_millis(20);
/// A wait is longer than the estimate by this share of the time that a permit is held, and by as
/// much again after each refusal: tries are few in most clients.
const MARGIN: f64 = 0.35;
/// Permits are kept for returns that are due within this share of the time that one is held:
/// a batch that ends frees several at once.
const HORIZON: f64 = 0.3;
/// The same share against requests that return early.
const HORIZON_OF_EARLY: f64 = 1.0;
/// A return that is late by more than this share of the time that a permit is held, and an
/// eighth of its wait, is not expected any more.
const PATIENCE: f64 = 0.5;
/// Weight of one return, or of one that did not happen, in the share of those that return.
const RETURN_WEIGHT: f64 = 1.0 / 16.0;
/// Most returns that are expected at a time, and of them most of requests that look the same.
const MAX_EXPECTED: usize = 4096;
const MAX_ALIKE: usize = 64;

/// A request, as far as it can be known again when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub caller: Caller,
    /// Hash of what a return has in common with the first attempt.
    pub request: u64,
    /// Whether the client says that it asks for the first time.
    pub is_first: bool,
    /// Whether its connection had a refusal less than [`HASTE`] before. Connections are shared by
    /// requests, so this alone is no proof.
    pub is_hasty: bool,
}

/// The refused requests that are expected back.
#[derive(Debug)]
pub(super) struct ExpectedReturns {
    /// In the order of their first refusal.
    expected: Vec<ExpectedReturn>,
    /// The share of refused requests that return.
    returning: f64,
    /// Number of refusals after which no return is expected; it spreads their waits.
    spread: usize,
    limit: usize,
}

/// One that is expected back.
#[derive(Debug)]
struct ExpectedReturn {
    caller: Caller,
    request: u64,
    /// How often it was refused on time, the first attempt included.
    refusals: u32,
    last_refusal: Instant,
    /// Whether its last return came too early: all others go before it.
    is_early: bool,
    due: Instant,
    /// After that it is not expected any more.
    expires: Instant,
}

impl ExpectedReturns {
    /// No return is expected; there are `limit` permits.
    pub fn new(limit: usize) -> Self {
        Self {
            expected: Vec::new(),
            returning: 0.75,
            spread: 0,
            limit: limit.max(1),
        }
    }

    /// How many permits are kept for others than this request. `open_to` is the most that a
    /// caller may still take.
    pub fn reserved(
        &mut self,
        attempt: Attempt,
        turnover: &Turnover,
        now: Instant,
        open_to: impl Fn(Caller) -> usize,
    ) -> usize {
        self.forget_expired(now);
        let own = self.position(attempt, now);
        let before = own.filter(|place| self.expected[*place].is_due(now));
        let horizon = match (own, before) {
            (Some(_), None) => HORIZON_OF_EARLY,
            _ => HORIZON,
        };
        let until = now + turnover.hold(now).mul_f64(horizon);
        let mut by_caller: Vec<(Caller, usize)> = Vec::new();
        for (place, entry) in self.expected.iter().enumerate() {
            let is_other = before.map_or(own != Some(place), |own| place < own);
            if !is_other || entry.due > until {
                continue;
            }
            match by_caller
                .iter_mut()
                .find(|(caller, _)| *caller == entry.caller)
            {
                Some((_, count)) => *count += 1,
                None => by_caller.push((entry.caller, 1)),
            }
        }
        let others = by_caller
            .into_iter()
            .map(|(caller, count)| count.min(open_to(caller)));
        (others.sum::<usize>() as f64 * self.returning).round() as usize
    }

    /// The request got a permit: whether its return was due.
    pub fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        let Some(place) = self.position(attempt, now) else {
            return false;
        };
        self.count_return(1.0);
        self.expected.remove(place).is_due(now)
    }

    /// The request was refused, as all permits are taken or kept: when it is to come back.
    pub fn refuse(&mut self, attempt: Attempt, turnover: &Turnover, now: Instant) -> Duration {
        let interval = turnover.interval(now);
        let hold = turnover.hold(now);
        let own = self.position(attempt, now);
        let place = own.unwrap_or(self.expected.len());
        let ahead = self.expected[..place].iter();
        let ahead = ahead.filter(|entry| !entry.is_early).count();
        let wait = |place: usize, refusals: u32| {
            let before = interval.mul_f64(1.0 + place as f64 * self.returning);
            let margin = hold.mul_f64(MARGIN * f64::from(refusals));
            (before + margin).clamp(MIN_WAIT, MAX_WAIT)
        };
        if let Some(place) = own
            && !self.expected[place].is_due(now)
        {
            let last = now + wait(self.expected.len(), 1);
            let entry = &mut self.expected[place];
            let moved = (entry.due + interval).min(last).max(entry.due);
            entry.expires += moved - entry.due;
            entry.is_early = true;
            entry.due = moved;
            entry.last_refusal = now;
            return (moved - now).max(MIN_WAIT);
        }
        let refusals = own.map_or(1, |place| self.expected[place].refusals + 1);
        let wait = wait(ahead, refusals);
        let mut entry = ExpectedReturn::new(attempt, turnover, wait, now);
        entry.refusals = refusals;
        if let Some(place) = own {
            self.expected[place] = entry;
        } else if self.expected.len() < MAX_EXPECTED && self.alike(attempt) < MAX_ALIKE {
            self.expected.push(entry);
        }
        wait
    }

    /// The request had got its permit and was refused for another reason: when it is to come back,
    /// before all others.
    pub fn put_first(&mut self, attempt: Attempt, turnover: &Turnover, now: Instant) -> Duration {
        let wait = self.pause(turnover, now);
        if self.expected.len() < MAX_EXPECTED && self.alike(attempt) < MAX_ALIKE {
            let entry = ExpectedReturn::new(attempt, turnover, wait, now);
            self.expected.insert(0, entry);
        }
        wait
    }

    /// When to come back after a refusal for another reason than permits: within the time that
    /// one is held, evenly spread.
    pub fn pause(&mut self, turnover: &Turnover, now: Instant) -> Duration {
        self.spread = self.spread.wrapping_add(1);
        let share = (self.spread % self.limit) as f64 / self.limit as f64;
        let wait = turnover.hold(now).mul_f64(MARGIN + share);
        wait.clamp(MIN_WAIT, MAX_WAIT)
    }

    /// The expected return of a request: of several alike one that is due, else the oldest. One that
    /// was refused just now belongs to an attempt in haste, which gets no other unless there is none.
    fn position(&self, attempt: Attempt, now: Instant) -> Option<usize> {
        if attempt.is_first {
            return None;
        }
        let alike = || {
            let expected = self.expected.iter().enumerate();
            expected.filter(|(_, entry)| entry.is_of(attempt))
        };
        let is_fresh = |entry: &ExpectedReturn| now < entry.last_refusal + HASTE;
        if attempt.is_hasty {
            let fresh = alike().filter(|(_, entry)| is_fresh(entry));
            let longest_ago = fresh.min_by_key(|(_, entry)| (!entry.is_early, entry.last_refusal));
            if let Some((place, _)) = longest_ago {
                return Some(place);
            }
        }
        let settled = || alike().filter(|(_, entry)| !is_fresh(entry));
        let due = settled().find(|(_, entry)| entry.is_due(now));
        due.or_else(|| settled().next()).map(|(place, _)| place)
    }

    fn alike(&self, attempt: Attempt) -> usize {
        let alike = self.expected.iter().filter(|entry| entry.is_of(attempt));
        alike.count()
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some(place) = self.expected.iter().position(|entry| entry.expires < now) {
            let expired = self.expected.remove(place);
            // Of several that look the same another may have been taken for it.
            if !self.expected.iter().any(|entry| entry.looks_like(&expired)) {
                self.count_return(0.0);
            }
        }
    }

    fn count_return(&mut self, returned: f64) {
        self.returning += (returned - self.returning) * RETURN_WEIGHT;
    }
}

impl ExpectedReturn {
    fn new(attempt: Attempt, turnover: &Turnover, wait: Duration, now: Instant) -> Self {
        let due = now + wait;
        Self {
            caller: attempt.caller,
            request: attempt.request,
            refusals: 1,
            last_refusal: now,
            is_early: false,
            due,
            expires: due + turnover.hold(now).mul_f64(PATIENCE) + wait / 8,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due <= now + TOLERANCE
    }

    fn looks_like(&self, other: &Self) -> bool {
        (self.caller, self.request) == (other.caller, other.request)
    }

    fn is_of(&self, attempt: Attempt) -> bool {
        (self.caller, self.request) == (attempt.caller, attempt.request)
    }
}

#[cfg(test)]
mod tests;
