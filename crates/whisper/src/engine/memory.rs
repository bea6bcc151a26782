//! Estimates the GPU memory of a batch, and thereby the number of windows in one call. Pure.
//!
//! The encoder's attention scores limit a call of the encoder, the decoder's caches limit a generation;
//! the two run one after the other, so the larger of them counts (docs/gpu.md).

use std::num::NonZeroUsize;

use super::BatchKey;
use crate::features::{WINDOW_FRAMES, encoder_positions};

/// Maximum number of tokens of a window's text; CTranslate2 ends it there.
const MAX_TOKENS: u64 = 224;
/// Tensors of an encoder layer in addition to its attention scores, in tensors of one window's size.
const LAYER_TENSORS: u64 = 8;
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
/// Width of a convolution's kernel.
const KERNEL_WIDTH: u64 = 3;

/// The sizes of a model that its memory use depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dimensions {
    /// Width of its layers.
    pub width: u64,
    /// Attention heads of a layer.
    pub heads: u64,
    /// Layers of the decoder.
    pub decoder_layers: u64,
    /// Tokens of its vocabulary.
    pub vocabulary_size: u64,
    /// Bytes of a value in computations.
    pub value_bytes: u64,
}

impl Dimensions {
    /// Memory of a slot for a window of `frames` padded frames behind `previous_tokens` tokens of previous text, in
    /// bytes: the keys and values of its encoding, and those of each hypothesis at its longest.
    #[must_use]
    pub fn slot_bytes(&self, frames: usize, previous_tokens: usize, hypotheses: usize) -> u64 {
        let keys_and_values = 2 * self.decoder_layers * self.width * self.value_bytes;
        let tokens = MAX_TOKENS + previous_tokens as u64;
        keys_and_values * (context(frames) + hypotheses as u64 * tokens)
    }
}

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
            let elements = count as u64 * self.cross_attention_elements(longest);
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
        let scratch = usable.saturating_sub(count * self.output_bytes(frames));
        let max_windows = windows.min(MAX_ENCODER_WINDOWS);
        let max_windows = fit(MAX_ELEMENTS, self.encoder_elements(frames), max_windows);
        let max_windows = fit(
            MAX_UNFOLDED_ELEMENTS,
            self.unfolded_elements(frames),
            max_windows,
        );
        let max_windows = fit(scratch, self.encoder_bytes(frames), max_windows);
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
            .map(|&frames| self.output_bytes(frames))
            .sum();
        let calls = lengths.chunk_by(|a, b| a == b).map(|same| {
            self.encoder_windows(key, same[0], same.len()) as u64 * self.encoder_bytes(same[0])
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
        let bytes_per_window = OUTPUT_COPIES * self.output_bytes(longest) + hypotheses;
        let positions: u64 = lengths.iter().map(|&frames| context(frames)).sum();
        lengths.len() as u64 * bytes_per_window + keys_and_values * positions
    }

    /// Memory of one window in the encoder, in bytes.
    fn encoder_bytes(&self, frames: usize) -> u64 {
        let Dimensions {
            heads, value_bytes, ..
        } = self.dimensions;
        let scores = heads * context(frames) * context(frames) * value_bytes;
        2 * scores + LAYER_TENSORS * self.output_bytes(frames)
    }

    /// Elements per window of the largest tensor in the encoder's layers: its attention scores, or the
    /// inner layer of the feed-forward network.
    fn encoder_elements(&self, frames: usize) -> u64 {
        let Dimensions { width, heads, .. } = self.dimensions;
        context(frames) * (heads * context(frames)).max(4 * width)
    }

    /// Elements per window of the unfolded input of the second convolution.
    fn unfolded_elements(&self, frames: usize) -> u64 {
        context(frames) * KERNEL_WIDTH * self.dimensions.width
    }

    /// Elements per window of the largest tensor in the decoder: keys and values of the audio.
    fn cross_attention_elements(&self, frames: usize) -> u64 {
        context(frames) * 2 * self.dimensions.width
    }

    /// Size of the encoder's output for one window, in bytes.
    fn output_bytes(&self, frames: usize) -> u64 {
        context(frames) * self.dimensions.width * self.dimensions.value_bytes
    }
}

