//! The interface of engines that write texts token by token: any windows share a step, whatever their options.

use std::sync::Arc;

use super::EngineError;
use crate::features::Features;
use crate::search::{Candidates, ModelTokens, Row, Token, TokenSet};

/// The number of [`TokenSet`] of the model's own suppressed tokens, which a decoder knows. The tokens of other sets are
/// sent with each row.
pub const MODEL_SUPPRESSED: u32 = 0;

/// Encodes windows, on the thread that owns it.
pub trait Encoder {
    /// The encoder's output for one window, for its decoders.
    type Encoding;

    /// Encodes windows of any lengths, in their order.
    ///
    /// # Errors
    /// [`EngineError`] when none was encoded.
    fn encode(&mut self, windows: &[EncoderInput<'_>]) -> Result<Vec<Self::Encoding>, EngineError>;
}

/// A window for the encoder.
#[derive(Clone, Copy, Debug)]
pub struct EncoderInput<'a> {
    /// Log-mel features of the window's own length.
    pub features: &'a Features,
    /// Length that it is padded to with silence, in frames.
    pub padded_frames: usize,
}

/// Writes tokens behind prompts, on the thread that owns it.
///
/// After an error of any function but [`close`](Self::close) its slots can only be closed.
pub trait Decoder {
    /// The encoder's output for one window.
    type Encoding;

    /// The model's tokens and context.
    fn model(&self) -> &DecoderModel;

    /// The language tokens with their probabilities, in any order, for each encoding.
    ///
    /// # Errors
    /// [`EngineError`].
    fn detect_languages(
        &mut self,
        encodings: &[&Self::Encoding],
    ) -> Result<Vec<Vec<(Token, f32)>>, EngineError>;

    /// Opens a slot for a window, and reads its prompt but for the last token, which is the input of the first row. The
    /// begin of a text may follow the prompt.
    ///
    /// # Errors
    /// [`EngineError`]; the slot is not open.
    fn open(
        &mut self,
        encoding: &Self::Encoding,
        prompt: &[Token],
    ) -> Result<OpenedSlot, EngineError>;

    /// Reads the token of each row and answers with candidates for the next, in the order of the rows. All rows of a
    /// slot stand together, in the order of its search.
    ///
    /// # Errors
    /// [`EngineError`].
    fn step(&mut self, rows: &[SlotRow<'_>]) -> Result<Vec<Candidates>, EngineError>;

    /// The times and probabilities of a text's tokens.
    ///
    /// # Errors
    /// [`EngineError`].
    fn align(
        &mut self,
        encoding: &Self::Encoding,
        text: &TextToAlign<'_>,
    ) -> Result<AlignedTokens, EngineError>;

    /// Frees a slot; no error if it is not open.
    fn close(&mut self, slot: SlotId);
}

/// What a search needs to know of a decoder's model.
#[derive(Clone, Debug)]
pub struct DecoderModel {
    /// The tokens that the rules refer to.
    pub tokens: Arc<ModelTokens>,
    /// Its own list of suppressed tokens, number [`MODEL_SUPPRESSED`].
    pub suppressed: Arc<TokenSet>,
    /// Length of the text context, in tokens.
    pub text_context: usize,
}

/// A place of a decoder for the texts of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotId(pub u64);

/// A slot whose prompt was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenedSlot {
    /// The slot.
    pub slot: SlotId,
    /// Probability that the window contains no speech, from the position of `<|startoftranscript|>`.
    pub no_speech_prob: f32,
}

/// A row of a step.
#[derive(Clone, Copy, Debug)]
pub struct SlotRow<'a> {
    /// The slot that it continues.
    pub slot: SlotId,
    /// Its token and rule.
    pub row: &'a Row,
}

/// A text for alignment.
#[derive(Clone, Copy, Debug)]
pub struct TextToAlign<'a> {
    /// The prompt without previous text and `<|notimestamps|>`.
    pub start: &'a [Token],
    /// The tokens of its text, without time stamps.
    pub tokens: &'a [Token],
    /// Frames of the window's audio.
    pub frames: usize,
}

/// An aligned text.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedTokens {
    /// The path of dynamic time warping: index of a token, and position of the encoding (20 ms).
    pub path: Vec<(i64, i64)>,
    /// Probability of each token.
    pub probabilities: Vec<f32>,
}
