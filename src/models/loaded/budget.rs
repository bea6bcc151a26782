//! Decides whether a model may be loaded within the budget. Pure: no clock.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Instant;

use super::ModelId;

/// Bounds on the models in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelBudget {
    /// Maximum number of models; none: no bound.
    pub models: Option<NonZeroUsize>,
    /// Maximum size of their weights together, in bytes; none: no bound.
    pub memory_bytes: Option<NonZeroU64>,
}

/// A model that counts against the budget.
pub(super) struct MemoryHolder<'a> {
    pub id: &'a ModelId,
    pub memory_bytes: u64,
    pub usage: Usage,
}

/// How a model is being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// It has a lease, or is being loaded.
    InUse,
    /// It has had no lease since then.
    Idle(Instant),
    /// It is being unloaded; its memory is free once its engines have ended.
    Unloading,
}

/// Whether another model may be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoadDecision {
    /// It may be loaded now.
    LoadNow,
    /// This model, the least recently used, is unloaded first; then decide again.
    UnloadFirst(ModelId),
    /// Wait until the models that are being unloaded are gone.
    WaitForUnload,
    /// Wait until a model is idle.
    WaitForIdle,
}

impl ModelBudget {
    /// The memory limit in bytes, if a single model of this size exceeds it.
    pub(super) fn exceeded_limit(&self, memory_bytes: u64) -> Option<u64> {
        let limit = self.memory_bytes?.get();
        (memory_bytes > limit).then_some(limit)
    }

    /// Whether a model of `needed_bytes` may be loaded in addition to `holders`.
    pub(super) fn decide_load<'a>(
        &self,
        needed_bytes: u64,
        holders: impl Iterator<Item = MemoryHolder<'a>>,
    ) -> LoadDecision {
        let holders: Vec<_> = holders.collect();
        let fits_with = |counts: fn(&MemoryHolder<'_>) -> bool| {
            let counted = holders.iter().filter(|holder| counts(holder));
            let used_bytes: u64 = counted.clone().map(|holder| holder.memory_bytes).sum();
            self.models
                .is_none_or(|limit| counted.count() < limit.get())
                && (self.memory_bytes).is_none_or(|limit| used_bytes + needed_bytes <= limit.get())
        };
        if fits_with(|_| true) {
            return LoadDecision::LoadNow;
        }
        if fits_with(|holder| holder.usage != Usage::Unloading) {
            return LoadDecision::WaitForUnload;
        }
        let idle = holders.iter().filter_map(|holder| match holder.usage {
            Usage::Idle(since) => Some((since, holder.id)),
            Usage::InUse | Usage::Unloading => None,
        });
        match idle.min_by_key(|(since, _)| *since) {
            Some((_, victim)) => LoadDecision::UnloadFirst(victim.clone()),
            None => LoadDecision::WaitForIdle,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TWO: ModelBudget = ModelBudget {
        models: NonZeroUsize::new(2),
        memory_bytes: None,
    };
    const TEN_BYTES: ModelBudget = ModelBudget {
        models: None,
        memory_bytes: NonZeroU64::new(10),
    };

    /// Models as (name, bytes, usage).
    #[track_caller]
    fn check(
        budget: ModelBudget,
        holders: &[(&str, u64, Usage)],
        needed_bytes: u64,
        expected: &LoadDecision,
    ) {
        let ids: Vec<_> = holders
            .iter()
            .map(|(id, ..)| ModelId::parse(id).unwrap())
            .collect();
        let holders = holders
            .iter()
            .zip(&ids)
            .map(|((_, memory_bytes, usage), id)| MemoryHolder {
                id,
                memory_bytes: *memory_bytes,
                usage: *usage,
            });
        assert_eq!(&budget.decide_load(needed_bytes, holders), expected);
    }

    fn unload_first(id: &str) -> LoadDecision {
        LoadDecision::UnloadFirst(ModelId::parse(id).unwrap())
    }

    #[test]
    fn the_least_recently_used_idle_model_is_unloaded_first() {
        let early = Instant::now();
        let (late, in_use) = (Usage::Idle(early + Duration::from_secs(1)), Usage::InUse);
        let early = Usage::Idle(early);
        check(TWO, &[], 9, &LoadDecision::LoadNow);
        check(TWO, &[("a", 1, in_use)], 9, &LoadDecision::LoadNow);
        check(
            TWO,
            &[("a", 1, late), ("b", 1, early)],
            9,
            &unload_first("b"),
        );
        check(
            TWO,
            &[("a", 1, late), ("b", 1, in_use)],
            9,
            &unload_first("a"),
        );
        let both_in_use = [("a", 1, in_use), ("b", 1, in_use)];
        check(TWO, &both_in_use, 9, &LoadDecision::WaitForIdle);

        check(TEN_BYTES, &[("a", 4, in_use)], 6, &LoadDecision::LoadNow);
        check(
            TEN_BYTES,
            &[("a", 4, in_use)],
            7,
            &LoadDecision::WaitForIdle,
        );
        check(
            TEN_BYTES,
            &[("a", 4, late), ("b", 4, early)],
            7,
            &unload_first("b"),
        );

        let no_bounds = ModelBudget::default();
        check(
            no_bounds,
            &[("a", 1 << 40, in_use)],
            1 << 40,
            &LoadDecision::LoadNow,
        );
    }

    #[test]
    fn a_model_that_is_being_unloaded_counts_until_it_is_gone() {
        let (unloading, idle) = (Usage::Unloading, Usage::Idle(Instant::now()));
        // No further model is unloaded if the one being unloaded frees enough.
        let holders = [("a", 1, unloading), ("b", 1, idle)];
        check(TWO, &holders, 9, &LoadDecision::WaitForUnload);
        let holders = [("a", 4, unloading), ("b", 4, idle)];
        check(TEN_BYTES, &holders, 6, &LoadDecision::WaitForUnload);
        check(TEN_BYTES, &holders, 7, &unload_first("b"));
        let holders = [("a", 4, unloading), ("b", 4, Usage::InUse)];
        check(TEN_BYTES, &holders, 7, &LoadDecision::WaitForIdle);
    }

    #[test]
    fn a_single_model_may_exceed_the_limit() {
        assert_eq!(TEN_BYTES.exceeded_limit(10), None);
        assert_eq!(TEN_BYTES.exceeded_limit(11), Some(10));
        assert_eq!(ModelBudget::default().exceeded_limit(u64::MAX), None);
    }
}
