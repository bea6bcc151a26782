//! The options of a search.

use std::num::NonZeroUsize;
use std::sync::Arc;

use thiserror::Error;

/// Lowest temperature of a draw. Below it the noise of a draw, less than 20 times the temperature, is within the
/// rounding of logarithms of probabilities, and these divided by a much lower one have no 32-bit float.
const MIN_DRAW_TEMPERATURE: f32 = 1e-6;

/// Index of a token in the vocabulary of a model.
pub type Token = u32;

/// A token with the logarithm of its probability, given the tokens before it and the rules of its row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub token: Token,
    /// Natural logarithm of its probability.
    pub log_prob: f32,
}

impl ScoredToken {
    /// Whether the token is not banned: devices may give banned ones the lowest number instead of
    /// negative infinity.
    pub(super) fn is_allowed(&self) -> bool {
        self.log_prob > f32::MIN
    }
}

/// The tokens of a model that rules refer to. Whisper's vocabulary is ordered: text, `<|endoftext|>`, other
/// special tokens, `<|notimestamps|>`, time stamps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTokens {
    /// `<|endoftext|>`.
    pub end_of_text: Token,
    /// `<|notimestamps|>`.
    pub no_timestamps: Token,
    /// `<|0.00|>`, the first time stamp.
    pub timestamp_begin: Token,
    /// Number of tokens; the last one is the last time stamp.
    pub vocabulary_size: Token,
    /// Tokens that no text may begin with (`suppress_ids_begin` of the model's `config.json`).
    pub blank: Vec<Token>,
}

/// A list of tokens that decoders know by a number, so that it is sent to a device once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    /// The number under which the decoder knows the list.
    pub number: u32,
    /// Its tokens, in ascending order.
    pub tokens: Vec<Token>,
}

/// Tokens that a text begins with, whatever their probability. The decoder reads them with the prompt, in
/// one pass. `max_tokens` counts them, and repetition penalty and n-grams apply to them.
#[derive(Clone, Debug, PartialEq)]
pub enum Prefix {
    /// Tokens behind the prompt, as in CTranslate2: they count as certain (log probability 0), and the
    /// rules for the begin of a text (blanks, time stamps) apply to the token behind them. Time stamps in
    /// them are not considered. Empty: the text has no prefix.
    Forced(Vec<Token>),
    /// The begin of the text as an earlier search of the same window wrote it: the search continues as
    /// if it had written these tokens itself. CTranslate2 has no such prefix.
    Written(Vec<ScoredToken>),
}

impl Default for Prefix {
    fn default() -> Self {
        Self::Forced(Vec::new())
    }
}

/// Whether a model writes time stamps; without them the last token of its prompt is `<|notimestamps|>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The model writes text only.
    None,
    /// The model writes time stamps in pairs.
    Written {
        /// Maximum of the first time stamp, in steps of 20 ms; CTranslate2's default is 50.
        max_initial_index: u32,
    },
}

/// Options of the search for one text. The names and meanings are those of CTranslate2's `WhisperOptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The last token of the prompt: the first input of the search.
    pub start: Token,
    /// Tokens that the text begins with.
    pub prefix: Prefix,
    /// Maximum number of tokens of a text ([`max_tokens`]).
    pub max_tokens: NonZeroUsize,
    /// Number of hypotheses at temperature 0; 1 is greedy.
    pub beam_size: NonZeroUsize,
    /// A beam search ends when `beam_size * patience` hypotheses, rounded, have ended.
    pub patience: f32,
    /// At 0 the most probable tokens are taken; above 0, tokens are drawn. Below 1e-6 it counts as 0.
    pub temperature: f32,
    /// Number of texts drawn at a temperature above 0, of which the most probable is kept.
    pub best_of: NonZeroUsize,
    /// Key of the random numbers, see [`random_stream`](super::random_stream).
    pub random_stream: u64,
    /// Exponent of the length by which the score of a text is divided.
    pub length_penalty: f32,
    /// Above 1, tokens of the text become less probable.
    pub repetition_penalty: f32,
    /// No sequence of this many tokens is repeated; 0 allows repetitions.
    pub no_repeat_ngram_size: usize,
    /// Tokens that are never written.
    pub suppressed: Arc<TokenSet>,
    /// Whether a text may not begin with one of [`ModelTokens::blank`].
    pub suppress_blank: bool,
    /// Whether time stamps are written.
    pub timestamps: Timestamps,
}

