//! The reference of how a decoder applies a rule to logits.
//!
//! Decoders on devices are tested against it; fake decoders use it.

use super::candidates::Candidates;
use super::options::{ScoredToken, Token};
use super::random::gumbel_noise;
use super::rule::{Pick, Rule};

impl Rule {
    /// The candidates of a row with these logits, one per token of the vocabulary.
    #[must_use]
    pub fn candidates(&self, mut logits: Vec<f32>) -> Candidates {
        self.penalize(&mut logits);
        self.ban_tokens(&mut logits);
        log_softmax(&mut logits);
        match self.pick {
            Pick::Best { k } => best(&logits, k),
            Pick::Draw { temperature, key } => draw(&logits, temperature, key),
        }
    }

    fn penalize(&self, logits: &mut [f32]) {
        for &token in &self.previous {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit < 0.0 {
                    *logit * self.repetition_penalty
                } else {
                    *logit / self.repetition_penalty
                };
            }
        }
    }

    fn ban_tokens(&self, logits: &mut [f32]) {
        for &token in self.suppressed.tokens.iter().chain(&self.banned_tokens) {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        for range in &self.banned_ranges {
            if let Some(logits) = logits.get_mut(range.start as usize..range.end as usize) {
                logits.fill(f32::NEG_INFINITY);
            }
        }
        let contest = self.timestamp_contest.map(|first| first as usize);
        if let Some((text, timestamps)) = contest.and_then(|at| logits.split_at_mut_checked(at))
            && log_sum_exp(timestamps) > maximum(text)
        {
            text.fill(f32::NEG_INFINITY);
        }
    }
}

/// The `k` most probable tokens, in this order; of equal ones the first in the vocabulary comes first.
fn best(log_probs: &[f32], k: usize) -> Candidates {
    let mut best: Candidates = Vec::with_capacity(k + 1);
    for scored in allowed(log_probs) {
        if best.len() == k
            && best
                .last()
                .is_some_and(|last| scored.log_prob <= last.log_prob)
        {
            continue;
        }
        let place = best.partition_point(|other| other.log_prob >= scored.log_prob);
        best.insert(place, scored);
        best.truncate(k);
    }
    best
}

/// The token that is drawn at this temperature.
fn draw(log_probs: &[f32], temperature: f32, key: u64) -> Candidates {
    let scale = 1.0 / temperature;
    let mut drawn: Option<(f32, ScoredToken)> = None;
    for scored in allowed(log_probs) {
        let value = scored.log_prob * scale + gumbel_noise(key, scored.token);
        if drawn.is_none_or(|(greatest, _)| value > greatest) {
            drawn = Some((value, scored));
        }
    }
    drawn.into_iter().map(|(_, scored)| scored).collect()
}

/// The tokens that are not banned.
fn allowed(log_probs: &[f32]) -> impl Iterator<Item = ScoredToken> {
    let tokens = 0..log_probs.len() as Token;
    let scored = tokens
        .zip(log_probs)
        .map(|(token, &log_prob)| ScoredToken { token, log_prob });
    scored.filter(ScoredToken::is_allowed)
}

fn log_softmax(logits: &mut [f32]) {
    let total = log_sum_exp(logits);
    if total == f32::NEG_INFINITY {
        return;
    }
    for logit in logits {
        // The log-sum-exp is rounded and may be just below the only logit.
        *logit = (*logit - total).min(0.0);
    }
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let maximum = maximum(logits);
    if maximum == f32::NEG_INFINITY {
        return maximum;
    }
    let sum: f32 = logits.iter().map(|logit| (logit - maximum).exp()).sum();
    sum.ln() + maximum
}

fn maximum(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::options::TokenSet;
    use super::super::random::draw_key;
    use super::*;

    fn rule(pick: Pick) -> Rule {
        Rule {
            repetition_penalty: 1.0,
            previous: Vec::new(),
            suppressed: Arc::new(TokenSet::default()),
            banned_tokens: Vec::new(),
            banned_ranges: Vec::new(),
            timestamp_contest: None,
            pick,
        }
    }

    #[track_caller]
    fn check(rule: &Rule, logits: &[f32], expected: &[Token]) {
        let candidates = rule.candidates(logits.to_vec());
        let tokens: Vec<Token> = candidates.iter().map(|scored| scored.token).collect();
        assert_eq!(tokens, expected);
        let total: f32 = candidates.iter().map(|scored| scored.log_prob.exp()).sum();
        assert!((total - 1.0).abs() < 1e-5, "{candidates:?}");
    }

    #[test]
    fn candidates_are_the_best_allowed_tokens_in_order() {
        let all = rule(Pick::Best { k: 9 });
        check(&all, &[1.0, 2.0, 2.0, 0.0, 3.0], &[4, 1, 2, 0, 3]);
        let banned = Rule {
            suppressed: Arc::new(TokenSet {
                number: 0,
                tokens: vec![4],
            }),
            banned_tokens: vec![1],
            banned_ranges: vec![3..4, 5..6],
            ..all.clone()
        };
        check(&banned, &[1.0, 2.0, 2.0, 0.0, 3.0, 9.0], &[2, 0]);
        let penalized = Rule {
            repetition_penalty: 4.0,
            previous: vec![0, 2],
            ..all
        };
        check(&penalized, &[3.0, 1.0, -1.0, -2.0], &[1, 0, 3, 2]);
        let best = rule(Pick::Best { k: 2 }).candidates(vec![0.0, 1.0, 1.0, 1.0]);
        assert_eq!(best.len(), 2);
        assert_eq!((best[0].token, best[1].token), (1, 2));
    }

    #[test]
    fn time_stamps_win_by_their_sum() {
        let contest = Rule {
            timestamp_contest: Some(2),
            ..rule(Pick::Best { k: 9 })
        };
        // ln(e^1 + e^1) is 1.69.
        check(&contest, &[0.0, 1.6, 1.0, 1.0], &[2, 3]);
        check(&contest, &[0.0, 1.8, 1.0, 1.0], &[1, 2, 3, 0]);
    }

    #[test]
    fn draws_have_the_probabilities_of_the_temperature() {
        let logits = [0.0, 1.0, 2.0, -1.0];
        let draws = 20_000;
        for temperature in [0.5, 1.0, 2.0] {
            let mut counts = [0_u32; 4];
            for position in 0..draws {
                let key = draw_key(3, 0, position);
                let drawn = rule(Pick::Draw { temperature, key }).candidates(logits.to_vec());
                counts[drawn[0].token as usize] += 1;
                let unscaled = rule(Pick::Best { k: 4 }).candidates(logits.to_vec());
                assert!(unscaled.contains(&drawn[0]));
            }
            let weights = logits.map(|logit: f32| f64::from(logit / temperature).exp());
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let expected = draws as f64 * weight / total;
                let error = (f64::from(*count) - expected).abs();
                assert!(error < 4.0 * expected.sqrt(), "{counts:?} {expected}");
            }
        }
    }
}
