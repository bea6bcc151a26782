//! The token search of Whisper for one window: greedy, beam search and sampling.
//!
//! A search is pure. It returns the rows of the next decoder step ([`Search::rows`]), takes the candidates of each
//! ([`Search::advance`]), and knows no device, batch or clock, so a text depends on nothing but its logits and options.
//!
//! Held to CTranslate2 4.8 (`decoding.cc`, `decoding_utils.cc`, `sampling.cc`, `models/whisper.cc`): rules, scores in 32
//! bits added in the order of the tokens, end of the search, choice of the text. Deliberate differences:
//!
//! - **Ties.** Of equal scores that of the earlier hypothesis is better, then the candidate that its row names first. In
//!   CTranslate2 `std::partial_sort` decides, whose order of equal elements is unspecified.
//! - **Banned tokens are never written.** CTranslate2 gives them a score of about -3.4e38, and the tokens of other beams
//!   behind a forced prefix -1e10, and lets them fill places for which no other candidate is left. Here
//!   such places stay empty, and a text without an allowed token ends there. The texts are the same as long as twice
//!   as many tokens as there are beams are allowed in a step.
//! - **Candidates per row.** CTranslate2 takes the best `2 * beam_size` of all rows together. Of these it uses the
//!   first `beam_size`, and for each end of text among them one more that is none, so
//!   `beam_size` that are no end of text. A row can contribute at most these and its one end of text:
//!   `beam_size + 1` candidates per row give the same search.
//! - **A forced prefix** is read with the prompt and needs no steps; CTranslate2 replaces the result of a step per token.
//! - **Random numbers** are computed from their place ([`random`]), not drawn in an order.
//!
//! Of 6,000 random searches on the model of the tests (`tests/golden.cc` with another seed), 5,994 gave the tokens of
//! CTranslate2 4.8.4; one had two equal scores at the end of the beam, five had no allowed token to begin with.
//!
//! A decoder reads the prompt, followed by the tokens of [`Options::prefix`], without the last token of both together: that
//! one is the input of the first row. [`Rule::candidates`] defines what it answers to a row.

use std::sync::Arc;

mod options;
mod rule;
mod timestamps;
mod hypothesis;
mod candidates;
mod beam;
pub mod random;
mod reference;
#[cfg(test)]
mod tests;

pub use candidates::{Candidates, CandidatesError};
pub use hypothesis::{Text, TextEnd};
pub use options::{
    ModelTokens, Options, OptionsError, Prefix, ScoredToken, Timestamps, Token, TokenSet,
    max_tokens,
};
pub use random::random_stream;
pub use rule::{Pick, Row, Rule};

use beam::{Continuation, Step, continue_beams, rank};
use candidates::check;
use hypothesis::{Ended, Hypothesis};

/// The search for the text of one window.
#[derive(Clone, Debug)]
pub struct Search {
    model: Arc<ModelTokens>,
    options: Options,
    /// In the order of the rows.
    open: Vec<Hypothesis>,
    rows: Vec<Row>,
    ended: Ended,
    agreed: Vec<ScoredToken>,
}

/// Whether a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has rows for the next step.
    Open,
    /// Its text is final.
    Ended,
}

impl Search {
    /// A search that has written nothing but its prefix.
    ///
    /// # Errors
    /// If an option is out of its bounds.
    pub fn new(model: Arc<ModelTokens>, options: Options) -> Result<Self, OptionsError> {
        options.check(&model)?;
        let mut prefix = options.prefix.tokens();
        prefix.truncate(options.max_tokens.get());
        let hypotheses = if options.draw_temperature().is_some() {
            options.best_of.get()
        } else {
            1
        };
        let mut search = Self {
            model,
            open: (0..hypotheses)
                .map(|index| Hypothesis::new(prefix.clone(), index))
                .collect(),
            options,
            rows: Vec::new(),
            ended: Ended::default(),
            agreed: Vec::new(),
        };
        if prefix.len() == search.options.max_tokens.get() {
            search.end_open();
        }
        let parents = vec![0; search.open.len()];
        search.prepare_step(&parents);
        Ok(search)
    }

    /// Whether the search goes on.
    #[must_use]
    pub fn state(&self) -> State {
        if self.rows.is_empty() {
            State::Ended
        } else {
            State::Open
        }
    }

    /// The rows of the next decoder step; none if the search has ended.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The begin of the text, prefix included, that is certain: all hypotheses that may become the text
    /// agree on it. It only grows, and is the whole text at the end.
    #[must_use]
    pub fn agreed(&self) -> &[ScoredToken] {
        &self.agreed
    }

    /// Takes the candidates of each row, in the order of the rows.
    ///
    /// # Errors
    /// If the candidates do not answer the rows; the search is then unchanged.
    pub fn advance(&mut self, candidates: &[Candidates]) -> Result<State, CandidatesError> {
        check(candidates, self.rows.len(), self.model.vocabulary_size)?;
        let parents = if self.options.is_beam_search() {
            self.advance_beams(candidates)
        } else {
            self.advance_each(candidates)
        };
        self.prepare_step(&parents);
        Ok(self.state())
    }

