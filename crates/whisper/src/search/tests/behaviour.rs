//! Behaviour of single searches.

use super::fake_model::{END_OF_TEXT, FakeModel, START, VOCABULARY, ids, options, run, token_set};
use crate::search::{
    Candidates, CandidatesError, Options, OptionsError, Prefix, ScoredToken, Search, State, Text,
    TextEnd, Token, max_tokens, random_stream,
};

fn model(seed: u64) -> FakeModel {
    FakeModel {
        seed,
        sharpness: 8.0,
        end_base: 0.0,
        end_slope: 0.25,
        timestamp_penalty: 3.0,
    }
}

/// Searches with two beams on these candidates, one list per row and step. Returns the number of open
/// hypotheses and of ended ones.
fn advance_two_beams(options: Options, steps: &[&[&[(Token, f32)]]]) -> (usize, usize) {
    let options = Options {
        beam_size: 2.try_into().unwrap(),
        ..options
    };
    let mut search = Search::new(FakeModel::tokens(), options).unwrap();
    for rows in steps {
        let scored = |&(token, log_prob): &(Token, f32)| ScoredToken { token, log_prob };
        let rows = rows.iter().map(|row| row.iter().map(scored).collect());
        let candidates: Vec<Candidates> = rows.collect();
        search.advance(&candidates).unwrap();
    }
    (search.rows().len(), search.ended.count)
}

#[test]
fn without_a_length_penalty_the_search_ends_with_its_best_hypothesis() {
    const END: Token = END_OF_TEXT;
    let first: &[&[_]] = &[&[(1, -0.1), (2, -1.0), (3, -9.0)]];
    let best_ends: &[&[_]] = &[&[(END, -0.1), (3, -4.0)], &[(4, -1.0), (5, -5.0)]];
    let other_ends: &[&[_]] = &[&[(3, -0.1), (4, -4.0)], &[(END, -0.2), (5, -5.0)]];
    let options = |length_penalty, patience| Options {
        length_penalty,
        patience,
        ..options()
    };
    for (length_penalty, patience, second, expected) in [
        (0.0, 1.0, best_ends, (0, 1)),
        (1.0, 1.0, best_ends, (2, 1)),
        (1.0, 0.5, best_ends, (0, 1)),
        (0.0, 0.5, other_ends, (2, 1)),
        (1.0, 0.5, other_ends, (0, 1)),
    ] {
        let result = advance_two_beams(options(length_penalty, patience), &[first, second]);
        assert_eq!(result, expected, "{length_penalty} {patience}");
    }
}

#[test]
fn behind_a_forced_prefix_only_the_best_candidate_ends_the_text() {
    const END: Token = END_OF_TEXT;
    let second_ends: &[&[_]] = &[&[(1, -0.1), (END, -1.0), (3, -9.0)]];
    let best_ends: &[&[_]] = &[&[(END, -0.1), (1, -1.0), (3, -9.0)]];
    let written = ScoredToken {
        token: 3,
        log_prob: -0.5,
    };
    for (prefix, candidates, expected) in [
        (Prefix::default(), second_ends, (2, 1)),
        (Prefix::Forced(vec![3]), second_ends, (1, 0)),
        (Prefix::Forced(vec![3]), best_ends, (2, 1)),
        (Prefix::Written(vec![written]), second_ends, (2, 1)),
    ] {
        let options = Options {
            prefix,
            ..options()
        };
        let result = advance_two_beams(options.clone(), &[candidates]);
        assert_eq!(result, expected, "{:?}", options.prefix);
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
fn a_temperature_too_small_for_a_draw_counts_as_0() {
    for beam_size in [1, 5] {
        let text = |temperature| {
            let options = Options {
                temperature,
                beam_size: beam_size.try_into().unwrap(),
                ..options()
            };
            run(&model(1), &options, |_| ())
        };
        for temperature in [f32::from_bits(1), 1e-40, f32::MIN_POSITIVE, 1e-7] {
            assert_eq!(text(temperature), text(0.0), "{temperature}");
        }
        assert_ne!(text(0.8).token_ids(), text(0.0).token_ids());
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
