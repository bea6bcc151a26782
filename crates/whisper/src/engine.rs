//! The interface of engines, which run batches of windows on a device, with the rules that all of them
//! follow.

mod options;
mod attempts;
mod continuous;
pub mod decoder;
pub mod writer;
mod compute_type;
mod fallback;
mod short_encoding;
pub mod memory;
pub mod fake;

use std::sync::Arc;

use crate::features::{Features, WINDOW_FRAMES};
use crate::search::ScoredToken;
use crate::{Alignment, Language, PromptSpec};

pub use attempts::{AttemptedText, WindowLength, next_temperature, select_attempt};
pub use compute_type::ComputeType;
pub use continuous::{ContinuousEngine, WindowEngine};
pub use fallback::{Attempt, Fallback, MAX_TEXT_TOKENS, Quality, compression_ratio};
use memory::DeviceMemory;
pub use options::{BatchKey, GenerateOptions};
pub use short_encoding::needs_longer_encoding;

/// A window that is padded to at least this many frames is not encoded again with 30 s.
const NEARLY_FULL_FRAMES: usize = WINDOW_FRAMES * 5 / 6;

/// Frames of features in a second.
const FRAMES_PER_SECOND: f64 = 100.0;

/// Runs batches, one at a time, on the thread that owns it.
pub trait Engine {
    /// Mel bins of the model's features: 80, or 128 since large-v3.
    fn n_mels(&self) -> usize;

    /// How it will run batches.
    fn plan(&self) -> EnginePlan;

    /// Maximum number of windows in one call of [`generate`](Self::generate), taken from the start of
    /// `lengths`, their padded lengths in frames; at least one.
    fn max_windows(&self, key: &BatchKey, lengths: &[usize]) -> usize;

    /// Called after an out-of-memory error with windows of these lengths, in frames; halves the memory
    /// budget.
    fn reduce_budget(&mut self, key: &BatchKey, lengths: &[usize]);

    /// The engine as one in which windows come and go; none if it runs one batch after the other.
    fn continuous(&mut self) -> Option<&mut dyn ContinuousEngine> {
        None
    }

    /// The current memory of its GPU; none on a CPU.
    fn device_memory(&self) -> Option<DeviceMemory>;

    /// Generates text for every input, and calls `answer` with the index of each as soon as its text is
    /// final: a window that is generated again does not delay the rest of its batch.
    ///
    /// # Errors
    /// [`EngineError`] when the batch failed; the caller then retries the inputs without an answer in
    /// smaller parts.
    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError>;
}

/// How an engine runs batches, as reported to an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePlan {
    /// `cpu`, or a GPU such as `cuda:0`.
    pub device: String,
    /// Windows of 30 s that are generated together.
    pub windows: usize,
    /// Windows of 30 s in one call of the encoder.
    pub encoder_windows: usize,
    /// GPU memory of a full batch; none on a CPU.
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

/// GPU memory of a full batch, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedMemory {
    /// Including the weights, by the formula in `memory.rs`.
    pub planned: u64,
    /// Free memory after the weights were loaded.
    pub free: u64,
    /// Total memory of the GPU.
    pub total: u64,
    /// What all windows in the engine may use.
    pub for_windows: u64,
}

/// Makes an engine, on the thread that will own it; called again after a panic.
pub type EngineFactory = Arc<dyn Fn() -> Result<Box<dyn Engine>, EngineError> + Send + Sync>;

/// One window of a batch.
#[derive(Clone, Copy, Debug)]
pub struct EngineInput<'a> {
    /// Log-mel features of the window's own length.
    pub features: &'a Features,
    /// Its padded length in frames, at most that of the batch's key.
    pub padded_frames: usize,
    /// The prompt of the generated text; without a language, it is detected.
    pub prompt: &'a PromptSpec,
    /// The options of the window.
    pub decoding: &'a DecodingOptions,
    /// The rejected attempt with a shorter encoding, if there was one.
    pub previous_attempt: Option<&'a Attempt>,
    /// The seed of its random numbers; none: a hash of the audio. Engines that run whole batches ignore
    /// it.
    pub random_seed: Option<RandomSeed>,
    /// The begin of the text that its caller has received, with which it will begin; none if the caller
    /// receives nothing before the text is final. Engines that run whole batches report no certain text
    /// and ignore it.
    pub sent: Option<&'a [ScoredToken]>,
}

/// The seed of the random numbers of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomSeed {
    /// The seed of the recording.
    pub seed: u64,
    /// A number of the window, by which the windows of a recording get different random numbers.
    pub window: u64,
}

impl EngineInput<'_> {
    /// Whether the window is padded to the 30 s that Whisper was trained on.
    #[must_use]
    pub fn is_full_length(&self) -> bool {
        self.padded_frames == WINDOW_FRAMES
    }

    /// Its length.
    #[must_use]
    pub fn length(&self) -> WindowLength {
        WindowLength {
            audio_s: self.features.frames as f64 / FRAMES_PER_SECOND,
            padded_frames: self.padded_frames,
        }
    }
}

/// Options that windows of one batch may differ in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodingOptions {
    /// Languages that detection may choose from; empty: all languages of the model.
    pub candidates: Vec<Language>,
    /// When a window is generated again.
    pub fallback: Fallback,
    /// Whether the time and the probability of every token are computed.
    pub align: bool,
}

/// The generated text of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Generated token ids, time stamps included, without the end of text.
    pub tokens: Vec<u32>,
    /// The language used, and the probability of the detection (1 if the request set it).
    pub language: Option<LanguageDetection>,
    /// Its quality.
    pub quality: Quality,
    /// Whether it is probably wrong because the window was padded to less than 30 s, so that it should
    /// be generated again with 30 s.
    pub needs_longer_encoding: bool,
    /// The temperature it was generated at.
    pub temperature: f32,
    /// The tokens' times and probabilities, if requested.
    pub alignment: Option<Alignment>,
    /// The tokens that followed and were removed: the text repeated itself up to the maximum length after its
    /// begin had been sent.
    pub removed: Vec<u32>,
}

/// A language with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanguageDetection {
    /// The language.
    pub language: Language,
    /// Between 0 and 1.
    pub probability: f32,
}

/// Why an engine could not be created or could not run a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The weights could not be loaded.
    #[error("model could not be loaded: {0}")]
    Load(String),
    /// CTranslate2 reported an error for the batch.
    #[error("{0}")]
    Batch(String),
    /// The device has too little memory for the batch.
    #[error("{0}")]
    OutOfMemory(String),
}
