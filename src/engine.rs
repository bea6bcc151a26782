//! What runs a batch on a device.

#[cfg(not(fuzzing))]
pub mod ct2;
pub mod fake;
#[cfg_attr(
    fuzzing,
    expect(dead_code, reason = "the engine that judges texts is not built")
)]
mod doubt;
mod fallback;
pub mod memory;
mod split;
pub mod worker;

use std::sync::Arc;

use crate::batch::BatchKey;
use crate::features::{Features, WINDOW_FRAMES};
use crate::tokens::{Alignment, Language, PromptSpec};

pub use fallback::{Attempt, Fallback, MAX_TEXT_TOKENS, Quality, compression_ratio};
use memory::DeviceMemory;

/// A window that is padded to this many frames is not encoded again from 30 s.
const NEARLY_WHOLE_FRAMES: usize = WINDOW_FRAMES * 5 / 6;

/// Frames of features in a second.
const FRAMES_PER_SECOND: f64 = 100.0;

/// Runs batches, one at a time, on the thread that owns it.
pub trait Engine {
    /// Mel bins the model wants its features in: 80, or 128 since large-v3.
    fn n_mels(&self) -> usize;

    /// How it will run batches.
    fn plan(&self) -> EnginePlan;

    /// How many windows that are padded to so many frames it takes in one call of
    /// [`generate`](Self::generate), the first of them; at least one.
    fn max_windows(&self, key: &BatchKey, lengths: &[usize]) -> usize;

    /// Hears that windows of these lengths were too much for its memory, so that it takes fewer from
    /// now on.
    fn reduce_budget(&mut self, key: &BatchKey, lengths: &[usize]);

    /// The memory of its card, as it is now; none on a processor.
    fn device_memory(&self) -> Option<DeviceMemory>;

    /// Generates text for every input, and gives each to `answer` with its index as soon as it is
    /// there: a window that has to be tried again does not hold up its batch mates.
    ///
    /// # Errors
    /// [`EngineError`] when the batch failed; the caller then tries the parts of what has had no
    /// answer yet.
    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError>;
}

/// How an engine runs batches, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePlan {
    /// `cpu`, or a card such as `cuda:0`.
    pub device: String,
    /// Windows of 30 s that are generated together.
    pub windows: usize,
    /// Windows of 30 s in one call of the encoder.
    pub encoder_windows: usize,
    /// What they take of a card's memory.
    pub memory: Option<PlannedMemory>,
}

impl std::fmt::Display for EnginePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            device,
            windows,
            encoder_windows,
            memory,
        } = self;
        let calls = windows.div_ceil((*encoder_windows).max(1));
        write!(
            f,
            "{device}: {windows} windows a batch as {calls} encoder calls of {encoder_windows}"
        )?;
        match memory {
            None => Ok(()),
            Some(PlannedMemory { planned, total, .. }) => {
                let gb = |bytes: &u64| *bytes as f64 / 1e9;
                write!(f, ", {:.1} of {:.1} GB", gb(planned), gb(total))
            }
        }
    }
}

/// What a full batch takes of a card's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedMemory {
    /// With the weights, by the formula in `memory.rs`.
    pub planned: u64,
    /// Nobody's, once the weights were there.
    pub free: u64,
    /// All of the card's.
    pub total: u64,
}

/// Makes an engine, on the thread that will own it; called again when one has panicked.
pub type EngineFactory = Arc<dyn Fn() -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// One window, as an engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct EngineInput<'a> {
    /// Log-mel features of the window's own length.
    pub features: &'a Features,
    /// What it is padded to, in frames, no more than its batch's key says.
    pub length: usize,
    /// What precedes the generated text; no language means: detect it.
    pub prompt: &'a PromptSpec,
    /// What is to be found out about the window.
    pub decoding: &'a DecodingOptions,
    /// What came of it when it was padded to less, and looked wrong.
    pub before: Option<&'a Attempt>,
}

impl EngineInput<'_> {
    /// Whether the window is padded to all the 30 s that Whisper was trained on.
    #[must_use]
    pub fn is_full_length(&self) -> bool {
        self.length == WINDOW_FRAMES
    }

    /// Whether the window is padded to so much that 30 s would hardly be more.
    #[must_use]
    pub fn is_nearly_full_length(&self) -> bool {
        self.length >= NEARLY_WHOLE_FRAMES
    }

    /// The length of its audio, in seconds.
    #[must_use]
    pub fn audio_s(&self) -> f64 {
        self.features.frames as f64 / FRAMES_PER_SECOND
    }
}

/// What a caller wants found out about a window; batch mates may differ in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodingOptions {
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
    pub language: Option<LanguageDetection>,
    /// How good it is.
    pub quality: Quality,
    /// Whether it looks wrong, and the window was padded to less than 30 s: it is then worth
    /// another try with all of them.
    pub needs_longer_encoding: bool,
    /// The temperature it was generated at.
    pub temperature: f32,
    /// The tokens' times and probabilities, where they were asked for.
    pub alignment: Option<Alignment>,
}

/// A language with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanguageDetection {
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
    /// The device has not enough memory for the batch.
    #[error("{0}")]
    OutOfMemory(String),
}
