//! What holds in every search.

use proptest::prelude::*;

use super::fake_model::{
    END_OF_TEXT, FakeModel, START, Slot, TIMESTAMP_BEGIN, VOCABULARY, ids, options, run, token_set,
};
use crate::search::{
    CandidatesError, Options, OptionsError, Pick, Prefix, ScoredToken, Search, State, Text,
    TextEnd, Timestamps, Token, max_tokens, random_stream,
};

pub fn any_model() -> impl Strategy<Value = FakeModel> {
    let parameters = (
        any::<u64>(),
        prop::sample::select(vec![3.0, 8.0, 16.0]),
        prop::sample::select(vec![0.125, 0.5, 1.0]),
        prop::sample::select(vec![0.0, 3.0, 5.0]),
    );
    parameters.prop_map(
        |(seed, sharpness, end_slope, timestamp_penalty)| FakeModel {
            seed,
            sharpness,
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

/// The rules for time stamps, of tokens that the rules apply to.
#[track_caller]
fn check_timestamps(tokens: &[Token], starts_text: bool, max_initial: u32) {
    let is_timestamp = |token: &Token| *token >= TIMESTAMP_BEGIN;
    if starts_text && let Some(first) = tokens.first() {
        assert!(
            is_timestamp(first) && *first <= TIMESTAMP_BEGIN + max_initial,
            "{tokens:?}"
        );
    }
    let timestamps: Vec<_> = tokens.iter().filter(|token| is_timestamp(token)).collect();
    assert!(timestamps.is_sorted(), "{tokens:?}");
    let mut previous: &[Token] = &[];
    for run in tokens.chunk_by(|a, b| is_timestamp(a) == is_timestamp(b)) {
        if is_timestamp(&run[0]) {
            // At the begin one, then pairs.
            assert!(
                run.len() <= if previous.is_empty() { 1 } else { 2 },
                "{tokens:?}"
            );
        } else if previous.len() == 1 && !std::ptr::eq(previous, &raw const tokens[..1]) {
            // Behind a single time stamp comes the end of the text, or a special token.
            assert!(run[0] >= END_OF_TEXT, "{tokens:?}");
        }
        previous = run;
    }
}

/// All rules of a text.
#[track_caller]
fn check_text(text: &Text, options: &Options) {
    let tokens = text.token_ids();
    let prefix = ids(&options.prefix.tokens());
    let kept = prefix.len().min(options.max_tokens.get());
    assert_eq!(tokens[..kept], prefix[..kept]);
    assert!(tokens.len() <= options.max_tokens.get());
    let written = &tokens[kept..];
    assert!(
        written
            .iter()
            .all(|token| !options.suppressed.tokens.contains(token))
    );
    assert!(!written.contains(&END_OF_TEXT));
    let begin = options.prefix.rules_begin().min(tokens.len());
    if options.suppress_blank && begin == kept {
        assert!(written.first() != Some(&7));
        assert!(!written.is_empty() || text.end == TextEnd::Cut);
    }
    let size = options.no_repeat_ngram_size;
    for end in kept + 1..=tokens.len() {
        let repeats = |sequence: &[Token]| sequence == &tokens[end - size..end];
        assert!(
            size == 0 || end < size || !tokens[..end - 1].windows(size).any(repeats),
            "{tokens:?}"
        );
    }
    if let Timestamps::Written { max_initial_index } = options.timestamps {
        assert!(!written.contains(&298));
        check_timestamps(&tokens[begin..], begin == 0 && kept == 0, max_initial_index);
    }
    let sum: f32 = text.tokens.iter().map(|scored| scored.log_prob).sum();
    let end = match text.end {
        TextEnd::EndOfText(log_prob) => log_prob,
        TextEnd::Cut => 0.0,
    };
    let mean = (sum + end) / (tokens.len() as f32 + 1.0);
    assert!(
        (text.avg_logprob - mean).abs() <= 1e-4 * mean.abs(),
        "{} {mean}",
        text.avg_logprob
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn texts_obey_the_rules(model in any_model(), options in any_options()) {
        let text = run(&model, &options, |_| ());
        check_text(&text, &options);
        prop_assert_eq!(&run(&model, &options, |_| ()), &text);
    }

    #[test]
    fn agreed_tokens_stay(model in any_model(), options in any_options()) {
        let mut agreed: Vec<ScoredToken> = Vec::new();
        let mut best_so_far = Vec::new();
        let text = run(&model, &options, |search| {
            assert!(search.agreed().starts_with(&agreed));
            agreed = search.agreed().to_vec();
            let begun = search.clone().finish().tokens;
            assert!(begun.starts_with(&agreed));
            best_so_far.push(agreed.clone());
        });
        for agreed in best_so_far {
            prop_assert!(text.tokens.starts_with(&agreed));
        }
        prop_assert_eq!(agreed, text.tokens);
    }

    #[test]
    fn rows_continue_rows_of_the_step_before(model in any_model(), options in any_options()) {
        let mut rows_before = 1;
        run(&model, &options, |search| {
            let most = if options.temperature > 0.0 { options.best_of } else { options.beam_size };
            assert!(search.rows().len() <= most.get());
            assert!(search.rows().iter().all(|row| (row.parent as usize) < rows_before));
            rows_before = search.rows().len();
        });
    }

    #[test]
    fn more_candidates_per_row_change_nothing(model in any_model(), options in any_options()) {
        let mut search = Search::new(FakeModel::tokens(), options.clone()).unwrap();
        let mut slot = Slot::open(&model, &options);
        while search.state() == State::Open {
            let mut rows = search.rows().to_vec();
            for row in &mut rows {
                if let Pick::Best { k } = &mut row.rule.pick {
                    *k = VOCABULARY as usize;
                }
            }
            search.advance(&slot.step(&rows)).unwrap();
        }
        prop_assert_eq!(search.finish(), run(&model, &options, |_| ()));
    }
}

fn model(seed: u64) -> FakeModel {
    FakeModel {
        seed,
        sharpness: 8.0,
        end_slope: 0.25,
        timestamp_penalty: 3.0,
    }
}

#[test]
fn agreed_tokens_are_those_that_all_hypotheses_begin_with() {
    let mut agreed_before_the_end = 0;
    for seed in 0..20 {
        for beam_size in [1, 5] {
            let options = Options {
                beam_size: beam_size.try_into().unwrap(),
                ..options()
            };
            run(&model(seed), &options, |search| {
                let agreed = ids(search.agreed());
                let texts = search.open.iter().map(|open| ids(&open.tokens));
                let best = search.ended.best().map(Text::token_ids);
                let texts: Vec<_> = texts.chain(best).collect();
                assert!(texts.iter().all(|text| text.starts_with(&agreed)));
                let next = |text: &Vec<Token>| text.get(agreed.len()).copied();
                let is_longest = texts.iter().any(|text| next(text) != next(&texts[0]));
                assert!(is_longest || next(&texts[0]).is_none(), "{texts:?}");
                if beam_size == 5 && search.state() == State::Open {
                    agreed_before_the_end += agreed.len();
                }
            });
        }
    }
    assert!(agreed_before_the_end > 100, "{agreed_before_the_end}");
}

#[test]
fn a_seed_gives_one_text_and_another_seed_another() {
    let sample = |seed| {
        let options = Options {
            temperature: 0.8,
            random_stream: random_stream(seed, 0, 0),
            ..options()
        };
        run(&model(1), &options, |_| ()).token_ids()
    };
    let texts: Vec<_> = (0..20).map(sample).collect();
    for (seed, text) in (0..).zip(&texts) {
        assert_eq!(&sample(seed), text);
        let others = texts.iter().filter(|other| *other == text).count();
        assert_eq!(others, 1, "{seed}");
    }
}

#[test]
fn a_written_prefix_is_continued_as_if_the_search_had_written_it() {
    let greedy = Options {
        beam_size: 1.try_into().unwrap(),
        ..options()
    };
    for seed in 0..20 {
        let text = run(&model(seed), &greedy, |_| ());
        for length in 0..=text.tokens.len() {
            let prefix = text.tokens[..length].to_vec();
            let continued = Options {
                prefix: Prefix::Written(prefix),
                ..greedy.clone()
            };
            assert_eq!(run(&model(seed), &continued, |_| ()), text);
        }
    }
}

#[test]
fn a_text_without_an_allowed_token_ends_there() {
    for beam_size in [1, 5] {
        let options = Options {
            prefix: Prefix::Forced(vec![3, 4]),
            beam_size: beam_size.try_into().unwrap(),
            suppressed: token_set((0..VOCABULARY).collect()),
            ..options()
        };
        let text = run(&model(1), &options, |_| ());
        assert_eq!((text.token_ids(), text.end), (vec![3, 4], TextEnd::Cut));
    }
}

#[test]
fn candidates_that_do_not_answer_the_rows_change_nothing() {
    let mut search = Search::new(FakeModel::tokens(), options()).unwrap();
    let scored = |token, log_prob| ScoredToken { token, log_prob };
    let refused = [
        (
            vec![],
            CandidatesError::Count {
                rows: 1,
                candidates: 0,
            },
        ),
        (
            vec![vec![scored(VOCABULARY, -1.0)]],
            CandidatesError::Token(VOCABULARY),
        ),
        (
            vec![vec![scored(1, 0.5)]],
            CandidatesError::LogProb {
                token: 1,
                log_prob: 0.5,
            },
        ),
        (
            vec![vec![scored(1, -2.0), scored(2, -1.0)]],
            CandidatesError::Order,
        ),
    ];
    let rows = search.rows().to_vec();
    for (candidates, error) in refused {
        assert_eq!(search.advance(&candidates), Err(error));
        assert_eq!(search.rows(), rows);
    }
    let not_a_number = search.advance(&[vec![scored(1, f32::NAN)]]);
    assert!(matches!(
        not_a_number,
        Err(CandidatesError::LogProb { token: 1, .. })
    ));
}

#[test]
fn options_out_of_bounds_are_refused() {
    #[track_caller]
    fn check(options: Options, expected: &OptionsError) {
        let error = Search::new(FakeModel::tokens(), options).unwrap_err();
        assert_eq!(&error, expected);
    }
    let patience = OptionsError::Patience {
        beam_size: 5,
        patience: 0.09,
    };
    check(
        Options {
            patience: 0.09,
            ..options()
        },
        &patience,
    );
    let penalty = OptionsError::RepetitionPenalty(0.0);
    check(
        Options {
            repetition_penalty: 0.0,
            ..options()
        },
        &penalty,
    );
    let penalty = OptionsError::LengthPenalty(f32::INFINITY);
    check(
        Options {
            length_penalty: f32::INFINITY,
            ..options()
        },
        &penalty,
    );
    check(
        Options {
            temperature: -1.0,
            ..options()
        },
        &OptionsError::Temperature(-1.0),
    );
    check(
        Options {
            start: VOCABULARY,
            ..options()
        },
        &OptionsError::Token(VOCABULARY),
    );
    let prefix = Prefix::Forced(vec![START, 9999]);
    check(
        Options {
            prefix,
            ..options()
        },
        &OptionsError::Token(9999),
    );
}

#[test]
fn the_maximum_length_is_half_of_the_context_or_what_is_left() {
    for (prompt, expected) in [
        (1, Some(224)),
        (4, Some(224)),
        (225, Some(224)),
        (226, Some(223)),
        (449, None),
    ] {
        let length = max_tokens(448, prompt).map(std::num::NonZeroUsize::get);
        assert_eq!(length, expected, "{prompt}");
    }
}
