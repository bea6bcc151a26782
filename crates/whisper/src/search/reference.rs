//! The reference of how a decoder applies a rule to logits.
//!
//! Decoders on devices are tested against it; fake decoders use it.

use super::options::{ScoredToken, Token};
use super::random::gumbel_noise;
use super::rule::{Candidates, Pick, Rule};

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
    scored.filter(|scored| scored.is_allowed())
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
