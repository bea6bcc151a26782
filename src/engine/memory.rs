//! What a batch takes of a card's memory, so how many windows go through it in one call. Pure.
//!
//! The encoder's attention scores bound a call of the encoder, the caches of the decoder bound a
//! generation; the two follow one another, so the larger of them counts (docs/gpu.md).

use std::num::NonZeroUsize;

use crate::batch::BatchKey;
use crate::features::encoder_positions;

/// Tokens that a window's text has at most; CTranslate2 ends it there.
const MAX_TOKENS: u64 = 224;
/// Tensors of an encoder layer beside its attention scores, in tensors of one window's size.
const LAYER_TENSORS: u64 = 8;
/// Outputs of the encoder that are there at one time: the parts, and what they are joined into.
const OUTPUT_COPIES: u64 = 2;
/// Bytes of a token's score: as the model gives it, and its logarithm in 32 bits, twice.
const SCORE_BYTES: u64 = 12;
/// Left free for the library's own buffers: matrix products, sampling, fragmentation.
const RESERVE_BYTES: u64 = 2_000_000_000;
/// The encoder may have this part of the memory also where the generation needs less.
const ENCODER_SHARE: u64 = 4;
/// Windows in a call of the encoder: more make a card no busier, and what the next call needs is brought there while
/// one runs.
const MOST_AT_ONCE: usize = 128;
/// Numbers of one tensor: CTranslate2 counts them in 32 bits on a card (`index_t` of its `cuda/helpers.h`), and beyond
/// that computes with the wrong ones, without an error.
const MAX_NUMBERS: u64 = u32::MAX as u64;
/// The same for what its convolutions unfold: it counts that with a sign (`ops/conv1d_gpu.cu`).
const MAX_UNFOLDED: u64 = i32::MAX as u64;
/// Inputs of a convolution for each output.
const KERNEL: u64 = 3;

/// The sizes of a model that its memory depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Width of its layers.
    pub width: u64,
    /// Attention heads of a layer.
    pub heads: u64,
    /// Layers of the decoder.
    pub decoder_layers: u64,
    /// Tokens it knows.
    pub vocabulary_size: u64,
    /// Bytes of a number that is computed with.
    pub value_bytes: u64,
}

/// Memory of a card, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// What nobody uses.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl DeviceMemory {
    /// What one of several engines may count on that are loaded onto the card at one time, each with weights of so
    /// many bytes.
    #[must_use]
    pub fn shared_by(self, engines: NonZeroUsize, weights: u64) -> Self {
        let engines = engines.get() as u64;
        // The others may not have theirs yet.
        let left = self.free.saturating_sub((engines - 1) * weights);
        Self {
            free: left / engines,
            ..self
        }
    }
}

/// The memory that batches of a model may take on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    dimensions: Dimensions,
    available: u64,
}

impl MemoryBudget {
    /// For a model that is loaded already: what `memory` has free, but not more than `limit` holds
    /// beside its `weights`, less a reserve.
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

    /// How many windows that are padded to so many frames are generated together, the first of them; at least one.
    #[must_use]
    pub fn windows(&self, key: &BatchKey, lengths: &[usize]) -> usize {
        let fits = |&count: &usize| {
            let first = &lengths[..count];
            // Encodings are joined as long as the longest.
            let longest = first.iter().copied().max().unwrap_or(0);
            let numbers = count as u64 * self.memory_numbers(longest);
            numbers <= MAX_NUMBERS && self.generation_bytes(key, first) <= self.available
        };
        // More windows never take less.
        let counts: Vec<usize> = (1..=lengths.len()).collect();
        counts.partition_point(fits).max(1)
    }

    /// Windows in one call of the encoder where `windows` are padded to so many frames; at least one.
    #[must_use]
    pub fn encoder_windows(&self, key: &BatchKey, frames: usize, windows: usize) -> usize {
        let count = windows as u64;
        let generation = self.generation_bytes(key, &vec![frames; windows]);
        let room = generation.max(self.available / ENCODER_SHARE);
        let room = room.min(self.available);
        let scratch = room.saturating_sub(count * self.output_bytes(frames));
        let counted = windows.min(MOST_AT_ONCE);
        let counted = fit(MAX_NUMBERS, self.encoder_numbers(frames), counted);
        let counted = fit(MAX_UNFOLDED, self.unfolded_numbers(frames), counted);
        let most = fit(scratch, self.encoder_bytes(frames), counted);
        // Calls of one size, rather than full ones and a small one behind them.
        windows.div_ceil(windows.div_ceil(most).max(1)).max(1)
    }

    /// The most memory that windows padded to so many frames take, beside the weights, in bytes.
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

    /// Remembers that windows padded to so many frames were too much: from now on half of it is the bound.
    pub fn shrink(&mut self, key: &BatchKey, lengths: &[usize]) {
        self.available = self.available.min(self.peak_bytes(key, lengths)) / 2;
    }

