//! What windows must have in common to share a batch.
//!
//! CTranslate2 takes one options struct and one features tensor a call, and throws for the
//! whole batch unless `<|startoftranscript|>` stands at the same index in every prompt with the
//! same number of task tokens behind it. Languages and tasks may differ. Every loaded model has
//! a queue of its own, so the model is not part of the key.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::policy::Weigh;

/// Windows with equal keys may share a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// Length up to which windows share the batch, in frames of 10 ms; none is encoded longer.
    pub frames: usize,
    /// Number of tokens before `<|startoftranscript|>`.
    pub previous_tokens: usize,
    /// How tokens are chosen.
    pub options: GenerateOptions,
}

impl Weigh for BatchKey {
    fn hypotheses(&self) -> usize {
        self.options.max_hypotheses()
    }
}

/// How the model chooses tokens; one set for a whole batch. The names and meanings are those of
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
    /// Above 1, tokens that were written already become less likely.
    pub repetition_penalty: f32,
    /// No sequence of so many tokens comes twice; 0 allows it.
    pub no_repeat_ngram_size: usize,
    /// Tokens that are never written; -1 stands for the model's own list.
    pub suppress_tokens: Arc<[i32]>,
    /// 0 takes the best token; above it, tokens are sampled.
    pub temperature: f32,
    /// Whether the model writes time stamps between the words.
    pub timestamps: bool,
}

impl Default for GenerateOptions {
    /// The reference's.
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
    /// Texts of one window that are held at one time.
    #[must_use]
    pub fn hypotheses(&self) -> usize {
        let held = if self.temperature > 0.0 {
            self.best_of
        } else {
            self.beam_size
        };
        held.get()
    }

    /// The most texts of one window that are held at one time, at any temperature.
    #[must_use]
    pub fn max_hypotheses(&self) -> usize {
        self.beam_size.max(self.best_of).get()
    }

    /// All of it in types that are equal when they look equal.
    fn bits(&self) -> (NonZeroUsize, NonZeroUsize, [u32; 4], usize, &[i32], bool) {
        let reals = [
            self.patience,
            self.length_penalty,
            self.repetition_penalty,
            self.temperature,
        ];
        (
            self.beam_size,
            self.best_of,
            reals.map(f32::to_bits),
            self.no_repeat_ngram_size,
            &self.suppress_tokens,
            self.timestamps,
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
