//! A deterministic model without weights, and the loop that runs a search on it.

use std::sync::Arc;

use crate::search::{
    Candidates, ModelTokens, Options, Prefix, Row, ScoredToken, Search, State, Text, Timestamps,
    Token, TokenSet,
};

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

pub const END_OF_TEXT: Token = 250;
/// The last token of each prompt.
pub const START: Token = 260;
pub const TIMESTAMP_BEGIN: Token = 299;
pub const VOCABULARY: Token = 400;

/// The parameters of the logits.
#[derive(Clone, Debug)]
pub struct FakeModel {
    pub seed: u64,
    /// The logits lie between 0 and this.
    pub sharpness: f32,
    /// The logit of the end of text lies between this part of the sharpness and the sharpness.
    pub end_base: f32,
    /// The end of text becomes more probable with each token.
    pub end_slope: f32,
    pub timestamp_penalty: f32,
}

/// Hash and number of the tokens that a row has read.
pub type RowState = (u64, usize);

impl FakeModel {
    pub fn tokens() -> Arc<ModelTokens> {
        Arc::new(ModelTokens {
            end_of_text: END_OF_TEXT,
            no_timestamps: 298,
            timestamp_begin: TIMESTAMP_BEGIN,
            vocabulary_size: VOCABULARY,
            blank: vec![7, END_OF_TEXT],
        })
    }

    pub fn initial(&self) -> RowState {
        (mix(self.seed.wrapping_add(GAMMA)), 0)
    }

    pub fn read(&self, (hash, count): RowState, token: Token) -> RowState {
        let token = (u64::from(token) + 1).wrapping_mul(GAMMA);
        (mix(hash ^ token), count + 1)
    }

    pub fn logits(&self, (hash, count): RowState) -> Vec<f32> {
        // The start token is no token of the text.
        let written = (count - 1) as f32;
        let logit = |token: Token| {
            let bits = mix(hash.wrapping_add((u64::from(token) + 1).wrapping_mul(GAMMA)));
            let mut part = (bits >> 40) as f32 * f32::powi(0.5, 24);
            if token == END_OF_TEXT {
                part = part * (1.0 - self.end_base) + self.end_base;
            }
            let mut logit = part * self.sharpness;
            if token == END_OF_TEXT {
                logit += self.end_slope * written;
            }
            if token >= TIMESTAMP_BEGIN {
                logit -= self.timestamp_penalty;
            }
            logit
        };
        (0..VOCABULARY).map(logit).collect()
    }
}

/// A text of the model that is being searched, as a decoder's slot holds it.
pub struct Slot<'a> {
    model: &'a FakeModel,
    rows: Vec<RowState>,
}

impl<'a> Slot<'a> {
    /// Reads prompt and prefix without their last token.
    pub fn open(model: &'a FakeModel, options: &Options) -> Self {
        let prefix = options.prefix.tokens();
        let prompt = prefix.iter().map(|scored| scored.token);
        let mut prompt: Vec<Token> = [START].into_iter().chain(prompt).collect();
        prompt.pop();
        let read = |state, &token: &Token| model.read(state, token);
        Self {
            model,
            rows: vec![prompt.iter().fold(model.initial(), read)],
        }
    }

    pub fn step(&mut self, rows: &[Row]) -> Vec<Candidates> {
        let states = rows
            .iter()
            .map(|row| self.model.read(self.rows[row.parent as usize], row.token));
        self.rows = states.collect();
        let logits = self.rows.iter().map(|&state| self.model.logits(state));
        let rules = rows.iter().map(|row| &row.rule);
        rules
            .zip(logits)
            .map(|(rule, logits)| rule.candidates(logits))
            .collect()
    }
}

/// Runs a search to its end; `observe` sees it before each step.
pub fn run(model: &FakeModel, options: &Options, mut observe: impl FnMut(&Search)) -> Text {
    let mut search = Search::new(FakeModel::tokens(), options.clone()).unwrap();
    let mut slot = Slot::open(model, options);
    while search.state() == State::Open {
        observe(&search);
        let candidates = slot.step(search.rows());
        search.advance(&candidates).unwrap();
    }
    observe(&search);
    search.finish()
}

/// CTranslate2's defaults, with a shorter text.
pub fn options() -> Options {
    Options {
        start: START,
        prefix: Prefix::default(),
        max_tokens: 40.try_into().unwrap(),
        beam_size: 5.try_into().unwrap(),
        patience: 1.0,
        temperature: 0.0,
        best_of: 5.try_into().unwrap(),
        random_stream: 0,
        length_penalty: 1.0,
        repetition_penalty: 1.0,
        no_repeat_ngram_size: 0,
        suppressed: Arc::new(TokenSet::default()),
        suppress_blank: true,
        timestamps: Timestamps::Written {
            max_initial_index: 50,
        },
    }
}

pub fn token_set(mut tokens: Vec<Token>) -> Arc<TokenSet> {
    tokens.sort_unstable();
    tokens.dedup();
    Arc::new(TokenSet { number: 1, tokens })
}

pub fn ids(tokens: &[ScoredToken]) -> Vec<Token> {
    tokens.iter().map(|scored| scored.token).collect()
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