/// Positions in the encoder's output.
fn context(frames: usize) -> u64 {
    encoder_positions(frames) as u64
}

/// How many of `wanted` windows fit into `available`, at `per_window` each; at least one.
fn fit(available: u64, per_window: u64, wanted: usize) -> usize {
    let fitting = available / per_window.max(1);
    usize::try_from(fitting)
        .unwrap_or(usize::MAX)
        .clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::GenerateOptions;

    const GB: u64 = 1_000_000_000;
    const TURBO: Dimensions = Dimensions {
        width: 1280,
        heads: 20,
        decoder_layers: 4,
        vocabulary_size: 51_866,
        value_bytes: 2,
    };
    const LARGE_V3: Dimensions = Dimensions {
        decoder_layers: 32,
        ..TURBO
    };

    fn key(beam_size: usize) -> BatchKey {
        BatchKey {
            frames: 3000,
            previous_tokens: 0,
            options: GenerateOptions {
                beam_size: NonZeroUsize::new(beam_size).unwrap(),
                ..GenerateOptions::default()
            },
        }
    }

    /// A GPU of 80 GB with the weights, in hundreds of megabytes, and the driver's memory in use.
    fn on_80_gb(dimensions: Dimensions, weights: u64) -> MemoryBudget {
        let memory = DeviceMemory {
            free: 80 * GB - weights * GB / 10 - GB / 2,
            total: 80 * GB,
        };
        MemoryBudget::new(dimensions, memory, weights * GB / 10, None)
    }

    /// `plan` has windows of 30 s together, windows in one call of the encoder, and gigabytes without the weights.
    #[track_caller]
    fn check(budget: MemoryBudget, beam_size: usize, wanted: usize, plan: (usize, usize, u64)) {
        let key = key(beam_size);
        let windows = budget.windows(&key, &vec![3000; wanted]);
        let peak = budget.peak_bytes(&key, &vec![3000; windows]);
        let encoder_windows = budget.encoder_windows(&key, 3000, windows);
        let actual = (windows, encoder_windows, peak / GB);
        assert_eq!(actual, plan, "{wanted} windows at beam {beam_size}");
        assert!(peak <= budget.available);
    }

    /// Each row of the old documentation's table, for a GPU of 80 GB.
    #[test]
    fn turbo_is_planned_for_every_row_of_the_old_table() {
        let turbo = on_80_gb(TURBO, 16);
        check(turbo, 5, 128, (128, 64, 13));
        check(turbo, 5, 256, (256, 64, 16));
        check(turbo, 5, 512, (512, 86, 32));
        check(turbo, 5, 768, (768, 86, 49));
        check(turbo, 5, 1024, (1024, 94, 65));
        check(turbo, 1, 512, (512, 86, 22));
        check(turbo, 1, 1024, (1024, 94, 44));
    }

    #[test]
    fn large_v3_is_planned_for_every_row_of_the_old_table() {
        let large = on_80_gb(LARGE_V3, 31);
        for wanted in [192, 256, 384, 512, 768] {
            check(large, 5, wanted, (169, 85, 74));
        }
        check(large, 1, 192, (192, 64, 55));
        for wanted in [256, 384, 512, 768] {
            check(large, 1, wanted, (255, 85, 74));
        }
    }

    #[test]
    fn no_tensor_exceeds_the_element_count_of_a_gpu() {
        let memory = DeviceMemory {
            free: 1000 * GB,
            total: 1000 * GB,
        };
        let large = MemoryBudget::new(TURBO, memory, 2 * GB, None);
        for frames in (200..=3000).step_by(100) {
            let windows = large.windows(&key(5), &[frames; 10_000]);
            let encoder_windows = large.encoder_windows(&key(5), frames, windows) as u64;
            let positions = encoder_positions(frames) as u64;
            assert!(windows as u64 * positions * 2 * 1280 < 1 << 32, "{frames}");
            let scores = encoder_windows * 20 * positions * positions;
            assert!(scores < 1 << 32, "{frames}");
            assert!(encoder_windows * positions * 4 * 1280 < 1 << 32, "{frames}");
            assert!(encoder_windows * positions * 3 * 1280 < 1 << 31, "{frames}");
        }
        let mixed: Vec<usize> = [200; 9000].into_iter().chain([1500; 9000]).collect();
        let windows = large.windows(&key(5), &mixed);
        let longest = encoder_positions(mixed[windows - 1]) as u64;
        assert!(windows as u64 * longest * 2 * 1280 < 1 << 32, "{windows}");
        assert_eq!(large.encoder_windows(&key(5), 3000, 95), 95);
        assert_eq!(large.encoder_windows(&key(5), 3000, 96), 48);
    }

    #[test]
    fn a_limit_includes_the_weights() {
        let memory = DeviceMemory {
            free: 70 * GB,
            total: 80 * GB,
        };
        let limited = MemoryBudget::new(TURBO, memory, 2 * GB, Some(10 * GB));
        assert_eq!(limited.available, 6 * GB);
        let small = MemoryBudget::new(TURBO, memory, 2 * GB, Some(GB));
        assert_eq!(small.windows(&key(5), &[3000; 512]), 1);
        assert_eq!(small.encoder_windows(&key(5), 3000, 1), 1);
    }

    #[test]
    fn slots_of_a_continuous_engine_fit_into_its_memory() {
        let large = on_80_gb(LARGE_V3, 31);
        let (windows, bytes) = large.slots(1000, 5);
        // Keys and values of 1,500 positions, and of 224 tokens of five hypotheses.
        let each = 2 * 32 * 1280 * 2 * (1500 + 5 * 224);
        assert_eq!((windows, bytes), (173, 173 * each));
        assert!(bytes <= large.available() && bytes + each > large.available());
        assert_eq!(large.slots(8, 5).0, 8);
        let tiny = MemoryBudget {
            available: 0,
            ..large
        };
        assert_eq!(tiny.slots(8, 5), (1, each));
    }

    #[test]
    fn engines_on_one_gpu_share_its_memory() {
        let memory = DeviceMemory {
            free: 78 * GB,
            total: 80 * GB,
        };
        let two = NonZeroUsize::new(2).unwrap();
        let share = memory.shared_by(two, 3 * GB);
        assert_eq!((share.free, share.total), (75 * GB / 2, 80 * GB));
        assert_eq!(memory.shared_by(NonZeroUsize::MIN, 3 * GB), memory);
        let tiny = DeviceMemory { free: GB, ..memory };
        assert_eq!(tiny.shared_by(two, 3 * GB).free, 0);
    }

    #[test]
    fn more_short_windows_fit_than_long_ones() {
        let large = on_80_gb(LARGE_V3, 31);
        let long = large.windows(&key(5), &[3000; 768]);
        assert!(large.windows(&key(5), &[1000; 768]) > long);
        let mixed: Vec<usize> = [1000; 100].into_iter().chain([3000; 668]).collect();
        let some_short = large.windows(&key(5), &mixed);
        assert!(some_short > long && some_short < long + 100);
        assert!(large.peak_bytes(&key(5), &mixed[..some_short]) <= large.available);
        assert!(large.peak_bytes(&key(5), &mixed[..=some_short]) > large.available);
    }

    #[test]
    fn the_budget_decreases_after_out_of_memory_errors() {
        let mut budget = on_80_gb(TURBO, 16);
        let key = key(5);
        let mut windows = budget.windows(&key, &[3000; 1024]);
        while windows > 1 {
            budget.reduce(&key, &vec![3000; windows]);
            let fewer = budget.windows(&key, &[3000; 1024]);
            assert!(fewer <= windows.div_ceil(2), "{windows} to {fewer}");
            windows = fewer;
        }
    }
}
