//! The options that the windows of a batch share.
//!
//! CTranslate2 takes one options struct and one features tensor per call, and throws for the
//! whole batch unless `<|startoftranscript|>` has the same index in every prompt with the same
//! number of task tokens after it. Languages and tasks may differ. Every loaded model has its own
//! queue, so the model is not part of the key.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Windows with equal keys may share a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// Maximum length of the windows in the batch, in frames of 10 ms.
    pub frames: usize,
    /// Number of tokens before `<|startoftranscript|>`.
    pub previous_tokens: usize,
    /// Search options.
    pub options: GenerateOptions,
}

/// Options of the token search; one set per batch. The names and meanings are those of
/// CTranslate2's `WhisperOptions`.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Hypotheses kept during the search; 1 is greedy.
    pub beam_size: NonZeroUsize,
    /// Samples drawn at a temperature above 0, of which the most likely is kept.
    pub best_of: NonZeroUsize,
    /// The search ends when `beam_size * patience` hypotheses are finished.
    pub patience: f32,
    /// Exponent of the length by which a hypothesis' score is divided.
    pub length_penalty: f32,
    /// Above 1, tokens that were generated already become less likely.
    pub repetition_penalty: f32,
    /// No sequence of this many tokens is repeated; 0 allows repetitions.
    pub no_repeat_ngram_size: usize,
    /// Tokens that are never generated; -1 stands for the model's own list.
    pub suppress_tokens: Arc<[i32]>,
    /// At 0 the most likely token is taken; above 0, tokens are sampled.
    pub temperature: f32,
    /// Whether the model generates time stamps.
    pub timestamps: bool,
}

impl Default for GenerateOptions {
    /// The defaults of the reference.
    fn default() -> Self {
        const FIVE: NonZeroUsize = NonZeroUsize::new(5).expect("five is not zero");
        Self {
            beam_size: FIVE,
            best_of: FIVE,
            patience: 1.0,
            length_penalty: 1.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            suppress_tokens: Arc::new([-1]),
            temperature: 0.0,
            timestamps: true,
        }
    }
}

impl GenerateOptions {
    /// Hypotheses of one window that are held at one time.
    #[must_use]
    pub fn hypotheses(&self) -> usize {
        let hypotheses = if self.temperature > 0.0 {
            self.best_of
        } else {
            self.beam_size
        };
        hypotheses.get()
    }

    /// Maximum number of hypotheses of one window that are held at one time, at any temperature.
    #[must_use]
    pub fn max_hypotheses(&self) -> usize {
        self.beam_size.max(self.best_of).get()
    }

    /// All fields in types with bitwise equality.
    fn bits(&self) -> (NonZeroUsize, NonZeroUsize, [u32; 4], usize, &[i32], bool) {
        // Destructured completely, so that no field can be forgotten.
        let Self {
            beam_size,
            best_of,
            patience,
            length_penalty,
            repetition_penalty,
            no_repeat_ngram_size,
            suppress_tokens,
            temperature,
            timestamps,
        } = self;
        let reals = [
            *patience,
            *length_penalty,
            *repetition_penalty,
            *temperature,
        ];
        (
            *beam_size,
            *best_of,
            reals.map(f32::to_bits),
            *no_repeat_ngram_size,
            suppress_tokens,
            *timestamps,
        )
    }
}

impl PartialEq for GenerateOptions {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for GenerateOptions {}

impl Hash for GenerateOptions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}
