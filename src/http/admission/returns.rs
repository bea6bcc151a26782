//! Decides when refused requests return and which permits are reserved for them, without a clock.
//!
//! A refusal names a time to return, so that refused requests return one after the other, as
//! permits become free, instead of all at once. A permit is reserved for a request that returns on
//! time. A request that returns early gets only a permit that no other return needs, and each
//! early return delays it by one permit, up to the last expected return, so that frequent retries
//! gain nothing. An early return does not take the turn of another request that looks the same: it
//! is recognised by its connection, on which a refusal was sent less than the shortest wait before.
//!
//! The queue of a model on a CPU tells its own times, by audio and speed (`schedule/promises.rs`); a request that it has
//! refused is recognised here as well, and brings its ticket back to it.

use std::time::{Duration, Instant};

use super::turnover::Turnover;
use crate::caller::Caller;
use crate::queue::{Retry, ReturnTicket};

/// Longest wait that a refusal names: OpenAI's SDKs ignore longer ones.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Shortest wait that a refusal names.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// A request within this time after a refusal has not waited as the refusal demanded.
pub(super) const HASTY_WITHIN: Duration = Duration::from_millis(80);
/// A return that is early by no more than this is on time: timers and networks are not exact.
const TOLERANCE: Duration = Duration::from_millis(20);
/// A wait exceeds the estimate by this share of the hold time of a permit for each refusal, because
/// most clients retry only a few times.
const MARGIN: f64 = 0.35;
/// Permits are reserved for returns that are due within this share of the hold time of a permit,
/// because a batch that ends frees several at once.
const HORIZON: f64 = 0.3;
/// The same share when the request returns early.
const EARLY_HORIZON: f64 = 1.0;
/// A return expires when it is late by this share of the hold time of a permit plus an eighth of
/// its wait.
const EXPIRY: f64 = 0.5;
/// Weight of one return, or of one that expired, in the mean share of requests that return.
const RETURN_WEIGHT: f64 = 1.0 / 16.0;
/// Maximum number of expected returns.
const MAX_EXPECTED: usize = 4096;
/// Maximum number of expected returns of requests that look the same.
const MAX_ALIKE: usize = 64;

/// An attempt of a request, with the properties that identify the request when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub caller: Caller,
    /// Hash of the properties that all attempts of a request share.
    pub request: u64,
    /// Whether the client declares this as its first attempt.
    pub is_first: bool,
    /// Whether a refusal was sent on its connection less than [`HASTY_WITHIN`] before. That alone is
    /// no proof of an early return, because requests share connections.
    pub is_hasty: bool,
}

/// The refused requests that are expected back.
#[derive(Debug)]
pub(super) struct ExpectedReturns {
    /// In order of the first refusal.
    expected: Vec<ExpectedReturn>,
    /// Mean share of refused requests that return, 0 to 1.
    returning: f64,
    /// Number of refusals after which no return is expected; it spreads their waits.
    spread: usize,
    limit: usize,
}

/// A refused request that is expected back.
#[derive(Debug)]
struct ExpectedReturn {
    caller: Caller,
    request: u64,
    /// Number of refusals of attempts that were on time, including the first attempt.
    refusals: u32,
    last_refusal: Instant,
    /// Whether its last attempt was early: all others precede it.
    is_early: bool,
    due: Instant,
    /// When it is no longer expected.
    expires: Instant,
    /// For the queue that has given the time.
    ticket: Option<ReturnTicket>,
}

impl ExpectedReturns {
    /// Creates an empty list for `limit` permits.
    pub fn new(limit: usize) -> Self {
        Self {
            expected: Vec::new(),
            returning: 0.75,
            spread: 0,
            limit: limit.max(1),
        }
    }

