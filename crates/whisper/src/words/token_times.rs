//! Computes the times of words from those of their tokens.

use super::split::TokenGroup;
use super::{Alignment, Word, in_hundredths};
use crate::segments::TimedTokens;

/// Probability of a word without alignment: neither certain nor improbable.
const UNKNOWN_PROBABILITY: f32 = 0.5;

/// Times of the tokens with a valid alignment.
pub(super) struct TokenTimes<'a> {
    /// Start of each known token, followed by the end of the last one.
    starts_s: Vec<f64>,
    probabilities: &'a [f32],
}

impl<'a> TokenTimes<'a> {
    /// The part of `alignment` that matches `tokens` and is complete.
    pub(super) fn new(alignment: &'a Alignment, tokens: &[u32]) -> Self {
        let pairs = alignment.tokens.iter().zip(tokens);
        let known = pairs
            .take_while(|(aligned, token)| aligned == token)
            .count()
            .min(alignment.starts_s.len().saturating_sub(1))
            .min(alignment.probabilities.len());
        let starts_s = alignment.starts_s.iter().take(known + 1);
        Self {
            starts_s: starts_s
                .map(|&start_s| in_hundredths(start_s.into()))
                .collect(),
            probabilities: &alignment.probabilities[..known],
        }
    }

    /// The words of a segment whose first token has the index `from`, and the number of leading words with
    /// alignment.
    pub(super) fn time_words(
        &self,
        segment: &TimedTokens,
        groups: Vec<TokenGroup>,
        from: usize,
    ) -> (Vec<Word>, usize) {
        let mut from = from;
        let mut words: Vec<Word> = groups
            .into_iter()
            .map(|TokenGroup { text, tokens }| {
                let to = from + tokens;
                let known = self.probabilities.get(from..to);
                let (start_s, end_s, probability) = match known {
                    Some(known) => (self.starts_s[from], self.starts_s[to], mean(known)),
                    // Replaced by shares of the segment below.
                    None => (f64::NAN, f64::NAN, UNKNOWN_PROBABILITY),
                };
                from = to;
                Word {
                    text,
                    start_s,
                    end_s,
                    probability,
                }
            })
            .collect();
        let aligned = words.iter().take_while(|word| !word.end_s.is_nan()).count();
        let (known, unknown) = words.split_at_mut(aligned);
        let begin_s = known.last().map_or(segment.start_s, |word| word.end_s);
        let share_s = (segment.end_s - begin_s).max(0.0) / unknown.len().max(1) as f64;
        for (index, word) in unknown.iter_mut().enumerate() {
            word.start_s = begin_s + share_s * index as f64;
            word.end_s = word.start_s + share_s;
        }
        (words, aligned)
    }
}

fn mean(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().copied().map(f64::from).sum();
    (sum / values.len().max(1) as f64) as f32
}
