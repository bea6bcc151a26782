//! The input of a decoder step: rows, each with the rule for its next token.

use std::ops::Range;
use std::sync::Arc;

use super::options::{ModelTokens, Options, ScoredToken, Timestamps, Token, TokenSet};
use super::timestamps::restrict_timestamps;

/// One row of a decoder step.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Index of the row that this one continues, among the rows of the step before; 0 in the first step,
    /// whose rows all continue the prompt and prefix without their last token.
    pub parent: u32,
    /// The input: the token behind the parent's.
    pub token: Token,
    /// The rule for the next token.
    pub rule: Rule,
}

/// How a row's logits become candidates. The steps, in CTranslate2's order:
///
/// 1. The logit of each token in `previous` is divided by `repetition_penalty`, or multiplied if it is below 0.
/// 2. `suppressed`, `banned_tokens` and `banned_ranges` are banned: their logits become negative infinity.
/// 3. `timestamp_contest`: if the log-sum-exp of all time stamps is above the logit of the most probable token before
///    them, all those tokens are banned.
/// 4. The logits become log probabilities (log softmax in 32 bits).
/// 5. `pick` chooses the candidates. Banned tokens are no candidates, also where others are missing.
///
/// [`Rule::candidates`] is the reference implementation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The repetition penalty; 1 if there is none.
    pub repetition_penalty: f32,
    /// Tokens that the repetition penalty applies to, in ascending order, each once; empty without a penalty.
    pub previous: Vec<Token>,
    /// The suppressed tokens of the options.
    pub suppressed: Arc<TokenSet>,
    /// Further banned tokens.
    pub banned_tokens: Vec<Token>,
    /// Further banned tokens: at most two ranges, none of them empty.
    pub banned_ranges: Vec<Range<Token>>,
    /// The first time stamp, if time stamps and text compete by their probabilities.
    pub timestamp_contest: Option<Token>,
    /// Which tokens are the candidates.
    pub pick: Pick,
}

/// Which tokens of a row are its candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pick {
    /// The `k` most probable ones, or all if fewer are allowed; of equal ones the first in the vocabulary.
    Best {
        /// Number of candidates.
        k: usize,
    },
    /// One, drawn as [`random`](super::random) defines.
    Draw {
        /// The temperature, above 0.
        temperature: f32,
        /// The key of the random numbers.
        key: u64,
    },
}

impl Rule {
    /// The rule for the token behind `text`, prefix included.
    pub(super) fn new(
        model: &ModelTokens,
        options: &Options,
        text: &[ScoredToken],
        pick: Pick,
    ) -> Self {
        let begin = options.prefix.rules_begin();
        let mut rule = Self {
            repetition_penalty: options.repetition_penalty,
            previous: Vec::new(),
            suppressed: Arc::clone(&options.suppressed),
            banned_tokens: ends_of_repetitions(text, options.no_repeat_ngram_size),
            banned_ranges: Vec::new(),
            timestamp_contest: None,
            pick,
        };
        if options.repetition_penalty != 1.0 {
            rule.previous = distinct(text.iter());
        }
        if options.suppress_blank && text.len() == begin {
            rule.banned_tokens.extend_from_slice(&model.blank);
        }
        if let Timestamps::Written { max_initial_index } = options.timestamps {
            restrict_timestamps(&mut rule, model, text, (begin, max_initial_index));
        }
        rule
    }

    /// Bans the tokens of a range.
    pub(super) fn ban(&mut self, tokens: Range<Token>) {
        if !tokens.is_empty() {
            self.banned_ranges.push(tokens);
        }
    }
}

/// The tokens that would repeat a sequence of `size` tokens of the text (CTranslate2's `NoRepeatNgram`).
fn ends_of_repetitions(text: &[ScoredToken], size: usize) -> Vec<Token> {
    if size == 0 || text.len() < size {
        return Vec::new();
    }
    let last = &text[text.len() - (size - 1)..];
    let begins_with_last = |sequence: &&[ScoredToken]| {
        let mut pairs = sequence.iter().zip(last);
        pairs.all(|(a, b)| a.token == b.token)
    };
    let repeated = text.windows(size).filter(begins_with_last);
    distinct(repeated.filter_map(|sequence| sequence.last()))
}

/// The tokens in ascending order, each once.
fn distinct<'a>(scored: impl Iterator<Item = &'a ScoredToken>) -> Vec<Token> {
    let mut tokens: Vec<Token> = scored.map(|scored| scored.token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[Token], size: usize, expected: &[Token]) {
        let scored = text.iter().map(|&token| ScoredToken {
            token,
            log_prob: -1.0,
        });
        let scored: Vec<ScoredToken> = scored.collect();
        assert_eq!(
            ends_of_repetitions(&scored, size),
            expected,
            "{text:?} {size}"
        );
    }

    #[test]
    fn sequences_are_not_repeated() {
        check(&[], 1, &[]);
        check(&[], 2, &[]);
        check(&[3, 1, 3], 0, &[]);
        check(&[3, 1, 3], 1, &[1, 3]);
        check(&[3, 1, 3], 2, &[1]);
        check(&[3, 1, 3], 3, &[]);
        check(&[3, 1, 3, 2, 3], 2, &[1, 2]);
        check(&[3, 3], 2, &[3]);
        check(&[3], 2, &[]);
        check(&[1, 1, 1, 1], 3, &[1]);
        check(&[1, 2, 3, 1, 2, 4, 1, 2], 3, &[3, 4]);
        check(&[1, 2], 4, &[]);
    }
}