/// Why a search cannot have these options; the bounds are CTranslate2's.
#[derive(Debug, Error, PartialEq)]
pub enum OptionsError {
    /// No hypothesis could end the search.
    #[error("beam_size {beam_size} times patience {patience} must be at least 0.5 and finite")]
    Patience {
        /// The beam size.
        beam_size: usize,
        /// The patience.
        patience: f32,
    },
    /// The repetition penalty divides.
    #[error("repetition penalty {0} must be above 0 and finite")]
    RepetitionPenalty(f32),
    /// The length penalty is not a number.
    #[error("length penalty {0} must be finite")]
    LengthPenalty(f32),
    /// The temperature is not a number, or below 0.
    #[error("temperature {0} must be at least 0 and finite")]
    Temperature(f32),
    /// A token that the model does not have.
    #[error("token {0} is not in the vocabulary")]
    Token(Token),
}

impl Options {
    /// Refuses options that make no search.
    pub(super) fn check(&self, model: &ModelTokens) -> Result<(), OptionsError> {
        let is_finite_above_0 = |value: f32| value > 0.0 && value.is_finite();
        if self.is_beam_search() && !is_finite_above_0(self.max_ended()) {
            return Err(OptionsError::Patience {
                beam_size: self.beam_size.get(),
                patience: self.patience,
            });
        }
        if !is_finite_above_0(self.repetition_penalty) {
            return Err(OptionsError::RepetitionPenalty(self.repetition_penalty));
        }
        if !self.length_penalty.is_finite() {
            return Err(OptionsError::LengthPenalty(self.length_penalty));
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(OptionsError::Temperature(self.temperature));
        }
        let prefix = self.prefix.tokens();
        let tokens = prefix.iter().map(|scored| scored.token);
        let mut tokens = tokens.chain([self.start]);
        match tokens.find(|&token| token >= model.vocabulary_size) {
            Some(token) => Err(OptionsError::Token(token)),
            None => Ok(()),
        }
    }

    /// The temperature at which tokens are drawn; none if the most probable ones are taken.
    pub(super) fn draw_temperature(&self) -> Option<f32> {
        (self.temperature >= MIN_DRAW_TEMPERATURE).then_some(self.temperature)
    }

    /// Whether hypotheses compete for places; otherwise each one is continued by itself.
    pub(super) fn is_beam_search(&self) -> bool {
        self.draw_temperature().is_none() && self.beam_size.get() > 1
    }

    /// The number of ended hypotheses that ends a beam search; rounded as in CTranslate2.
    pub(super) fn max_ended(&self) -> f32 {
        (self.beam_size.get() as f32 * self.patience).round()
    }
}

impl Prefix {
    /// Its tokens; forced ones are certain.
    pub(super) fn tokens(&self) -> Vec<ScoredToken> {
        let certain = |&token: &Token| ScoredToken {
            token,
            log_prob: 0.0,
        };
        match self {
            Self::Forced(tokens) => tokens.iter().map(certain).collect(),
            Self::Written(tokens) => tokens.clone(),
        }
    }

    /// The number of tokens before the begin of the text as the rules see it.
    pub(super) fn rules_begin(&self) -> usize {
        match self {
            Self::Forced(tokens) => tokens.len(),
            Self::Written(_) => 0,
        }
    }
}

/// The maximum length of a text behind a prompt of `prompt_tokens`, without the prefix, in a text context of
/// `context` tokens (Whisper's has 448): half of the context, or what is left of it.
#[must_use]
pub fn max_tokens(context: usize, prompt_tokens: usize) -> Option<NonZeroUsize> {
    // The last token of the prompt is the first input of the search.
    let left = context.saturating_sub(prompt_tokens.saturating_sub(1));
    NonZeroUsize::new(left.min(context / 2))
}
