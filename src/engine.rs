//! What runs a batch on a device.

pub mod ct2;
pub mod fake;
mod fallback;
mod split;
pub mod worker;

use std::sync::Arc;

use crate::batch::BatchKey;
use crate::features::Features;
use crate::tokens::{Alignment, Language, PromptSpec};

pub use fallback::{Fallback, Quality, compression_ratio};

/// Runs batches, one at a time, on the thread that owns it.
pub trait Engine {
    /// Mel bins the model wants its features in: 80, or 128 since large-v3.
    fn n_mels(&self) -> usize;

    /// Generates text for every input, and gives each to `answer` with its index as soon as it is
    /// there: a window that has to be tried again does not hold up its batch mates.
    ///
    /// # Errors
    /// [`EngineError`] when the batch failed; the caller then tries the parts of what has had no
    /// answer yet.
    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[Input<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError>;
}

/// Makes an engine, on the thread that will own it; called again when one has panicked.
pub type EngineFactory = Arc<dyn Fn() -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// One window, as an engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Log-mel features of the window's own length.
    pub features: &'a Features,
    /// What precedes the generated text; no language means: detect it.
    pub prompt: &'a PromptSpec,
    /// What is to be found out about the window.
    pub decoding: &'a Decoding,
}

/// What a caller wants found out about a window; batch mates may differ in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoding {
    /// Languages that detection may choose from; empty: all that the model knows.
    pub candidates: Vec<Language>,
    /// When a window is generated again.
    pub fallback: Fallback,
    /// Whether the time and the probability of every token are wanted.
    pub align: bool,
}

/// What the model made of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Generated token ids, time stamps included, without the end of text.
    pub tokens: Vec<u32>,
    /// The language used, and how sure the detection was (1 when it was given).
    pub language: Option<Detected>,
    /// How good it is.
    pub quality: Quality,
    /// Whether it looks wrong, and the window was padded to less than 30 s: it is then worth
    /// another try with all of them.
    pub is_doubtful: bool,
    /// The temperature it was generated at.
    pub temperature: f32,
    /// The tokens' times and probabilities, where they were asked for.
    pub alignment: Option<Alignment>,
}

/// A language with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// The language.
    pub language: Language,
    /// Between 0 and 1.
    pub probability: f32,
}

/// Why an engine could not be made, or could not run a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The weights could not be loaded.
    #[error("model could not be loaded: {0}")]
    Load(String),
    /// The library refused or failed a batch.
    #[error("{0}")]
    Batch(String),
}
