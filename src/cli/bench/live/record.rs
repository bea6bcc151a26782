//! What a session received, and when.

use std::collections::BTreeMap;

/// A played session. Times are in seconds since its audio began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionRecord {
    /// Index of the clip that was played.
    pub clip: usize,
    /// Silence before the clip, in seconds.
    pub lead_s: f64,
    /// The events that matter, each with the time it was received.
    pub events: Vec<(f64, LiveEvent)>,
    /// The number of events of each type.
    pub event_counts: BTreeMap<String, u64>,
    /// The code of the server's close frame; `None` without one.
    pub close_code: Option<u16>,
    /// The longest time that a frame was sent after it was due, in seconds.
    pub max_delay_s: f64,
    /// Why the session did not run to its end: a kind and a message.
    pub failure: Option<(String, String)>,
}

/// An event of a session, of either socket.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveEvent {
    /// The session can take audio.
    Ready,
    /// Speech has begun.
    SpeechStarted {
        /// The turn.
        item: String,
        /// Its begin, padding included.
        audio_start_s: f64,
    },
    /// Speech has ended.
    SpeechStopped {
        /// The turn.
        item: String,
        /// Its end, silence included.
        audio_end_s: f64,
    },
    /// The audio of a turn is complete.
    Committed {
        /// The turn.
        item: String,
    },
    /// Text that continues the deltas of the turn.
    Delta {
        /// The turn.
        item: String,
        /// The text.
        text: String,
    },
    /// The whole text of the turn so far.
    Partial {
        /// The turn.
        item: String,
        /// The text.
        text: String,
        /// The characters of it that are committed.
        committed: usize,
    },
    /// The text of the turn.
    Completed {
        /// The turn.
        item: String,
        /// The text.
        text: String,
    },
    /// The turn has no text.
    Failed {
        /// The turn.
        item: String,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// The audio that was not committed is gone; the answer to the last command of a feeder.
    Cleared,
    /// The server reports an error.
    Error {
        /// Its code.
        code: String,
        /// Its message.
        message: String,
    },
}

/// Decides when a session has received all it will.
#[derive(Clone, Debug, Default)]
pub struct OpenTurns {
    open: Vec<String>,
    is_cleared: bool,
}

impl OpenTurns {
    /// Takes the next event; true if the audio is cleared and no turn is without its text.
    pub fn take(&mut self, event: &LiveEvent) -> bool {
        match event {
            LiveEvent::Committed { item } => self.open.push(item.clone()),
            LiveEvent::Completed { item, .. } | LiveEvent::Failed { item, .. } => {
                self.open.retain(|open| open != item);
            }
            LiveEvent::Cleared => self.is_cleared = true,
            LiveEvent::Ready
            | LiveEvent::SpeechStarted { .. }
            | LiveEvent::SpeechStopped { .. }
            | LiveEvent::Delta { .. }
            | LiveEvent::Partial { .. }
            | LiveEvent::Error { .. } => {}
        }
        self.is_cleared && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_over_when_each_committed_turn_has_its_text() {
        let item = |name: &str| name.to_owned();
        let committed = |name| LiveEvent::Committed { item: item(name) };
        let completed = |name| LiveEvent::Completed {
            item: item(name),
            text: String::new(),
        };
        let started = LiveEvent::SpeechStarted {
            item: item("c"),
            audio_start_s: 0.0,
        };
        let mut turns = OpenTurns::default();
        for event in [committed("a"), completed("a"), committed("b"), started] {
            assert!(!turns.take(&event), "{event:?}");
        }
        assert!(!turns.take(&LiveEvent::Cleared));
        assert!(turns.take(&completed("b")));
    }
}
