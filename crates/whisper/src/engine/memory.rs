//! Estimates the GPU memory of a batch, and thereby the number of windows in one call. Pure.
//!
//! The encoder's attention scores limit a call of the encoder, the decoder's caches limit a generation;
//! the two run one after the other, so the larger of them counts (docs/gpu.md).

mod dimensions;

use std::num::NonZeroUsize;

use super::BatchKey;
use crate::features::WINDOW_FRAMES;
pub use dimensions::Dimensions;
use dimensions::{MAX_TOKENS, context};

/// Copies of the encoder's output that exist at one time: the parts, and their concatenation.
const OUTPUT_COPIES: u64 = 2;
/// Bytes of a token's score: the model's logit, and two log probabilities of 32 bits.
const SCORE_BYTES: u64 = 12;
/// Kept free for the library's own buffers: matrix products, sampling, fragmentation.
const RESERVE_BYTES: u64 = 2_000_000_000;
/// Divisor of the memory: the encoder may use this fraction even if the generation needs less.
const ENCODER_SHARE: u64 = 4;
/// Maximum number of windows in a call of the encoder: larger calls do not increase the GPU's utilization, and the
/// features of the next call are uploaded while one runs.
const MAX_ENCODER_WINDOWS: usize = 128;
/// Maximum number of elements of one tensor: CTranslate2 counts them in 32 bits on a GPU (`index_t` of its
/// `cuda/helpers.h`); beyond that it uses wrong elements, without an error.
const MAX_ELEMENTS: u64 = u32::MAX as u64;
/// The same for the unfolded input of its convolutions, counted with a sign (`ops/conv1d_gpu.cu`).
const MAX_UNFOLDED_ELEMENTS: u64 = i32::MAX as u64;

/// GPU memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Free memory.
    pub free: u64,
    /// Total memory.
    pub total: u64,
}

impl DeviceMemory {
    /// The share of one of `engines` engines that are loaded onto the GPU at the same time, each with weights of
    /// `weights` bytes.
    #[must_use]
    pub fn shared_by(self, engines: NonZeroUsize, weights: u64) -> Self {
        let engines = engines.get() as u64;
        // The other engines may not have loaded their weights yet.
        let remaining = self.free.saturating_sub((engines - 1) * weights);
        Self {
            free: remaining / engines,
            ..self
        }
    }
}

/// The GPU memory that batches of a model may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    dimensions: Dimensions,
    available: u64,
}

impl MemoryBudget {
    /// For a model that is already loaded: the free part of `memory`, at most `limit` minus the model's
    /// `weights`, minus a reserve; all in bytes.
    #[must_use]
    pub fn new(
        dimensions: Dimensions,
        memory: DeviceMemory,
        weights: u64,
        limit: Option<u64>,
    ) -> Self {
        let allowed = limit.map_or(u64::MAX, |limit| limit.saturating_sub(weights));
        Self {
            dimensions,
            available: memory.free.min(allowed).saturating_sub(RESERVE_BYTES),
        }
    }

    /// Memory for windows, in bytes.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.available
    }

    /// The part of `max_windows` slots of a continuous engine, for windows of 30 s without previous text, that fits, and
    /// its memory in bytes. At least one.
    #[must_use]
    pub fn slots(&self, max_windows: usize, hypotheses: usize) -> (usize, u64) {
        let each = self.dimensions.slot_bytes(WINDOW_FRAMES, 0, hypotheses);
        let windows = fit(self.available, each, max_windows);
        (windows, windows as u64 * each)
    }

    /// Maximum number of windows generated together, taken from the start of `lengths`, their padded lengths in
    /// frames; at least one.
    #[must_use]
    pub fn windows(&self, key: &BatchKey, lengths: &[usize]) -> usize {
        let fits = |&count: &usize| {
            let first = &lengths[..count];
            // Joined encodings are padded to the longest.
            let longest = first.iter().copied().max().unwrap_or(0);
            let elements = count as u64 * self.dimensions.cross_attention_elements(longest);
            elements <= MAX_ELEMENTS && self.generation_bytes(key, first) <= self.available
        };
        // Memory use increases with the number of windows.
        let counts: Vec<usize> = (1..=lengths.len()).collect();
        counts.partition_point(fits).max(1)
    }

    /// Windows in one call of the encoder if `windows` windows are padded to `frames`; at least one.
    #[must_use]
    pub fn encoder_windows(&self, key: &BatchKey, frames: usize, windows: usize) -> usize {
        let count = windows as u64;
        let generation = self.generation_bytes(key, &vec![frames; windows]);
        let usable = generation.max(self.available / ENCODER_SHARE);
        let usable = usable.min(self.available);
        let scratch = usable.saturating_sub(count * self.dimensions.output_bytes(frames));
        let max_windows = windows.min(MAX_ENCODER_WINDOWS);
        let max_windows = fit(
            MAX_ELEMENTS,
            self.dimensions.encoder_elements(frames),
            max_windows,
        );
        let max_windows = fit(
            MAX_UNFOLDED_ELEMENTS,
            self.dimensions.unfolded_elements(frames),
            max_windows,
        );
        let max_windows = fit(scratch, self.dimensions.encoder_bytes(frames), max_windows);
        // Calls of equal size, rather than full ones and a small last one.
        windows
            .div_ceil(windows.div_ceil(max_windows).max(1))
            .max(1)
    }

    /// Peak memory of windows with these padded lengths in frames, without the weights, in bytes.
    #[must_use]
    pub fn peak_bytes(&self, key: &BatchKey, lengths: &[usize]) -> u64 {
        let outputs: u64 = lengths
            .iter()
            .map(|&frames| self.dimensions.output_bytes(frames))
            .sum();
        let calls = lengths.chunk_by(|a, b| a == b).map(|same| {
            self.encoder_windows(key, same[0], same.len()) as u64
                * self.dimensions.encoder_bytes(same[0])
        });
        let encoding = outputs + calls.max().unwrap_or(0);
        encoding.max(self.generation_bytes(key, lengths))
    }

    /// Halves the budget after windows with these padded lengths, in frames, have run out of memory.
    pub fn reduce(&mut self, key: &BatchKey, lengths: &[usize]) {
        self.available = self.available.min(self.peak_bytes(key, lengths)) / 2;
    }

    /// Memory during the generation of windows with these padded lengths in frames, in bytes.
    fn generation_bytes(&self, key: &BatchKey, lengths: &[usize]) -> u64 {
        let Dimensions {
            width,
            decoder_layers,
            vocabulary_size,
            value_bytes,
            ..
        } = self.dimensions;
        let keys_and_values = 2 * decoder_layers * width * value_bytes;
        let tokens = MAX_TOKENS + key.previous_tokens as u64;
        // Hypotheses share the keys and values of the audio, and each has its own text.
        let bytes_per_hypothesis = keys_and_values * tokens + vocabulary_size * SCORE_BYTES;
        let hypotheses = key.options.hypotheses() as u64 * bytes_per_hypothesis;
        // Joined encodings are padded to the longest; their keys and values have each window's own length.
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let bytes_per_window = OUTPUT_COPIES * self.dimensions.output_bytes(longest) + hypotheses;
        let positions: u64 = lengths.iter().map(|&frames| context(frames)).sum();
        lengths.len() as u64 * bytes_per_window + keys_and_values * positions
    }
}

/// How many of `wanted` windows fit into `available`, at `per_window` each; at least one.
fn fit(available: u64, per_window: u64, wanted: usize) -> usize {
    let fitting = available / per_window.max(1);
    usize::try_from(fitting)
        .unwrap_or(usize::MAX)
        .clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests;
