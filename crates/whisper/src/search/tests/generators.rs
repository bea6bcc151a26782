//! Random models and options.

use proptest::prelude::*;

use super::fake_model::{END_OF_TEXT, FakeModel, TIMESTAMP_BEGIN, VOCABULARY, options, token_set};
use crate::search::{Options, Prefix, ScoredToken, Timestamps, random_stream};

pub fn any_model() -> impl Strategy<Value = FakeModel> {
    let parameters = (
        any::<u64>(),
        prop::sample::select(vec![3.0, 8.0, 16.0]),
        prop::sample::select(vec![0.0, 0.96875, 0.984375]),
        prop::sample::select(vec![0.0, 0.125, 0.5, 1.0]),
        prop::sample::select(vec![0.0, 3.0, 5.0]),
    );
    parameters.prop_map(
        |(seed, sharpness, end_base, end_slope, timestamp_penalty)| FakeModel {
            seed,
            sharpness,
            end_base,
            end_slope,
            timestamp_penalty,
        },
    )
}

pub fn any_options() -> impl Strategy<Value = Options> {
    let sizes = (1..7_usize, 1..4_usize, 1..40_usize, 0..4_usize);
    let penalties = (
        prop::sample::select(vec![0.5_f32, 1.0, 1.5]),
        prop::sample::select(vec![0.0_f32, 0.5, 1.0, 2.0]),
        prop::sample::select(vec![1.0_f32, 1.0, 1.25, 0.75]),
        prop::sample::select(vec![0.0_f32, 0.0, 0.2, 1.0]),
    );
    let tokens = (
        any_prefix(),
        prop::collection::vec(0..VOCABULARY, 0..8),
        any::<bool>(),
        prop::option::of(12..120_u32),
    );
    (sizes, penalties, tokens, any::<u64>()).prop_map(|(sizes, penalties, tokens, seed)| {
        let (beam_size, best_of, max_tokens, no_repeat_ngram_size) = sizes;
        let (patience, length_penalty, repetition_penalty, temperature) = penalties;
        let (prefix, suppressed, suppress_blank, max_initial) = tokens;
        Options {
            prefix,
            max_tokens: max_tokens.try_into().unwrap(),
            beam_size: beam_size.try_into().unwrap(),
            patience,
            temperature,
            best_of: best_of.try_into().unwrap(),
            random_stream: random_stream(seed, 0, 0),
            length_penalty,
            repetition_penalty,
            no_repeat_ngram_size,
            suppressed: token_set(suppressed),
            suppress_blank,
            timestamps: max_initial.map_or(Timestamps::None, |max_initial_index| {
                Timestamps::Written { max_initial_index }
            }),
            ..options()
        }
    })
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    let token = prop_oneof![2 => 0..END_OF_TEXT, 1 => TIMESTAMP_BEGIN..VOCABULARY];
    let tokens = prop::collection::vec(token, 1..6);
    // What an earlier search wrote obeys the rules.
    let written = [(TIMESTAMP_BEGIN, -0.5), (3, -1.0), (4, -0.25)];
    let written = written.map(|(token, log_prob)| ScoredToken { token, log_prob });
    prop_oneof![
        3 => Just(Prefix::default()),
        2 => tokens.prop_map(Prefix::Forced),
        1 => Just(Prefix::Written(written.to_vec())),
    ]
}
