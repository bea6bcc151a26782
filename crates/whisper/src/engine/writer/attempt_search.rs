//! The search of an attempt, from the options of its request.

use std::sync::Arc;

use super::{WindowTask, batch_error};
use crate::engine::decoder::{DecoderModel, MODEL_SUPPRESSED};
use crate::engine::{EngineError, GenerateOptions, RandomSeed};
use crate::search::{
    Options, Prefix, ScoredToken, Search, Timestamps, TokenSet, max_tokens, random_stream,
};

/// Latest first time stamp, in steps of 20 ms (the reference's).
const MAX_INITIAL_TIMESTAMP: u32 = 50;

/// A number of [`TokenSet`] that no decoder knows.
const SENT_WITH_ROWS: u32 = MODEL_SUPPRESSED + 1;

/// What the attempts of a window differ in.
pub(super) struct AttemptStart<'a> {
    /// Number of attempts before it.
    pub index: usize,
    pub temperature: f32,
    /// The begin of the text that an earlier attempt wrote and that its caller has received.
    pub sent: &'a [ScoredToken],
}

/// The search of an attempt.
pub(super) fn new_search(
    model: &DecoderModel,
    task: &WindowTask,
    prompt: &[u32],
    attempt: &AttemptStart<'_>,
) -> Result<Search, EngineError> {
    let GenerateOptions {
        beam_size,
        best_of,
        patience,
        length_penalty,
        repetition_penalty,
        no_repeat_ngram_size,
        suppress_tokens,
        temperature: _,
        timestamps,
    } = &task.options;
    let RandomSeed { seed, window } = task.random_seed;
    let no_place = || EngineError::Batch("the prompt leaves no place for a text".to_owned());
    let options = Options {
        start: *prompt.last().ok_or_else(no_place)?,
        prefix: Prefix::Written(attempt.sent.to_vec()),
        max_tokens: max_tokens(model.text_context, prompt.len()).ok_or_else(no_place)?,
        beam_size: *beam_size,
        patience: *patience,
        temperature: attempt.temperature,
        best_of: *best_of,
        random_stream: random_stream(seed, window, attempt.index as u64),
        length_penalty: *length_penalty,
        repetition_penalty: *repetition_penalty,
        no_repeat_ngram_size: *no_repeat_ngram_size,
        suppressed: suppressed(model, suppress_tokens),
        suppress_blank: true,
        timestamps: if *timestamps {
            Timestamps::Written {
                max_initial_index: MAX_INITIAL_TIMESTAMP,
            }
        } else {
            Timestamps::None
        },
    };
    Search::new(Arc::clone(&model.tokens), options).map_err(batch_error)
}

/// The suppressed tokens of a request; -1 stands for the model's own list.
pub(super) fn suppressed(model: &DecoderModel, tokens: &[i32]) -> Arc<TokenSet> {
    if tokens == [-1] {
        return Arc::clone(&model.suppressed);
    }
    let own = if tokens.contains(&-1) {
        model.suppressed.tokens.as_slice()
    } else {
        &[]
    };
    let requested = tokens.iter().filter_map(|&token| u32::try_from(token).ok());
    let mut tokens: Vec<u32> = requested.chain(own.iter().copied()).collect();
    tokens.retain(|&token| token < model.tokens.vocabulary_size);
    tokens.sort_unstable();
    tokens.dedup();
    Arc::new(TokenSet {
        number: SENT_WITH_ROWS,
        tokens,
    })
}
