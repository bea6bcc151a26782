//! The lanes of a request's windows.

use std::time::Duration;

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

    /// The lane of most of the audio of a request of this length.
    #[must_use]
    pub fn main_lane(self, audio: Duration) -> Lane {
        let windows = audio.div_duration_f64(WINDOW).ceil() as usize;
        self.lane(windows.saturating_sub(1) / 2)
    }
}

/// The longest window.
const WINDOW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_upload_is_bulk_after_its_first_windows() {
        let lanes = [0, 1, 2, 99].map(|index| Urgency::Upload.lane(index));
        let [interactive, bulk] = [Lane::Interactive, Lane::Bulk];
        assert_eq!(lanes, [interactive, interactive, bulk, bulk]);
        assert_eq!(Urgency::Live.lane(99), Lane::Live);
        for (seconds, lane) in [
            (0, interactive),
            (120, interactive),
            (121, bulk),
            (3600, bulk),
        ] {
            let audio = Duration::from_secs(seconds);
            assert_eq!(Urgency::Upload.main_lane(audio), lane, "{seconds}");
        }
    }
}
