//! Searches of CTranslate2 4.8.4 on the same model (`golden.txt`, written by `golden.cc`).

use std::collections::HashMap;
use std::str::FromStr;

use super::fake_model::{FakeModel, options, run, token_set};
use crate::search::{Options, Prefix, Timestamps, Token};

/// The fields of a line.
struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    fn new(line: &'a str) -> Self {
        let pairs = line.split(' ').map(|field| field.split_once('='));
        Self(pairs.collect::<Option<_>>().unwrap())
    }

    #[track_caller]
    fn value<T: FromStr>(&self, name: &str) -> T {
        let value = self.0[name].parse();
        value.unwrap_or_else(|_| panic!("{name}={}", self.0[name]))
    }

    fn tokens(&self, name: &str) -> Vec<Token> {
        let tokens = self.0[name].split(',').filter(|token| !token.is_empty());
        tokens.map(|token| token.parse().unwrap()).collect()
    }

    fn model(&self) -> FakeModel {
        FakeModel {
            seed: self.value("seed"),
            sharpness: self.value("sharpness"),
            end_base: self.value("end_base"),
            end_slope: self.value("end_slope"),
            timestamp_penalty: self.value("timestamp_penalty"),
        }
    }

    fn options(&self) -> Options {
        Options {
            prefix: Prefix::Forced(self.tokens("prefix")),
            max_tokens: self.value("max_tokens"),
            beam_size: self.value("beam_size"),
            patience: self.value("patience"),
            length_penalty: self.value("length_penalty"),
            repetition_penalty: self.value("repetition_penalty"),
            no_repeat_ngram_size: self.value("ngram"),
            suppressed: token_set(self.tokens("suppressed")),
            suppress_blank: self.value::<u8>("suppress_blank") == 1,
            timestamps: match self.value::<i64>("max_initial") {
                -1 => Timestamps::None,
                max => Timestamps::Written {
                    max_initial_index: max.try_into().unwrap(),
                },
            },
            ..options()
        }
    }
}

#[test]
fn texts_and_scores_are_those_of_ctranslate2() {
    let lines = include_str!("golden.txt").lines();
    let mut beam_searches = 0;
    for line in lines {
        let fields = Fields::new(line);
        let options = fields.options();
        let text = run(&fields.model(), &options, |_| ());
        let score: f32 = fields.value("score");
        assert_eq!(text.token_ids(), fields.tokens("tokens"), "{line}");
        // CTranslate2 approximates exponentials and adds them in another order.
        assert!(
            text.score == score || (text.score - score).abs() <= 1e-5 * (score.abs() + 1.0),
            "{} {line}",
            text.score
        );
        beam_searches += usize::from(options.beam_size.get() > 1);
    }
    assert!(beam_searches > 200, "{beam_searches}");
}
