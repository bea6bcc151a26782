//! What a session wants from the engine, and what it gets.

use std::sync::Arc;
use std::time::Duration;

use halkspeech_whisper::Language;

use super::{ItemId, PieceVoice, TurnError};
use crate::transcript::TokenLogprob;

/// Identifies a piece of work in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

/// What the owner of a session has to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Compute a partial text of this turn; at most one is in flight.
    Partial(ItemId, PartialWork),
    /// Compute the final text of a piece of this turn, with the options of an upload.
    Piece(ItemId, PieceWork),
    /// Drop work whose result is no longer needed; it gets no result.
    Cancel(WorkId),
}

/// A text of a turn's latest audio: greedy, without time stamps, words' times and further attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialWork {
    /// Identifies it.
    pub id: WorkId,
    /// 16 kHz PCM, at most 28 s.
    pub pcm: Arc<[f32]>,
    /// The language, once it is fixed.
    pub language: Option<Language>,
    /// Committed text before the audio, which the model gets as context.
    pub context: String,
    /// Tokens of committed words in the audio: the text begins with them.
    pub prefix: Vec<u32>,
    /// Whether the ends of the words are needed, which takes one alignment.
    pub wants_word_ends: bool,
}

/// A part of a turn for its final text.
#[derive(Clone, Debug, PartialEq)]
pub struct PieceWork {
    /// Identifies it.
    pub id: WorkId,
    /// 16 kHz PCM, at most 30 s.
    pub pcm: Arc<[f32]>,
}

/// The result of [`PartialWork`].
#[derive(Clone, Debug, PartialEq)]
pub struct PartialResult {
    /// The words of the text, those of the prefix included. Empty if there is no speech.
    pub words: Vec<PartialWord>,
    /// The language spoken.
    pub language: Option<Language>,
    /// Whether the text is too improbable to be shown.
    pub is_rejected: bool,
}

/// A word of a partial text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialWord {
    /// Its text with white space before it and without punctuation behind it.
    pub text: String,
    /// The punctuation behind it; white space before the next word belongs to the next word.
    pub punctuation: String,
    /// Its tokens, those of the punctuation last.
    pub tokens: Vec<u32>,
    /// How many of the tokens belong to the punctuation.
    pub punctuation_tokens: usize,
    /// Its end in the audio, if the work [wants](PartialWork::wants_word_ends) it.
    pub end: Option<Duration>,
}

/// The result of [`PieceWork`].
#[derive(Clone, Debug)]
pub struct PieceResult {
    /// The text, or why there is none. White space around it has no meaning.
    pub text: Result<String, TurnError>,
    /// The language spoken, which decides whether a space separates the texts of two pieces.
    pub language: Option<Language>,
    /// The tokens of the text with their log probabilities, if they were requested.
    pub logprobs: Option<Vec<TokenLogprob>>,
    /// Who speaks.
    pub voice: PieceVoice,
}
