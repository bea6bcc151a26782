//! Limits the memory of the decoded audio of all requests.
//!
//! A few kilobytes can decode to hours of PCM, so a limit on uploads does not limit their PCM. A
//! recording that needs more than is left fails at once: recordings that wait while holding memory
//! could deadlock.

use std::sync::Arc;
#[cfg(test)]
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::AudioError;

/// Granularity of a claim, in bytes.
const STEP_BYTES: u64 = 64 * 1024;

/// Memory budget for the decoded audio of all requests.
#[derive(Debug)]
pub struct PcmBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

/// One recording's part of the budget, returned on drop.
#[derive(Debug)]
pub struct PcmClaim {
    budget: Arc<PcmBudget>,
    bytes: AtomicU64,
}

impl PcmBudget {
    /// A budget of `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    /// A budget without a limit, which only counts.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Bytes claimed by all recordings.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// An empty claim.
    #[must_use]
    pub fn claim(self: &Arc<Self>) -> PcmClaim {
        PcmClaim {
            budget: Arc::clone(self),
            bytes: AtomicU64::new(0),
        }
    }
}

impl PcmClaim {
    /// Size of the claim, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Grows or shrinks the claim to `bytes`, rounded up to 64 KiB.
    ///
    /// # Errors
    /// [`AudioError::TooMuchMemory`] if `bytes` exceeds the whole budget, [`AudioError::NoMemory`] if
    /// too little of it is free. The claim is unchanged then.
    pub fn resize(&self, bytes: u64) -> Result<(), AudioError> {
        let budget = &self.budget;
        let new_bytes = bytes.next_multiple_of(STEP_BYTES);
        let old_bytes = self.bytes();
        if new_bytes > old_bytes {
            if bytes > budget.limit_bytes {
                return Err(AudioError::TooMuchMemory {
                    limit_bytes: budget.limit_bytes,
                });
            }
            let add = |used: u64| {
                let used = used + (new_bytes - old_bytes);
                (used <= budget.limit_bytes).then_some(used)
            };
            let result = budget
                .used_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            if result.is_err() {
                return Err(AudioError::NoMemory {
                    limit_bytes: budget.limit_bytes,
                });
            }
        } else {
            budget
                .used_bytes
                .fetch_sub(old_bytes - new_bytes, Ordering::Relaxed);
        }
        self.bytes.store(new_bytes, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
impl PcmClaim {
    /// A claim on an unlimited budget.
    pub fn unlimited() -> &'static Self {
        static CLAIM: LazyLock<PcmClaim> =
            LazyLock::new(|| Arc::new(PcmBudget::unlimited()).claim());
        &CLAIM
    }
}

impl Drop for PcmClaim {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.budget.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_returned_on_drop() {
        let budget = Arc::new(PcmBudget::new(10 * STEP_BYTES));
        let first = budget.claim();
        let second = budget.claim();
        first.resize(6 * STEP_BYTES).unwrap();
        second.resize(4 * STEP_BYTES).unwrap();
        assert_eq!(budget.used_bytes(), 10 * STEP_BYTES);
        first.resize(1).unwrap();
        assert_eq!(budget.used_bytes(), 5 * STEP_BYTES);
        drop(first);
        assert_eq!(budget.used_bytes(), 4 * STEP_BYTES);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn distinguishes_a_claim_over_the_budget_from_a_full_budget() {
        let budget = Arc::new(PcmBudget::new(10 * STEP_BYTES));
        let (first, second) = (budget.claim(), budget.claim());
        first.resize(6 * STEP_BYTES).unwrap();
        second.resize(2 * STEP_BYTES).unwrap();
        let together = second.resize(4 * STEP_BYTES + 1).unwrap_err();
        assert!(
            matches!(together, AudioError::NoMemory { .. }),
            "{together}"
        );
        assert_eq!(budget.used_bytes(), 8 * STEP_BYTES);
        let alone = second.resize(10 * STEP_BYTES + 1).unwrap_err();
        assert!(matches!(alone, AudioError::TooMuchMemory { .. }), "{alone}");
        second.resize(4 * STEP_BYTES).unwrap();
    }
}
