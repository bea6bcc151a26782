//! The words of a text with their tokens, without times.

use super::split::{APPENDED, PREPENDED, TokenGroup, split};
use crate::{Language, Vocabulary};

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenWord {
    /// The word with the white space and the opening punctuation before it.
    pub text: String,
    /// The punctuation behind it.
    pub punctuation: String,
    /// Its tokens, those of the punctuation last.
    pub tokens: Vec<u32>,
    /// How many of the tokens belong to the punctuation.
    pub punctuation_tokens: usize,
}

/// Splits a text into words with their punctuation. Without a `language`, words are assumed to be separated by spaces.
/// The words and their punctuation joined are the text.
#[must_use]
pub fn written_words(
    vocabulary: &Vocabulary,
    language: Option<Language>,
    tokens: &[u32],
) -> Vec<WrittenWord> {
    let end_of_text = vocabulary.eot();
    let tokens: Vec<u32> = tokens
        .iter()
        .copied()
        .filter(|&id| id < end_of_text)
        .collect();
    let mut words: Vec<WrittenWord> = Vec::new();
    let mut rest = tokens.as_slice();
    let mut opening: Option<WrittenWord> = None;
    for TokenGroup { text, tokens } in split(vocabulary, language, &tokens) {
        let (own, others) = rest.split_at(tokens.min(rest.len()));
        rest = others;
        let is_opening = text.starts_with(' ') && PREPENDED.contains(text.trim());
        let is_closing = !text.starts_with(' ') && APPENDED.contains(text.as_str());
        match words.last_mut() {
            Some(word) if is_closing && opening.is_none() => {
                word.punctuation.push_str(&text);
                word.tokens.extend_from_slice(own);
                word.punctuation_tokens += own.len();
                continue;
            }
            _ => {}
        }
        let mut word = opening.take().unwrap_or_else(|| WrittenWord {
            text: String::new(),
            punctuation: String::new(),
            tokens: Vec::new(),
            punctuation_tokens: 0,
        });
        word.text.push_str(&text);
        word.tokens.extend_from_slice(own);
        if is_opening {
            opening = Some(word);
        } else {
            words.push(word);
        }
    }
    words.extend(opening);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_models::load;

    #[track_caller]
    fn check(language: &str, text: &str, expected: &[(&str, &str, usize)]) {
        let base = load("base");
        let tokens = base.encode(text);
        let words = written_words(base, Language::parse(language), &tokens);
        let parts = |word: &WrittenWord| {
            let texts = (word.text.clone(), word.punctuation.clone());
            (texts.0, texts.1, word.punctuation_tokens)
        };
        let found: Vec<(String, String, usize)> = words.iter().map(parts).collect();
        let expected = expected
            .iter()
            .map(|&(text, punctuation, tokens)| (text.to_owned(), punctuation.to_owned(), tokens));
        let expected: Vec<_> = expected.collect();
        assert_eq!(found, expected);
        let joined: Vec<u32> = words.into_iter().flat_map(|word| word.tokens).collect();
        assert_eq!(joined, tokens);
    }

    #[test]
    fn punctuation_belongs_to_its_word() {
        check(
            "en",
            " Well, it's \"fine\" (mostly).",
            &[
                (" Well", ",", 1),
                (" it's", "", 0),
                (" \"fine", "\"", 1),
                // As in the split of timed words, these two marks are not one.
                (" (mostly).", "", 0),
            ],
        );
        check(
            "tr",
            " İstanbul'a gidiyoruz!",
            &[(" İstanbul'a", "", 0), (" gidiyoruz", "!", 1)],
        );
        check("en", "", &[]);
    }

    #[test]
    fn languages_without_spaces_are_split_at_characters() {
        check("ja", "彼は。", &[("彼", "", 0), ("は", "。", 1)]);
    }

    #[test]
    fn time_stamps_are_left_out() {
        let base = load("base");
        let mut tokens = vec![base.timestamp_begin()];
        tokens.extend(base.encode(" yes"));
        tokens.push(base.timestamp_begin() + 20);
        assert_eq!(written_words(base, None, &tokens).len(), 1);
    }
}
