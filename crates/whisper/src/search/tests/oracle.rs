//! CTranslate2's search as it is written there: a batch of texts, beams in flat arrays, the best of all beams and tokens
//! at once, banned tokens with the lowest number, a forced prefix that replaces the result of each step.

use proptest::prelude::*;

use super::fake_model::{FakeModel, RowState, START, TIMESTAMP_BEGIN, ids, run};
use super::generators::{any_model, any_options};
use crate::search::random::{draw_key, gumbel_noise};
use crate::search::{ModelTokens, Options, Prefix, Timestamps, Token};

const LOWEST: f32 = f32::MIN;
/// Scores below this are of places that are filled for lack of candidates.
const FILLER: f32 = -1e9;

/// Tokens and score of a text.
type Hypothesis = (Vec<Token>, f32);

struct Batch<'a> {
    models: &'a [FakeModel],
    tokens: &'a ModelTokens,
    options: &'a Options,
    prefix: &'a [Token],
}

impl Batch<'_> {
    /// `BeamSearch::search`; the best hypothesis of each text. None if a filler was among the candidates.
    fn beam_search(&self) -> Option<Vec<Hypothesis>> {
        let beam_size = self.options.beam_size.get();
        let num_candidates = 2 * beam_size;
        let max_candidates = (beam_size as f32 * self.options.patience).round() as usize;
        let max_length = self.options.max_tokens.get();
        let mut results = vec![Vec::<Hypothesis>::new(); self.models.len()];
        let mut batch_offset: Vec<usize> = (0..self.models.len()).collect();
        let mut states: Vec<RowState> = self.models.iter().map(FakeModel::initial).collect();
        let mut topk_ids = vec![START; self.models.len()];
        let mut topk_scores: Option<Vec<f32>> = None;
        let mut alive_seq: Vec<Vec<Token>> = vec![Vec::new(); self.models.len()];
        for step in 0..max_length {
            let width = if step == 0 { 1 } else { beam_size };
            let rows = batch_offset.len() * width;
            let mut log_probs = Vec::new();
            for row in 0..rows {
                let model = &self.models[batch_offset[row / width]];
                states[row] = model.read(states[row], topk_ids[row]);
                let mut logits = model.logits(states[row]);
                self.process(step, &mut logits, &alive_seq[row]);
                log_softmax(&mut logits);
                log_probs.push(logits);
            }
            let mut next = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut kept = Vec::new();
            for (index, &batch) in batch_offset.iter().enumerate() {
                // (score, origin, token), sorted as a flat list.
                let mut flat = Vec::new();
                for row in index * width..(index + 1) * width {
                    let score = topk_scores.as_ref().map_or(0.0, |scores| scores[row]);
                    for (token, &log_prob) in (0..).zip(&log_probs[row]) {
                        flat.push((log_prob + score, row, log_prob, token));
                    }
                }
                flat.sort_by(|a: &(f32, usize, f32, Token), b| {
                    let order = b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
                    order.then(b.2.total_cmp(&a.2)).then(a.3.cmp(&b.3))
                });
                let mut candidates: Vec<(f32, usize, Token)> = flat[..num_candidates]
                    .iter()
                    .map(|&(score, row, _, token)| (score, row, token))
                    .collect();
                if step >= self.prefix.len() && candidates.iter().any(|other| other.0 < FILLER) {
                    return None;
                }
                if !self.prefix.is_empty() && step <= self.prefix.len() {
                    for (k, candidate) in candidates.iter_mut().enumerate() {
                        if let Some(&token) = self.prefix.get(step) {
                            *candidate = (if k == 0 { 0.0 } else { -1e10 }, index * width, token);
                        } else if k > 0 && candidate.2 == self.tokens.end_of_text {
                            *candidate = (-1e10, index * width, 0);
                        }
                    }
                }
                let sequence = |&(_, row, token): &(f32, usize, Token)| {
                    let mut sequence = alive_seq[row].clone();
                    sequence.push(token);
                    sequence
                };
                let is_last_step = step + 1 == max_length;
                let mut offset = beam_size;
                let mut active = Vec::new();
                let mut top_beam_finished = false;
                for k in 0..beam_size {
                    let is_eos = candidates[k].2 == self.tokens.end_of_text;
                    let mut next_beam = k;
                    if (is_eos && step >= self.prefix.len()) || is_last_step {
                        top_beam_finished |= k == 0;
                        let mut tokens = sequence(&candidates[k]);
                        tokens.truncate(if is_eos { step } else { step + 1 });
                        results[batch].push((tokens, candidates[k].0));
                        let is_open = |&j: &usize| candidates[j].2 != self.tokens.end_of_text;
                        if let Some(j) = (offset..num_candidates).find(is_open) {
                            next_beam = j;
                            offset = j + 1;
                        }
                    }
                    active.push(candidates[next_beam]);
                }
                let is_finished = is_last_step
                    || if self.options.length_penalty == 0.0 {
                        top_beam_finished
                    } else {
                        results[batch].len() >= max_candidates
                    };
                if !is_finished {
                    kept.push(batch);
                    for candidate in &active {
                        next.0.push(states[candidate.1]);
                        next.1.push(candidate.2);
                        next.2.push(candidate.0);
                        next.3.push(sequence(candidate));
                    }
                }
            }
            batch_offset = kept;
            states = next.0;
            topk_ids = next.1;
            topk_scores = Some(next.2);
            alive_seq = next.3;
        }
        let finals = results.into_iter().map(|texts| self.best(texts));
        Some(finals.collect())
    }

    /// `GreedySearch::search`, with `num_hypotheses` copies of each text if tokens are drawn.
    fn greedy_search(&self) -> Vec<Hypothesis> {
        let is_sampled = self.options.temperature > 0.0;
        let copies = if is_sampled {
            self.options.best_of.get()
        } else {
            1
        };
        let search = |model: &FakeModel| {
            let hypotheses = (0..copies).map(|copy| self.greedy_hypothesis(model, copy));
            self.best(hypotheses.collect())
        };
        self.models.iter().map(search).collect()
    }

    fn greedy_hypothesis(&self, model: &FakeModel, copy: usize) -> Hypothesis {
        let (mut state, mut sample_from, mut score) = (model.initial(), START, 0.0);
        let mut tokens: Vec<Token> = Vec::new();
        for step in 0..self.options.max_tokens.get() {
            state = model.read(state, sample_from);
            let mut log_probs = model.logits(state);
            self.process(step, &mut log_probs, &tokens);
            log_softmax(&mut log_probs);
            let value = |token: usize| {
                if self.options.temperature == 0.0 {
                    return log_probs[token];
                }
                let key = draw_key(self.options.random_stream, copy as u64, step as u64);
                log_probs[token] * (1.0 / self.options.temperature)
                    + gumbel_noise(key, token as Token)
            };
            // `max_by` takes the last of equal ones.
            let best = (0..log_probs.len())
                .rev()
                .max_by(|&a, &b| value(a).total_cmp(&value(b)));
            let mut best = best.unwrap() as Token;
            let mut best_prob = log_probs[best as usize];
            if let Some(&forced) = self.prefix.get(step) {
                (best, best_prob) = (forced, 0.0);
            }
            score += best_prob;
            if best == self.tokens.end_of_text {
                break;
            }
            tokens.push(best);
            sample_from = best;
        }
        (tokens, score)
    }

    /// `finalize_result`.
    fn best(&self, mut texts: Vec<Hypothesis>) -> Hypothesis {
        for (tokens, score) in &mut texts {
            *score /= (tokens.len() as f32).powf(self.options.length_penalty);
        }
        texts.sort_by(|a, b| b.1.total_cmp(&a.1));
        texts.swap_remove(0)
    }

    /// The logits processors, in their order.
    fn process(&self, step: usize, logits: &mut [f32], sequence: &[Token]) {
        let before = logits.to_vec();
        if self.options.repetition_penalty != 1.0 {
            for &token in sequence {
                let score = before[token as usize];
                logits[token as usize] = if score < 0.0 {
                    score * self.options.repetition_penalty
                } else {
                    score / self.options.repetition_penalty
                };
            }
        }
        let size = self.options.no_repeat_ngram_size;
        for end in size.max(1)..=sequence.len() {
            if size > 0 && sequence[end - size..end - 1] == sequence[sequence.len() + 1 - size..] {
                logits[sequence[end - 1] as usize] = LOWEST;
            }
        }
        for &token in &self.options.suppressed.tokens {
            logits[token as usize] = LOWEST;
        }
        let sample_begin = self.prefix.len();
        if self.options.suppress_blank && step == sample_begin {
            for &token in &self.tokens.blank {
                logits[token as usize] = LOWEST;
            }
        }
        if let Timestamps::Written { max_initial_index } = self.options.timestamps {
            self.timestamp_rules((step, sample_begin), logits, sequence, max_initial_index);
        }
    }

    /// `ApplyTimestampRules::apply`.
    fn timestamp_rules(
        &self,
        (step, sample_begin): (usize, usize),
        logits: &mut [f32],
        sequence: &[Token],
        max_initial: u32,
    ) {
        let begin = TIMESTAMP_BEGIN as usize;
        let eot = self.tokens.end_of_text as usize;
        let mut check = false;
        logits[self.tokens.no_timestamps as usize] = LOWEST;
        if step == sample_begin && step == 0 {
            logits[..begin].fill(LOWEST);
            let late = begin + max_initial as usize + 1;
            logits
                .iter_mut()
                .skip(late)
                .for_each(|logit| *logit = LOWEST);
        } else if step > sample_begin {
            let last = sequence[step - 1] as usize;
            if last >= begin {
                let before = if step - 1 > sample_begin {
                    sequence[step - 2] as usize
                } else {
                    last
                };
                if before >= begin {
                    logits[begin..].fill(LOWEST);
                } else {
                    logits[..eot].fill(LOWEST);
                    logits[begin..last].fill(LOWEST);
                    check = true;
                }
            } else {
                check = true;
                for at in (sample_begin..step).rev() {
                    let token = sequence[at] as usize;
                    if token >= begin {
                        logits[begin..=token].fill(LOWEST);
                        break;
                    }
                }
            }
        }
        // On the logits, which are the log probabilities and a constant.
        if check && log_sum_exp(&logits[begin..]) > maximum(&logits[..begin]) {
            logits[..begin].fill(LOWEST);
        }
    }
}

fn log_softmax(logits: &mut [f32]) {
    let total = log_sum_exp(logits);
    for logit in logits {
        *logit = (*logit - total).min(0.0);
    }
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let maximum = maximum(logits);
    let sum = logits
        .iter()
        .fold(0.0, |sum, logit| sum + (logit - maximum).exp());
    f32::ln(sum) + maximum
}

fn maximum(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(LOWEST, f32::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn texts_and_scores_are_those_of_the_batch_algorithm(
        models in prop::collection::vec(any_model(), 1..4),
        options in any_options(),
    ) {
        let Prefix::Forced(prefix) = &options.prefix else {
            return Err(TestCaseError::reject("CTranslate2 has no written prefix"));
        };
        let tokens = FakeModel::tokens();
        let batch = Batch { models: &models, tokens: &tokens, options: &options, prefix };
        let expected = if options.is_beam_search() {
            batch.beam_search()
        } else {
            Some(batch.greedy_search())
        };
        let Some(expected) = expected else {
            return Err(TestCaseError::reject("too few tokens are allowed"));
        };
        for (model, expected) in models.iter().zip(expected) {
            let text = run(model, &options, |_| ());
            prop_assert_eq!((ids(&text.tokens), text.score), expected);
        }
    }
}
