//! What a session reports to its client.

use std::time::Duration;

use halkspeech_whisper::Language;

use crate::transcript::{Speaker, TokenLogprob};

/// A turn, numbered from one in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u64);

/// An event of a session. Those of one turn come in this order: [`SpeechStarted`](Self::SpeechStarted), any number
/// of [`Partial`](Self::Partial) and [`Delta`](Self::Delta), [`SpeechStopped`](Self::SpeechStopped),
/// [`Committed`](Self::Committed), at most one last `Delta`, then exactly one of [`Completed`](Self::Completed) and
/// [`Failed`](Self::Failed). A turn that a client commits without turn detection has neither `SpeechStarted` nor
/// `SpeechStopped`. The next turn may begin before the text of the last is complete; turns complete in their order.
/// All times are of audio since the session began.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionEvent {
    /// Speech has begun.
    SpeechStarted {
        /// The turn that begins.
        item: ItemId,
        /// Its begin, padding included.
        audio_start: Duration,
    },
    /// The whole text of a turn so far.
    Partial {
        /// The turn.
        item: ItemId,
        /// The committed text, which equals the deltas so far.
        committed: String,
        /// Text behind it that may still change.
        tail: String,
    },
    /// Words that are certain; deltas are never withdrawn.
    Delta {
        /// The turn.
        item: ItemId,
        /// The text that continues the deltas before, with its white space.
        text: String,
    },
    /// Speech has ended.
    SpeechStopped {
        /// The turn.
        item: ItemId,
        /// Its end, padding included.
        audio_end: Duration,
    },
    /// The audio of a turn is complete.
    Committed {
        /// The turn.
        item: ItemId,
        /// The turn before it.
        previous: Option<ItemId>,
    },
    /// A part of a turn's final text and who speaks in it, if speakers are wanted; before [`Completed`](Self::Completed).
    Segment {
        /// The turn.
        item: ItemId,
        /// Its number in the turn, from 0.
        index: usize,
        /// Its begin since the session began.
        start: Duration,
        /// Its end since the session began.
        end: Duration,
        /// Who speaks most of it.
        speaker: Speaker,
        /// The text.
        text: String,
    },
    /// The text of a turn is complete; it replaces the deltas.
    Completed {
        /// The turn.
        item: ItemId,
        /// The text.
        transcript: String,
        /// Length of the turn's audio.
        audio: Duration,
        /// The language spoken, if the turn contains speech.
        language: Option<Language>,
        /// The tokens of the text with their log probabilities, if they were requested and the turn contains speech.
        logprobs: Option<Vec<TokenLogprob>>,
    },
    /// A turn has no text because of an error.
    Failed {
        /// The turn.
        item: ItemId,
        /// What has happened.
        error: TurnError,
    },
    /// The audio that was not committed has been dropped. A turn that had begun ends with this event: it gets
    /// neither [`Completed`](Self::Completed) nor [`Failed`](Self::Failed).
    Cleared,
}

/// Why a turn has no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// The server has too much to do.
    #[error("the server is overloaded")]
    Overloaded,
    /// The model is gone.
    #[error("the model has been unloaded")]
    ModelGone,
}
