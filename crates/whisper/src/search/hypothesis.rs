//! Texts of a search: open hypotheses, and the best one that has ended.

use super::options::{ScoredToken, Token};

/// The begin of a text that is still written.
#[derive(Clone, Debug, Default)]
pub(super) struct Hypothesis {
    /// Its tokens, the prefix included.
    pub tokens: Vec<ScoredToken>,
    /// The sum of the log probabilities, in the order of the tokens.
    pub sum: f32,
    /// Its index among the texts that are drawn; 0 in other searches.
    pub index: usize,
}

/// How a text ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TextEnd {
    /// By `<|endoftext|>`, which has this log probability and is not among the tokens.
    EndOfText(f32),
    /// At the maximum length, or where no token was allowed.
    Cut,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its tokens, the prefix included, `<|endoftext|>` excluded.
    pub tokens: Vec<ScoredToken>,
    /// How it ended.
    pub end: TextEnd,
    /// CTranslate2's score: the sum of the log probabilities, `<|endoftext|>` included, divided by the
    /// number of tokens to the power of the length penalty. Negative infinity for an empty text with
    /// a length penalty above 0.
    pub score: f32,
    /// Mean log probability of a token, `<|endoftext|>` included, as the quality of a text is judged by.
    pub avg_logprob: f32,
}

impl Text {
    /// Its tokens without their log probabilities.
    #[must_use]
    pub fn token_ids(&self) -> Vec<Token> {
        self.tokens.iter().map(|scored| scored.token).collect()
    }
}

/// The hypotheses that have ended: their number, and the best of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub count: usize,
    best: Option<(usize, Text)>,
}

impl Hypothesis {
    /// A hypothesis of these tokens.
    pub fn new(tokens: Vec<ScoredToken>, index: usize) -> Self {
        let sum = tokens.iter().map(|scored| scored.log_prob);
        Self {
            sum: sum.fold(0.0, |sum, log_prob| sum + log_prob),
            tokens,
            index,
        }
    }

    /// Appends a token.
    pub fn push(&mut self, next: ScoredToken) {
        self.tokens.push(next);
        self.sum += next.log_prob;
    }

    /// This hypothesis and one more token.
    pub fn continued(&self, next: ScoredToken) -> Self {
        let mut continued = self.clone();
        continued.push(next);
        continued
    }

    /// The text that ends here.
    pub fn end(&self, end: TextEnd, length_penalty: f32) -> Text {
        let sum = match end {
            TextEnd::EndOfText(log_prob) => self.sum + log_prob,
            TextEnd::Cut => self.sum,
        };
        let length = self.tokens.len() as f32;
        let power = length.powf(length_penalty);
        let score = if power > 0.0 {
            sum / power
        } else {
            f32::NEG_INFINITY
        };
        // Callers of CTranslate2 compute the sum from the score.
        let total = score * power;
        let total = if total.is_finite() { total } else { sum };
        Text {
            tokens: self.tokens.clone(),
            end,
            score,
            avg_logprob: total / (length + 1.0),
        }
    }
}

impl Ended {
    /// Counts a text, and keeps it if it has the best score; of equal ones that with the lowest `order`.
    pub fn push(&mut self, order: usize, text: Text) {
        self.count += 1;
        let is_better = match &self.best {
            Some((best, kept)) if text.score == kept.score => order < *best,
            Some((_, kept)) => text.score > kept.score,
            None => true,
        };
        if is_better {
            self.best = Some((order, text));
        }
    }

    /// The best text.
    pub fn best(&self) -> Option<&Text> {
        self.best.as_ref().map(|(_, text)| text)
    }

    /// The best text.
    pub fn into_best(self) -> Option<Text> {
        self.best.map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log_probs: &[f32], end: TextEnd, length_penalty: f32, score: f32, avg_logprob: f32) {
        let tokens = log_probs
            .iter()
            .map(|&log_prob| ScoredToken { token: 1, log_prob });
        let text = Hypothesis::new(tokens.collect(), 0).end(end, length_penalty);
        assert_eq!((text.score, text.avg_logprob), (score, avg_logprob));
    }

    #[test]
    fn scores_are_normalised_by_length() {
        check(&[-1.0, -2.0], TextEnd::EndOfText(-3.0), 1.0, -3.0, -2.0);
        check(&[-1.0, -2.0], TextEnd::EndOfText(-3.0), 0.0, -6.0, -2.0);
        check(&[-1.0, -2.0], TextEnd::Cut, 2.0, -0.75, -1.0);
        check(&[], TextEnd::EndOfText(-3.0), 1.0, f32::NEG_INFINITY, -3.0);
        check(&[], TextEnd::EndOfText(-3.0), 0.0, -3.0, -3.0);
    }

    #[test]
    fn the_first_of_equal_texts_is_the_best() {
        let text = |score| Text {
            tokens: Vec::new(),
            end: TextEnd::Cut,
            score,
            avg_logprob: score,
        };
        let mut ended = Ended::default();
        for (order, score) in [
            (3, f32::NEG_INFINITY),
            (2, -1.0),
            (1, -1.0),
            (4, -1.0),
            (0, -2.0),
        ] {
            ended.push(order, text(score));
        }
        assert_eq!(ended.count, 5);
        assert_eq!(ended.best.map(|(order, _)| order), Some(1));
    }
}