    /// The text. Before the end of the search: its best text so far, which begins with what is agreed.
    #[must_use]
    pub fn finish(mut self) -> Text {
        if self.ended.best().is_none() {
            self.end_open();
        }
        self.ended.into_best().unwrap_or_else(|| {
            // Not reached: a search without an ended text has an open one.
            Hypothesis::new(self.agreed, 0).end(TextEnd::Cut, self.options.length_penalty)
        })
    }

    /// Continues each hypothesis by its own candidate (greedy search, sampling). Returns the parent of each
    /// open one.
    fn advance_each(&mut self, candidates: &[Candidates]) -> Vec<u32> {
        let mut parents = Vec::new();
        let rows = std::mem::take(&mut self.open);
        for ((parent, mut hypothesis), candidates) in (0..).zip(rows).zip(candidates) {
            match candidates.first().filter(|next| next.is_allowed()) {
                None => self.end(&hypothesis, TextEnd::Cut),
                Some(next) if next.token == self.model.end_of_text => {
                    self.end(&hypothesis, TextEnd::EndOfText(next.log_prob));
                }
                Some(&next) => {
                    hypothesis.push(next);
                    if hypothesis.tokens.len() == self.options.max_tokens.get() {
                        self.end(&hypothesis, TextEnd::Cut);
                    } else {
                        self.open.push(hypothesis);
                        parents.push(parent);
                    }
                }
            }
        }
        parents
    }

    /// Continues the beams by the best candidates of all. Returns the parent of each open one.
    fn advance_beams(&mut self, candidates: &[Candidates]) -> Vec<u32> {
        let ranked = rank(&self.open, candidates);
        if ranked.is_empty() && self.ended.count == 0 {
            self.end_open();
        }
        let beams = std::mem::take(&mut self.open);
        let written = beams.first().map_or(0, |beam| beam.tokens.len());
        let begin = self.options.prefix.rules_begin();
        let step = Step {
            beam_size: self.options.beam_size.get(),
            end_of_text: self.model.end_of_text,
            is_last: written + 1 == self.options.max_tokens.get(),
            only_best_may_end: begin > 0 && written == begin,
        };
        let mut selection = step.select(&ranked);
        for Continuation { parent, next, .. } in selection.ended {
            if next.token == self.model.end_of_text {
                self.end(&beams[parent], TextEnd::EndOfText(next.log_prob));
            } else {
                self.end(&beams[parent].continued(next), TextEnd::Cut);
            }
        }
        if self.has_enough_ended(selection.is_best_ended) {
            selection.continued.clear();
        }
        let parents = selection.continued.iter().map(|next| next.parent as u32);
        let parents = parents.collect();
        self.open = continue_beams(beams, &selection.continued);
        parents
    }

    /// Whether the beam search ends. Without a length penalty no later text can be better than the best
    /// candidate of a step.
    fn has_enough_ended(&self, is_best_ended: bool) -> bool {
        if self.options.length_penalty == 0.0 {
            is_best_ended
        } else {
            self.ended.count as f32 >= self.options.max_ended()
        }
    }

    fn end(&mut self, hypothesis: &Hypothesis, end: TextEnd) {
        let text = hypothesis.end(end, self.options.length_penalty);
        let order = if self.options.is_beam_search() {
            self.ended.count
        } else {
            hypothesis.index
        };
        self.ended.push(order, text);
    }

    /// Ends all open hypotheses as they are.
    fn end_open(&mut self) {
        for hypothesis in std::mem::take(&mut self.open) {
            self.end(&hypothesis, TextEnd::Cut);
        }
    }

    /// Makes the rows of the open hypotheses, and updates what all of them agree on.
    fn prepare_step(&mut self, parents: &[u32]) {
        let rows = self.open.iter().zip(parents);
        let rows = rows.map(|(hypothesis, &parent)| Row {
            parent,
            token: hypothesis
                .tokens
                .last()
                .map_or(self.options.start, |last| last.token),
            rule: Rule::new(
                &self.model,
                &self.options,
                &hypothesis.tokens,
                self.pick(hypothesis),
            ),
        });
        self.rows = rows.collect();

        let ended = self.ended.best().map(|text| &text.tokens);
        let mut texts = self.open.iter().map(|open| &open.tokens).chain(ended);
        if let Some(first) = texts.next() {
            let agree = |length: usize, text: &Vec<ScoredToken>| {
                let pairs = first.iter().zip(text).take(length);
                pairs.take_while(|(a, b)| a.token == b.token).count()
            };
            let length = texts.fold(first.len(), agree);
            let known = self.agreed.len();
            self.agreed.extend(first[..length].iter().skip(known));
        }
    }

    fn pick(&self, hypothesis: &Hypothesis) -> Pick {
        let options = &self.options;
        if let Some(temperature) = options.draw_temperature() {
            Pick::Draw {
                temperature,
                key: random::draw_key(
                    options.random_stream,
                    hypothesis.index as u64,
                    hypothesis.tokens.len() as u64,
                ),
            }
        } else if options.is_beam_search() {
            Pick::Best {
                k: options.beam_size.get() + 1,
            }
        } else {
            Pick::Best { k: 1 }
        }
    }
}