    /// While windows padded to so many frames are generated.
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
        // Beams share what they attend to in the audio, and each has its own text.
        let a_beam = keys_and_values * tokens + vocabulary_size * SCORE_BYTES;
        let texts = key.options.hypotheses() as u64 * a_beam;
        // Encodings that are joined are as long as the longest; what is made of them has their own length.
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let a_window = OUTPUT_COPIES * self.output_bytes(longest) + texts;
        let positions: u64 = lengths.iter().map(|&frames| context(frames)).sum();
        lengths.len() as u64 * a_window + keys_and_values * positions
    }

    /// Of one window, while it is in the encoder.
    fn encoder_bytes(&self, frames: usize) -> u64 {
        let Dimensions {
            heads, value_bytes, ..
        } = self.dimensions;
        let scores = heads * context(frames) * context(frames) * value_bytes;
        2 * scores + LAYER_TENSORS * self.output_bytes(frames)
    }

    /// Of one window, in the largest tensor of the encoder's layers: its attention scores, or what the
    /// feed-forward network is inside.
    fn encoder_numbers(&self, frames: usize) -> u64 {
        let Dimensions { width, heads, .. } = self.dimensions;
        context(frames) * (heads * context(frames)).max(4 * width)
    }

    /// Of one window, in the input of the second convolution, unfolded.
    fn unfolded_numbers(&self, frames: usize) -> u64 {
        context(frames) * KERNEL * self.dimensions.width
    }

    /// Of one window, in the largest tensor of the decoder: keys and values of the audio, side by side.
    fn memory_numbers(&self, frames: usize) -> u64 {
        context(frames) * 2 * self.dimensions.width
    }

    /// What the encoder makes of one window.
    fn output_bytes(&self, frames: usize) -> u64 {
        context(frames) * self.dimensions.width * self.dimensions.value_bytes
    }
}

/// Positions of the encoder's output.
fn context(frames: usize) -> u64 {
    encoder_positions(frames) as u64
}

/// How many of `wanted` fit, each of `bytes`; at least one.
fn fit(available: u64, bytes: u64, wanted: usize) -> usize {
    let most = available / bytes.max(1);
    usize::try_from(most)
        .unwrap_or(usize::MAX)
        .clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::GenerateOptions;

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

    /// A card of 80 GB that holds the weights, in hundreds of megabytes, and what the driver wants.
    fn on_80_gb(dimensions: Dimensions, weights: u64) -> MemoryBudget {
        let memory = DeviceMemory {
            free: 80 * GB - weights * GB / 10 - GB / 2,
            total: 80 * GB,
        };
        MemoryBudget::new(dimensions, memory, weights * GB / 10, None)
    }

    /// Windows of 30 s together, in one call of the encoder, and gigabytes beside the weights.
    #[track_caller]
    fn check(budget: MemoryBudget, beam_size: usize, wanted: usize, plan: (usize, usize, u64)) {
        let key = key(beam_size);
        let windows = budget.windows(&key, &vec![3000; wanted]);
        let peak = budget.peak_bytes(&key, &vec![3000; windows]);
        let at_once = budget.encoder_windows(&key, 3000, windows);
        let found = (windows, at_once, peak / GB);
        assert_eq!(found, plan, "{wanted} windows at beam {beam_size}");
        assert!(peak <= budget.available);
    }

    /// Each row of the old documentation's table, for a card of 80 GB.
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
    fn no_tensor_has_more_numbers_than_are_counted_on_a_card() {
        let memory = DeviceMemory {
            free: 1000 * GB,
            total: 1000 * GB,
        };
        let plenty = MemoryBudget::new(TURBO, memory, 2 * GB, None);
        for frames in (200..=3000).step_by(100) {
            let windows = plenty.windows(&key(5), &[frames; 10_000]);
            let at_once = plenty.encoder_windows(&key(5), frames, windows) as u64;
            let positions = encoder_positions(frames) as u64;
            assert!(windows as u64 * positions * 2 * 1280 < 1 << 32, "{frames}");
            assert!(at_once * 20 * positions * positions < 1 << 32, "{frames}");
            assert!(at_once * positions * 4 * 1280 < 1 << 32, "{frames}");
            assert!(at_once * positions * 3 * 1280 < 1 << 31, "{frames}");
        }
        let mixed: Vec<usize> = [200; 9000].into_iter().chain([1500; 9000]).collect();
        let windows = plenty.windows(&key(5), &mixed);
        let longest = encoder_positions(mixed[windows - 1]) as u64;
        assert!(windows as u64 * longest * 2 * 1280 < 1 << 32, "{windows}");
        assert_eq!(plenty.encoder_windows(&key(5), 3000, 95), 95);
        assert_eq!(plenty.encoder_windows(&key(5), 3000, 96), 48);
    }

    #[test]
    fn a_limit_counts_the_weights() {
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
    fn engines_of_one_card_share_its_memory() {
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
    fn short_windows_leave_room_for_more() {
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
    fn what_was_too_much_is_not_tried_again() {
        let mut budget = on_80_gb(TURBO, 16);
        let key = key(5);
        let mut windows = budget.windows(&key, &[3000; 1024]);
        while windows > 1 {
            budget.shrink(&key, &vec![3000; windows]);
            let fewer = budget.windows(&key, &[3000; 1024]);
            assert!(fewer <= windows.div_ceil(2), "{windows} to {fewer}");
            windows = fewer;
        }
    }
}
