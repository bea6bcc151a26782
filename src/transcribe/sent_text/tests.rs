//! The reported words and the rest of a window are its text, whatever the model writes.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::fetched_files;
use halkspeech_whisper::whole_words;

static VOCABULARY: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary::load(&fetched_files::model_dir("base")).unwrap());

fn scored(ids: &[u32]) -> Vec<ScoredToken> {
    let score = |&token: &u32| ScoredToken {
        token,
        log_prob: -0.5,
    };
    ids.iter().map(score).collect()
}

/// Text, time stamps, and parts of characters.
fn tokens(vocabulary: &Vocabulary) -> impl Strategy<Value = Vec<u32>> + use<> {
    let (eot, stamp) = (vocabulary.eot(), vocabulary.timestamp_begin());
    let words = vocabulary.encode(" A word, 𠮷田さん \"l'eau\" –  und so weiter …");
    let token = prop_oneof![
        4 => prop::sample::select(words),
        2 => 0..eot,
        // Single bytes.
        2 => 0..256u32,
        1 => stamp..stamp + 1501,
    ];
    prop::collection::vec(token, 0..24)
}

proptest! {
    #[test]
    fn the_reported_words_and_the_rest_are_the_text(
        ids in tokens(&VOCABULARY),
        steps in prop::collection::vec(1usize..4, 0..24),
        before in prop::sample::select(vec!["", "Before."]),
        code in prop::sample::select(vec!["en", "ja", ""]),
    ) {
        let vocabulary = &*VOCABULARY;
        let language = Language::parse(code);
        let mut sent = SentText::default();
        let mut joined = String::new();
        let mut reported = 0;
        let (mut agreed, mut certain) = (0, 0);
        for step in steps {
            agreed = ids.len().min(agreed + step);
            certain = certain.max(whole_words(vocabulary, language, &ids[..agreed]));
            let tokens = scored(&ids[..certain]);
            if let Some(delta) = sent.advance(vocabulary, (before, language), &tokens) {
                prop_assert!(!delta.text.is_empty());
                joined.push_str(&delta.text);
                reported += delta.logprobs.len();
            }
        }
        let whole = delta_after(before, &written_text(vocabulary, &ids), language);
        let all: Vec<TokenLogprob> = logprobs_of(vocabulary, &scored(&ids)).collect();

        let rest_of_logprobs = sent.rest_of_logprobs(&all);
        let (text, rest) = sent.rest(whole.clone());

        joined.push_str(&rest);
        prop_assert_eq!(&text, &whole);
        prop_assert_eq!(joined, whole);
        prop_assert_eq!(reported + rest_of_logprobs.len(), all.len());
    }
}

#[test]
fn words_follow_the_text_before_them_with_a_space() {
    let vocabulary = &*VOCABULARY;
    let ids = vocabulary.encode(" And so my");
    let mut sent = SentText::default();
    let english = Some(Language::ENGLISH);
    let mut texts = Vec::new();
    for end in 1..=ids.len() {
        let delta = sent.advance(vocabulary, ("Before.", english), &scored(&ids[..end]));
        texts.push(delta.unwrap().text);
    }
    assert_eq!(texts, [" And", " so", " my"]);
    assert_eq!(
        sent.advance(vocabulary, ("Before.", english), &scored(&ids)),
        None
    );
}

#[test]
fn a_text_that_does_not_begin_with_what_was_sent_is_what_was_sent() {
    let sent = SentText {
        text: "Sent".to_owned(),
        logprobs: 1,
    };
    assert_eq!(
        sent.rest("Other".to_owned()),
        ("Sent".to_owned(), String::new())
    );
}
