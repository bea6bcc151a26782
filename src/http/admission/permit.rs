//! The end of a permit: the request is done, or refused after all.

use std::time::Duration;

use super::{AdmissionPermit, AdmissionState};
use crate::clock::now;
use crate::queue::{Arrival, Retry, WhenFull};

impl AdmissionPermit {
    /// How the request arrives at the queue: if it is full, one that returned on time waits, instead of being
    /// refused again. The permits bound how many wait.
    pub fn arrival(&self) -> Arrival {
        let when_full = if self.is_return {
            WhenFull::Wait
        } else {
            WhenFull::Refuse
        };
        Arrival {
            when_full,
            ticket: self.ticket,
        }
    }

    /// Ends a request that the queue has refused and expects back at its time. Returns the time until then.
    pub fn refuse_until(mut self, retry: Retry) -> Duration {
        self.last_refusal.set(now());
        self.is_refused = true;
        let mut state = self.control.state();
        let AdmissionState {
            returns, turnover, ..
        } = &mut *state;
        returns.expect_at(self.attempt, turnover, retry, now());
        retry.after
    }

    /// Ends a request that exceeds a limit of its caller.
    pub fn refuse_for_limit(mut self) {
        self.last_refusal.set(now());
        self.is_refused = true;
    }

    /// Ends a request that is refused for another reason than permits. Returns the time after which it is
    /// expected back.
    pub fn refuse(mut self) -> Duration {
        self.last_refusal.set(now());
        self.is_refused = true;
        let mut state = self.control.state();
        let AdmissionState {
            returns, turnover, ..
        } = &mut *state;
        returns.expect_first(self.attempt, turnover, now())
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        if let Some(metrics) = &self.in_flight {
            metrics.requests_in_flight.dec();
        }
        let now = now();
        let mut state = self.control.state();
        state.shares.leave(self.attempt.caller);
        if self.is_refused {
            state.turnover.leave_refused(now);
        } else {
            state.turnover.leave(self.entry, now);
        }
    }
}
