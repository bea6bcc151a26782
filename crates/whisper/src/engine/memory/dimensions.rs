//! The memory of one window, by the sizes of its model.

use crate::features::encoder_positions;

/// Maximum number of tokens of a window's text; CTranslate2 ends it there.
pub(super) const MAX_TOKENS: u64 = 224;
/// Tensors of an encoder layer in addition to its attention scores, in tensors of one window's size.
const LAYER_TENSORS: u64 = 8;
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

    /// Memory of one window in the encoder, in bytes.
    pub(super) fn encoder_bytes(&self, frames: usize) -> u64 {
        let Dimensions {
            heads, value_bytes, ..
        } = *self;
        let scores = heads * context(frames) * context(frames) * value_bytes;
        2 * scores + LAYER_TENSORS * self.output_bytes(frames)
    }

    /// Elements per window of the largest tensor in the encoder's layers: its attention scores, or the
    /// inner layer of the feed-forward network.
    pub(super) fn encoder_elements(&self, frames: usize) -> u64 {
        let Dimensions { width, heads, .. } = *self;
        context(frames) * (heads * context(frames)).max(4 * width)
    }

    /// Elements per window of the unfolded input of the second convolution.
    pub(super) fn unfolded_elements(&self, frames: usize) -> u64 {
        context(frames) * KERNEL_WIDTH * self.width
    }

    /// Elements per window of the largest tensor in the decoder: keys and values of the audio.
    pub(super) fn cross_attention_elements(&self, frames: usize) -> u64 {
        context(frames) * 2 * self.width
    }

    /// Size of the encoder's output for one window, in bytes.
    pub(super) fn output_bytes(&self, frames: usize) -> u64 {
        context(frames) * self.width * self.value_bytes
    }
}

/// Positions in the encoder's output.
pub(super) fn context(frames: usize) -> u64 {
    encoder_positions(frames) as u64
}
