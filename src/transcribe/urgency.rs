//! The lanes of a request's windows.

use crate::schedule::Lane;

/// How urgent a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A recording that was uploaded: its first windows are interactive, the further ones bulk.
    Upload,
    /// A person is speaking: all windows are live.
    Live,
}

/// Number of windows of an upload that are interactive: at most a minute of audio. A short recording is then
/// never written within the share of bulk, and a long one holds two turns more than a short one at most.
const FIRST_WINDOWS: usize = 2;

impl Urgency {
    /// The lane of the window at this index of its request, counted over all channels.
    #[must_use]
    pub fn lane(self, index: usize) -> Lane {
        match self {
            Self::Live => Lane::Live,
            Self::Upload if index < FIRST_WINDOWS => Lane::Interactive,
            Self::Upload => Lane::Bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_upload_is_bulk_after_its_first_windows() {
        let lanes = [0, 1, 2, 99].map(|index| Urgency::Upload.lane(index));
        let [interactive, bulk] = [Lane::Interactive, Lane::Bulk];
        assert_eq!(lanes, [interactive, interactive, bulk, bulk]);
        assert_eq!(Urgency::Live.lane(99), Lane::Live);
    }
}