    /// Number of permits that are reserved for other requests. `open_to` returns how many permits a
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
        let due = own.filter(|index| self.expected[*index].is_due(now));
        let horizon = match (own, due) {
            (Some(_), None) => EARLY_HORIZON,
            _ => HORIZON,
        };
        let until = now + turnover.hold(now).mul_f64(horizon);
        let mut by_caller: Vec<(Caller, usize)> = Vec::new();
        for (index, entry) in self.expected.iter().enumerate() {
            let is_other = due.map_or(own != Some(index), |own| index < own);
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

    /// Records that the request got a permit; returns whether its return was due.
    pub fn enter(&mut self, attempt: Attempt, now: Instant) -> bool {
        let Some(index) = self.position(attempt, now) else {
            return false;
        };
        self.count_return(1.0);
        self.expected.remove(index).is_due(now)
    }

    /// Records that the request was refused because all permits are taken or reserved. Returns the
    /// time after which it is expected back.
    pub fn refuse(&mut self, attempt: Attempt, turnover: &Turnover, now: Instant) -> Duration {
        let interval = turnover.interval(now);
        let hold = turnover.hold(now);
        let own = self.position(attempt, now);
        let index = own.unwrap_or(self.expected.len());
        let ahead = self.expected[..index].iter();
        let ahead = ahead.filter(|entry| !entry.is_early).count();
        let wait = |index: usize, refusals: u32| {
            let before = interval.mul_f64(1.0 + index as f64 * self.returning);
            let margin = hold.mul_f64(MARGIN * f64::from(refusals));
            (before + margin).clamp(MIN_WAIT, MAX_WAIT)
        };
        if let Some(index) = own
            && !self.expected[index].is_due(now)
        {
            let last = now + wait(self.expected.len(), 1);
            let entry = &mut self.expected[index];
            let moved = (entry.due + interval).min(last).max(entry.due);
            entry.expires += moved - entry.due;
            entry.is_early = true;
            entry.due = moved;
            entry.last_refusal = now;
            return (moved - now).max(MIN_WAIT);
        }
        let refusals = own.map_or(1, |index| self.expected[index].refusals + 1);
        let wait = wait(ahead, refusals);
        let mut entry = ExpectedReturn::new(attempt, turnover, wait, now);
        entry.refusals = refusals;
        entry.ticket = own.and_then(|index| self.expected[index].ticket);
        if let Some(index) = own {
            self.expected[index] = entry;
        } else if self.expected.len() < MAX_EXPECTED && self.alike(attempt) < MAX_ALIKE {
            self.expected.push(entry);
        }
        wait
    }

    /// Records that the request was refused for another reason after it had got a permit: it is
    /// expected before all others. Returns the time after which it is expected back.
    pub fn expect_first(
        &mut self,
        attempt: Attempt,
        turnover: &Turnover,
        now: Instant,
    ) -> Duration {
        let wait = self.spread_wait(turnover, now);
        let retry = Retry {
            after: wait,
            ticket: None,
        };
        self.expect_at(attempt, turnover, retry, now);
        wait
    }

    /// Records that the queue has refused the request after it had got a permit, and has given it a return time: it is
    /// expected then, before all others.
    pub fn expect_at(&mut self, attempt: Attempt, turnover: &Turnover, retry: Retry, now: Instant) {
        if self.expected.len() < MAX_EXPECTED && self.alike(attempt) < MAX_ALIKE {
            let mut entry = ExpectedReturn::new(attempt, turnover, retry.after, now);
            entry.ticket = retry.ticket;
            self.expected.insert(0, entry);
        }
    }

    /// What the queue has to be shown when the request gets a permit; to be called before [`Self::enter`].
    pub fn ticket(&self, attempt: Attempt, now: Instant) -> Option<ReturnTicket> {
        let index = self.position(attempt, now)?;
        self.expected[index].ticket
    }

    /// The wait after a refusal for another reason than permits, evenly spread over the hold time of
    /// a permit.
    pub fn spread_wait(&mut self, turnover: &Turnover, now: Instant) -> Duration {
        self.spread = self.spread.wrapping_add(1);
        let share = (self.spread % self.limit) as f64 / self.limit as f64;
        let wait = turnover.hold(now).mul_f64(MARGIN + share);
        wait.clamp(MIN_WAIT, MAX_WAIT)
    }

    /// The expected return of a request: of several that look the same one that is due, or else the
    /// oldest. Those refused just now are left to hasty attempts, which get another one only if there
    /// is none of them.
    fn position(&self, attempt: Attempt, now: Instant) -> Option<usize> {
        if attempt.is_first {
            return None;
        }
        let alike = || {
            let expected = self.expected.iter().enumerate();
            expected.filter(|(_, entry)| entry.is_of(attempt))
        };
        let is_fresh = |entry: &ExpectedReturn| now < entry.last_refusal + HASTY_WITHIN;
        if attempt.is_hasty {
            let fresh = alike().filter(|(_, entry)| is_fresh(entry));
            let longest_ago = fresh.min_by_key(|(_, entry)| (!entry.is_early, entry.last_refusal));
            if let Some((index, _)) = longest_ago {
                return Some(index);
            }
        }
        let settled = || alike().filter(|(_, entry)| !is_fresh(entry));
        let due = settled().find(|(_, entry)| entry.is_due(now));
        due.or_else(|| settled().next()).map(|(index, _)| index)
    }

    fn alike(&self, attempt: Attempt) -> usize {
        let alike = self.expected.iter().filter(|entry| entry.is_of(attempt));
        alike.count()
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some(index) = self.expected.iter().position(|entry| entry.expires < now) {
            let expired = self.expected.remove(index);
            // If others look the same, it may have returned and been taken for one of them.
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
            expires: due + turnover.hold(now).mul_f64(EXPIRY) + wait / 8,
            ticket: None,
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
