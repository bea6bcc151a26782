//! What holds in every search.

use proptest::prelude::*;

use super::fake_model::{END_OF_TEXT, FakeModel, Slot, TIMESTAMP_BEGIN, VOCABULARY, ids, run};
use super::generators::{any_model, any_options};
use crate::search::{Options, Pick, ScoredToken, Search, State, Text, TextEnd, Timestamps, Token};

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
    let runs = tokens.chunk_by(|a, b| is_timestamp(a) == is_timestamp(b));
    for (index, run) in runs.enumerate() {
        if is_timestamp(&run[0]) {
            // At the begin one, then pairs.
            assert!(run.len() <= if index == 0 { 1 } else { 2 }, "{tokens:?}");
        } else if index > 1 && previous.len() == 1 {
            // Behind a single later one comes the end of the text, or a special token.
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
