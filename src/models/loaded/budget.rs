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
    /// Since when nobody uses it; none while somebody does.
    pub idle_since: Option<Instant>,
}

/// Whether another model may be loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It may.
    Free,
    /// Once this one is unloaded, or more of them after it: the least recently used.
    After(ModelId),
    /// Not before a model is idle.
    None,
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
        let memory_bytes: u64 = held.iter().map(|held| held.memory_bytes).sum();
        let fits = self.models.is_none_or(|most| held.len() < most.get())
            && (self.memory_bytes).is_none_or(|most| memory_bytes + needed <= most.get());
        if fits {
            return Room::Free;
        }
        let idle = held
            .iter()
            .filter_map(|held| Some((held.idle_since?, held.id)));
        match idle.min_by_key(|(since, _)| *since) {
            Some((_, victim)) => Room::After(victim.clone()),
            None => Room::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Models as (name, bytes, seconds for which it has been idle).
    #[track_caller]
    fn check(budget: Budget, held: &[(&str, u64, Option<u64>)], needed: u64, room: &Room) {
        let now = Instant::now() + Duration::from_secs(1000);
        let ids: Vec<_> = held
            .iter()
            .map(|(id, ..)| ModelId::parse(id).unwrap())
            .collect();
        let held = held
            .iter()
            .zip(&ids)
            .map(|((_, memory_bytes, idle), id)| Held {
                id,
                memory_bytes: *memory_bytes,
                idle_since: idle.map(|seconds| now - Duration::from_secs(seconds)),
            });
        assert_eq!(&budget.room_for(needed, held), room);
    }

    fn after(id: &str) -> Room {
        Room::After(ModelId::parse(id).unwrap())
    }

    #[test]
    fn the_least_recently_used_idle_model_makes_room() {
        let two = Budget {
            models: NonZeroUsize::new(2),
            memory_bytes: None,
        };
        check(two, &[], 9, &Room::Free);
        check(two, &[("a", 1, None)], 9, &Room::Free);
        check(two, &[("a", 1, Some(1)), ("b", 1, Some(2))], 9, &after("b"));
        check(two, &[("a", 1, Some(1)), ("b", 1, None)], 9, &after("a"));
        check(two, &[("a", 1, None), ("b", 1, None)], 9, &Room::None);

        let bytes = Budget {
            models: None,
            memory_bytes: NonZeroU64::new(10),
        };
        check(bytes, &[("a", 4, None)], 6, &Room::Free);
        check(bytes, &[("a", 4, None)], 7, &Room::None);
        check(
            bytes,
            &[("a", 4, Some(1)), ("b", 4, Some(3))],
            7,
            &after("b"),
        );

        let no_bounds = Budget::default();
        check(no_bounds, &[("a", 1 << 40, None)], 1 << 40, &Room::Free);
    }

    #[test]
    fn one_model_may_be_too_large_alone() {
        let bytes = Budget {
            models: None,
            memory_bytes: NonZeroU64::new(10),
        };
        assert_eq!(bytes.exceeded_by_one(10), None);
        assert_eq!(bytes.exceeded_by_one(11), Some(10));
        assert_eq!(Budget::default().exceeded_by_one(u64::MAX), None);
    }
}
