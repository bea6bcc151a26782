//! Requests that were refused and expected back, as a decision without a clock.
//!
//! A refusal tells when to come back: permits become free one after the other, and so do the
//! refused requests return, instead of all at once. For one that returns when it was told to,
//! a permit is kept; one that returns earlier gets what nobody is expected for, and each early
//! return moves it back by one permit, up to the end of the line, so that asking again and again
//! gains nothing.

use std::time::{Duration, Instant};

use super::turnover::Turnover;
use crate::caller::Caller;

/// Longest wait that a refusal names: OpenAI's SDKs do not obey longer ones.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Shortest one.
const MIN_WAIT: Duration = Duration::from_millis(100);
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
const MAX_TICKETS: usize = 4096;
const MAX_ALIKE: usize = 64;

/// A request, as far as it can be known again when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub caller: Caller,
    /// Hash of what a return has in common with the first attempt.
    pub request: u64,
    /// Whether the client says that it asks for the first time.
    pub is_first: bool,
}

/// The refused requests that are expected back.
#[derive(Debug)]
pub(super) struct Line {
    /// In the order of their first refusal.
    tickets: Vec<Ticket>,
    /// The share of refused requests that return.
    returning: f64,
    /// Number of refusals without a ticket, which spreads them.
    spread: usize,
    limit: usize,
}

/// One that is expected back.
#[derive(Debug)]
struct Ticket {
    caller: Caller,
    request: u64,
    /// How often it was refused although it came when it was told to, the first time included.
    refusals: u32,
    due: Instant,
    /// After that it is not expected any more.
    expires: Instant,
}

impl Line {
    /// An empty line before `limit` permits.
    pub fn new(limit: usize) -> Self {
        Self {
            tickets: Vec::new(),
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
        let before = own.filter(|place| self.tickets[*place].is_due(now));
        let horizon = match (own, before) {
            (Some(_), None) => HORIZON_OF_EARLY,
            _ => HORIZON,
        };
        let until = now + turnover.hold(now).mul_f64(horizon);
        let mut expected: Vec<(Caller, usize)> = Vec::new();
        for (place, ticket) in self.tickets.iter().enumerate() {
            let is_other = before.map_or(own != Some(place), |own| place < own);
            if !is_other || ticket.due > until {
                continue;
            }
            match expected
                .iter_mut()
                .find(|(caller, _)| *caller == ticket.caller)
            {
                Some((_, count)) => *count += 1,
                None => expected.push((ticket.caller, 1)),
            }
        }
        let expected = expected
            .into_iter()
            .map(|(caller, count)| count.min(open_to(caller)));
        (expected.sum::<usize>() as f64 * self.returning).round() as usize
    }

    /// The request got a permit.
    pub fn enter(&mut self, attempt: Attempt, now: Instant) {
        if let Some(place) = self.position(attempt, now) {
            self.tickets.remove(place);
            self.count_return(1.0);
        }
    }

    /// The request was refused, as all permits are taken or kept: when it is to come back.
    pub fn refuse(&mut self, attempt: Attempt, turnover: &Turnover, now: Instant) -> Duration {
        let interval = turnover.interval(now);
        let hold = turnover.hold(now);
        let own = self.position(attempt, now);
        let place = own.unwrap_or(self.tickets.len());
        let wait = |place: usize, refusals: u32| {
            let before = interval.mul_f64(1.0 + place as f64 * self.returning);
            let margin = hold.mul_f64(MARGIN * f64::from(refusals));
            (before + margin).clamp(MIN_WAIT, MAX_WAIT)
        };
        if let Some(place) = own
            && !self.tickets[place].is_due(now)
        {
            let last = now + wait(self.tickets.len(), 1);
            let ticket = &mut self.tickets[place];
            let moved = (ticket.due + interval).min(last).max(ticket.due);
            ticket.expires += moved - ticket.due;
            ticket.due = moved;
            return (moved - now).max(MIN_WAIT);
        }
        let refusals = own.map_or(1, |place| self.tickets[place].refusals + 1);
        let wait = wait(place, refusals);
        let mut ticket = Ticket::new(attempt, turnover, wait, now);
        ticket.refusals = refusals;
        if let Some(place) = own {
            self.tickets[place] = ticket;
        } else if self.tickets.len() < MAX_TICKETS && self.alike(attempt) < MAX_ALIKE {
            self.tickets.push(ticket);
        }
        wait
    }

    /// The request had got its permit and was refused for another reason: when it is to come back,
    /// before all others.
    pub fn put_first(&mut self, attempt: Attempt, turnover: &Turnover, now: Instant) -> Duration {
        let wait = self.pause(turnover, now);
        if self.tickets.len() < MAX_TICKETS && self.alike(attempt) < MAX_ALIKE {
            let ticket = Ticket::new(attempt, turnover, wait, now);
            self.tickets.insert(0, ticket);
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

    /// The ticket of a request: of several alike the one that is due, else the oldest.
    fn position(&self, attempt: Attempt, now: Instant) -> Option<usize> {
        if attempt.is_first {
            return None;
        }
        let alike = |ticket: &Ticket| ticket.is_of(attempt);
        let due = |ticket: &Ticket| alike(ticket) && ticket.is_due(now);
        let tickets = || self.tickets.iter();
        tickets()
            .position(due)
            .or_else(|| tickets().position(alike))
    }

    fn alike(&self, attempt: Attempt) -> usize {
        let alike = self.tickets.iter().filter(|ticket| ticket.is_of(attempt));
        alike.count()
    }

    fn forget_expired(&mut self, now: Instant) {
        let before = self.tickets.len();
        self.tickets.retain(|ticket| ticket.expires >= now);
        for _ in self.tickets.len()..before {
            self.count_return(0.0);
        }
    }

    fn count_return(&mut self, returned: f64) {
        self.returning += (returned - self.returning) * RETURN_WEIGHT;
    }
}

impl Ticket {
    fn new(attempt: Attempt, turnover: &Turnover, wait: Duration, now: Instant) -> Self {
        let due = now + wait;
        Self {
            caller: attempt.caller,
            request: attempt.request,
            refusals: 1,
            due,
            expires: due + turnover.hold(now).mul_f64(PATIENCE) + wait / 8,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due <= now + TOLERANCE
    }

    fn is_of(&self, attempt: Attempt) -> bool {
        (self.caller, self.request) == (attempt.caller, attempt.request)
    }
}

#[cfg(test)]
mod tests;
