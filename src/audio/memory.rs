//! Bounds the memory that the decoded audio of all requests takes together.
//!
//! A few kilobytes of silence are hours of PCM, so no bound on uploads bounds what comes out of them.
//! Every recording counts what it holds. One that needs more than is left is refused at once: waiting
//! recordings that each hold a part could block one another.

use std::sync::Arc;
#[cfg(test)]
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::AudioError;

/// Granularity of a claim, in bytes.
const STEP_BYTES: u64 = 64 * 1024;

/// What the decoded audio of all requests may take.
#[derive(Debug)]
pub struct MemoryBudget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
}

/// What one recording holds of a budget; dropping it gives that back.
#[derive(Debug)]
pub struct MemoryClaim {
    budget: Arc<MemoryBudget>,
    bytes: AtomicU64,
}

impl MemoryBudget {
    /// A budget of `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    /// A budget without a bound, which only counts.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// What it bounds, in bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// What all recordings hold now, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// A claim to nothing yet.
    #[must_use]
    pub fn claim(self: &Arc<Self>) -> MemoryClaim {
        MemoryClaim {
            budget: Arc::clone(self),
            bytes: AtomicU64::new(0),
        }
    }
}

impl MemoryClaim {
    /// What it holds, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Sets the size of the claim to `bytes`, larger or smaller than before.
    ///
    /// # Errors
    /// [`AudioError::TooMuchMemory`] where that is more than the whole budget,
    /// [`AudioError::NoMemory`] where others hold too much of it; the claim is what it was.
    pub fn hold(&self, bytes: u64) -> Result<(), AudioError> {
        let budget = &self.budget;
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        let held = self.held_bytes();
        if wanted > held {
            if bytes > budget.limit_bytes {
                return Err(AudioError::TooMuchMemory {
                    limit_bytes: budget.limit_bytes,
                });
            }
            let take = |used: u64| {
                let used = used + (wanted - held);
                (used <= budget.limit_bytes).then_some(used)
            };
            let taken = budget
                .used_bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            if taken.is_err() {
                return Err(AudioError::NoMemory {
                    limit_bytes: budget.limit_bytes,
                });
            }
        } else {
            budget
                .used_bytes
                .fetch_sub(held - wanted, Ordering::Relaxed);
        }
        self.bytes.store(wanted, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
impl MemoryClaim {
    /// A claim without a bound, for tests.
    pub fn unlimited() -> &'static Self {
        static CLAIM: LazyLock<MemoryClaim> =
            LazyLock::new(|| Arc::new(MemoryBudget::unlimited()).claim());
        &CLAIM
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.budget.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Arc::new(MemoryBudget::new(10 * STEP_BYTES));
        let first = budget.claim();
        let second = budget.claim();
        first.hold(6 * STEP_BYTES).unwrap();
        second.hold(4 * STEP_BYTES).unwrap();
        assert_eq!(budget.used_bytes(), 10 * STEP_BYTES);
        first.hold(1).unwrap();
        assert_eq!(budget.used_bytes(), 5 * STEP_BYTES);
        drop(first);
        assert_eq!(budget.used_bytes(), 4 * STEP_BYTES);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn too_much_alone_is_told_apart_from_too_much_together() {
        let budget = Arc::new(MemoryBudget::new(10 * STEP_BYTES));
        let (first, second) = (budget.claim(), budget.claim());
        first.hold(6 * STEP_BYTES).unwrap();
        second.hold(2 * STEP_BYTES).unwrap();
        let together = second.hold(4 * STEP_BYTES + 1).unwrap_err();
        assert!(
            matches!(together, AudioError::NoMemory { .. }),
            "{together}"
        );
        assert_eq!(budget.used_bytes(), 8 * STEP_BYTES);
        let alone = second.hold(10 * STEP_BYTES + 1).unwrap_err();
        assert!(matches!(alone, AudioError::TooMuchMemory { .. }), "{alone}");
        second.hold(4 * STEP_BYTES).unwrap();
    }
}
