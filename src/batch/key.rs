//! What windows must have in common to share a batch.
//!
//! CTranslate2 takes one options struct and one features tensor a call, and throws for the
//! whole batch unless `<|startoftranscript|>` stands at the same index in every prompt with the
//! same number of task tokens behind it. Languages and tasks may differ. Every loaded model has
//! a queue of its own, so the model is not part of the key.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;

/// Windows with equal keys may share a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchKey {
    /// Length the features are padded to, in frames of 10 ms.
    pub frames: usize,
    /// Number of tokens before `<|startoftranscript|>`.
    pub previous_tokens: usize,
    /// How tokens are chosen.
    pub options: GenerateOptions,
}

/// How the model chooses tokens; one set for a whole batch.
#[derive(Clone, Copy, Debug)]
pub struct GenerateOptions {
    /// Hypotheses kept during the search; 1 is greedy.
    pub beam_size: NonZeroUsize,
    /// 0 takes the best token; above it, tokens are sampled.
    pub temperature: f32,
    /// Whether the model writes time stamps between the words.
    pub timestamps: bool,
}

impl GenerateOptions {
    fn bits(&self) -> (NonZeroUsize, u32, bool) {
        (self.beam_size, self.temperature.to_bits(), self.timestamps)
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
