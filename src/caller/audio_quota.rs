//! Limits the audio of a caller per minute, without a clock.
//!
//! Each caller has a balance of at most a minute's quota, which is refilled evenly. A recording of any length is accepted
//! while the balance is above zero, and its length is subtracted: after a recording of ten minutes' quota the caller
//! waits for ten minutes. So its length need not be known before it is read.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Caller;

/// Counts the audio of every caller.
#[derive(Debug)]
pub struct AudioQuota {
    seconds_per_minute: NonZeroU32,
    balances: Mutex<HashMap<Caller, Balance>>,
}

/// The caller has no audio left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("caller's limit of {seconds_per_minute} seconds of audio per minute is reached")]
pub struct AudioQuotaExceeded {
    /// Limit, in seconds of audio per minute.
    pub seconds_per_minute: NonZeroU32,
    /// Time until the next recording is accepted.
    pub wait: Duration,
}

/// The audio that a caller may send, in seconds; below zero after a recording that was longer.
#[derive(Clone, Copy, Debug)]
struct Balance {
    seconds: f64,
    at: Instant,
}

/// Number of callers above which those with a full balance are removed.
const MAX_CALLERS: usize = 1024;

/// The least balance with which a recording is accepted. The retry time of a refusal is that for twice as much, so that
/// rounding does not refuse it again.
const MIN_BALANCE_S: f64 = 1e-3;

impl AudioQuota {
    /// A quota for each caller.
    #[must_use]
    pub fn new(seconds_per_minute: NonZeroU32) -> Self {
        Self {
            seconds_per_minute,
            balances: Mutex::default(),
        }
    }

    /// Whether a recording of the caller would be accepted now.
    ///
    /// # Errors
    /// [`AudioQuotaExceeded`] if not.
    pub fn check(&self, caller: Caller, now: Instant) -> Result<(), AudioQuotaExceeded> {
        let balance = self.balances().get(&caller).copied();
        balance.map_or(Ok(()), |balance| self.accept(self.balance(balance, now)))
    }

    /// Counts a recording of the caller.
    ///
    /// # Errors
    /// [`AudioQuotaExceeded`] if the caller has no audio left; the recording is not counted.
    pub fn count(
        &self,
        caller: Caller,
        audio: Duration,
        now: Instant,
    ) -> Result<(), AudioQuotaExceeded> {
        let mut balances = self.balances();
        if balances.len() >= MAX_CALLERS && !balances.contains_key(&caller) {
            balances.retain(|_, balance| self.balance(*balance, now) < self.full());
        }
        let full = Balance {
            seconds: self.full(),
            at: now,
        };
        let entry = balances.entry(caller).or_insert(full);
        let seconds = self.balance(*entry, now);
        self.accept(seconds)?;
        *entry = Balance {
            seconds: seconds - audio.as_secs_f64(),
            at: now,
        };
        Ok(())
    }

    fn accept(&self, balance_s: f64) -> Result<(), AudioQuotaExceeded> {
        if balance_s >= MIN_BALANCE_S {
            return Ok(());
        }
        Err(AudioQuotaExceeded {
            seconds_per_minute: self.seconds_per_minute,
            wait: Duration::from_secs_f64((2.0 * MIN_BALANCE_S - balance_s) / self.per_second()),
        })
    }

    fn balance(&self, balance: Balance, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(balance.at);
        let refilled = balance.seconds + self.per_second() * passed.as_secs_f64();
        refilled.min(self.full())
    }

    fn full(&self) -> f64 {
        f64::from(self.seconds_per_minute.get())
    }

    fn per_second(&self) -> f64 {
        self.full() / 60.0
    }

    fn balances(&self) -> MutexGuard<'_, HashMap<Caller, Balance>> {
        // Usable also after a panic: each balance is replaced as a whole.
        self.balances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Caller = Caller::Key(0);

    fn quota() -> AudioQuota {
        AudioQuota::new(NonZeroU32::new(60).unwrap())
    }

    fn count(quota: &AudioQuota, seconds: u64, now: Instant) -> Result<(), u64> {
        let counted = quota.count(ALICE, Duration::from_secs(seconds), now);
        counted.map_err(|exceeded| exceeded.wait.as_secs())
    }

    #[test]
    fn a_minutes_quota_is_accepted_at_once_and_then_as_it_is_refilled() {
        let (quota, start) = (quota(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert_eq!(count(&quota, 20, start), Ok(()));
        }
        assert_eq!(count(&quota, 1, start), Err(0));
        assert_eq!(count(&quota, 20, at(5)), Ok(()));
        assert_eq!(count(&quota, 1, at(5)), Err(15));
        // A refused recording is not counted, and a pause fills no more than a minute's quota.
        assert_eq!(count(&quota, 60, at(1000)), Ok(()));
        assert_eq!(count(&quota, 1, at(1000)), Err(0));
    }

    #[test]
    fn a_long_recording_is_accepted_and_paid_for_later() {
        let (quota, start) = (quota(), Instant::now());
        assert_eq!(count(&quota, 600, start), Ok(()));
        let exceeded = quota.check(ALICE, start).unwrap_err();
        assert_eq!(exceeded.wait.as_secs(), 540);
        assert_eq!(quota.check(Caller::Key(1), start), Ok(()));
        assert_eq!(quota.check(ALICE, start + exceeded.wait), Ok(()));
    }

    #[test]
    fn callers_with_a_full_balance_are_forgotten() {
        let (quota, start) = (quota(), Instant::now());
        for key in 0..MAX_CALLERS {
            quota
                .count(Caller::Key(key), Duration::from_secs(1), start)
                .unwrap();
        }
        let later = start + Duration::from_secs(2);
        quota
            .count(Caller::Key(MAX_CALLERS), Duration::ZERO, later)
            .unwrap();
        assert_eq!(quota.balances().len(), 1);
    }
}
