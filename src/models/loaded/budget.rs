//! What may be in memory at one time, as a decision without a clock.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Instant;

use super::ModelId;

/// Bounds on the models in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Number of models; none: no bound.
    pub models: Option<NonZeroUsize>,
    /// Their weights together, in bytes; none: no bound.
    pub memory_bytes: Option<NonZeroU64>,
}

/// A model that takes a part of the budget.
pub(super) struct Held<'a> {
    pub id: &'a ModelId,
    pub memory_bytes: u64,
    pub usage: Usage,
}

/// How a model is being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// A request holds it, or it is being loaded.
    InUse,
    /// Nobody has used it since then.
    Idle(Instant),
    /// It is being unloaded; its memory is free once its engines have ended.
    Closing,
}

/// Whether another model may be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may.
    Free,
    /// Once this one is unloaded, or more of them after it: the least recently used.
    After(ModelId),
    /// Once the models that are being unloaded are gone.
    AfterClosing,
    /// Not before a model is idle.
    AfterIdle,
}

impl Budget {
    /// The bound on memory, where one model of this size is above it alone.
    pub(super) fn exceeded_by_one(&self, memory_bytes: u64) -> Option<u64> {
        let limit = self.memory_bytes?.get();
        (memory_bytes > limit).then_some(limit)
    }

    /// Whether a model of `needed` bytes may be loaded beside those that are `held`.
    pub(super) fn room_for<'a>(&self, needed: u64, held: impl Iterator<Item = Held<'a>>) -> Room {
        let held: Vec<_> = held.collect();
        let fits_beside = |counts: fn(&Held<'_>) -> bool| {
            let counted = held.iter().filter(|held| counts(held));
            let memory_bytes: u64 = counted.clone().map(|held| held.memory_bytes).sum();
            self.models.is_none_or(|most| counted.count() < most.get())
                && (self.memory_bytes).is_none_or(|most| memory_bytes + needed <= most.get())
        };
        if fits_beside(|_| true) {
            return Room::Free;
        }
        if fits_beside(|held| held.usage != Usage::Closing) {
            return Room::AfterClosing;
        }
        let idle = held.iter().filter_map(|held| match held.usage {
            Usage::Idle(since) => Some((since, held.id)),
            Usage::InUse | Usage::Closing => None,
        });
        match idle.min_by_key(|(since, _)| *since) {
            Some((_, victim)) => Room::After(victim.clone()),
            None => Room::AfterIdle,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TWO: Budget = Budget {
        models: NonZeroUsize::new(2),
        memory_bytes: None,
    };
    const TEN_BYTES: Budget = Budget {
        models: None,
        memory_bytes: NonZeroU64::new(10),
    };

    /// Models as (name, bytes, usage).
    #[track_caller]
    fn check(budget: Budget, held: &[(&str, u64, Usage)], needed: u64, room: &Room) {
        let ids: Vec<_> = held
            .iter()
            .map(|(id, ..)| ModelId::parse(id).unwrap())
            .collect();
        let held = held
            .iter()
            .zip(&ids)
            .map(|((_, memory_bytes, usage), id)| Held {
                id,
                memory_bytes: *memory_bytes,
                usage: *usage,
            });
        assert_eq!(&budget.room_for(needed, held), room);
    }

    fn after(id: &str) -> Room {
        Room::After(ModelId::parse(id).unwrap())
    }

    #[test]
    fn the_least_recently_used_idle_model_makes_room() {
        let early = Instant::now();
        let (late, in_use) = (Usage::Idle(early + Duration::from_secs(1)), Usage::InUse);
        let early = Usage::Idle(early);
        check(TWO, &[], 9, &Room::Free);
        check(TWO, &[("a", 1, in_use)], 9, &Room::Free);
        check(TWO, &[("a", 1, late), ("b", 1, early)], 9, &after("b"));
        check(TWO, &[("a", 1, late), ("b", 1, in_use)], 9, &after("a"));
        let both_in_use = [("a", 1, in_use), ("b", 1, in_use)];
        check(TWO, &both_in_use, 9, &Room::AfterIdle);

        check(TEN_BYTES, &[("a", 4, in_use)], 6, &Room::Free);
        check(TEN_BYTES, &[("a", 4, in_use)], 7, &Room::AfterIdle);
        check(
            TEN_BYTES,
            &[("a", 4, late), ("b", 4, early)],
            7,
            &after("b"),
        );

        let no_bounds = Budget::default();
        check(no_bounds, &[("a", 1 << 40, in_use)], 1 << 40, &Room::Free);
    }

    #[test]
    fn a_model_that_is_being_unloaded_counts_until_it_is_gone() {
        let (closing, idle) = (Usage::Closing, Usage::Idle(Instant::now()));
        // No further model is unloaded where one that is going makes enough room.
        let held = [("a", 1, closing), ("b", 1, idle)];
        check(TWO, &held, 9, &Room::AfterClosing);
        let held = [("a", 4, closing), ("b", 4, idle)];
        check(TEN_BYTES, &held, 6, &Room::AfterClosing);
        check(TEN_BYTES, &held, 7, &after("b"));
        let held = [("a", 4, closing), ("b", 4, Usage::InUse)];
        check(TEN_BYTES, &held, 7, &Room::AfterIdle);
    }

    #[test]
    fn one_model_may_be_too_large_alone() {
        assert_eq!(TEN_BYTES.exceeded_by_one(10), None);
        assert_eq!(TEN_BYTES.exceeded_by_one(11), Some(10));
        assert_eq!(Budget::default().exceeded_by_one(u64::MAX), None);
    }
}
