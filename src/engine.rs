//! What runs a batch on a device.

pub mod ct2;
pub mod fake;
mod split;
pub mod worker;

use std::sync::Arc;

use crate::batch::BatchKey;
use crate::features::Features;
use crate::tokens::{Language, PromptSpec};

/// Runs batches, one at a time, on the thread that owns it.
pub trait Engine {
    /// Mel bins the model wants its features in: 80, or 128 since large-v3.
    fn n_mels(&self) -> usize;

    /// Generates text for every input, in order; all or nothing.
    ///
    /// # Errors
    /// [`EngineError`] when the batch as a whole failed; the caller then tries its parts.
    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Generation>, EngineError>;
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
}

/// What the model made of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Generated token ids, without the end of text.
    pub tokens: Vec<u32>,
    /// The language used, and how sure the detection was (1 when it was given).
    pub language: Option<Detected>,
    /// Mean log probability of a token, the end of text included.
    pub avg_logprob: f32,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f32,
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
