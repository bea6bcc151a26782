//! The lanes in which windows wait.

use std::ops::{Index, IndexMut};

/// The urgency of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// A person is speaking and waits for the text.
    Live,
    /// The first windows of an upload.
    Interactive,
    /// The further windows of a long recording.
    Bulk,
}

/// One value for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLane<T>([T; 3]);

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Interactive, Self::Bulk];
}

impl<T> PerLane<T> {
    /// The values that `value` returns.
    pub fn from_fn(value: impl FnMut(Lane) -> T) -> Self {
        Self(Lane::ALL.map(value))
    }

    /// The values, that of the most urgent lane first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        let [live, interactive, bulk] = &self.0;
        match lane {
            Lane::Live => live,
            Lane::Interactive => interactive,
            Lane::Bulk => bulk,
        }
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        let [live, interactive, bulk] = &mut self.0;
        match lane {
            Lane::Live => live,
            Lane::Interactive => interactive,
            Lane::Bulk => bulk,
        }
    }
}
