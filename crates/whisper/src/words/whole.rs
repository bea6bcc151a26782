//! Finds the whole words at the begin of a text that is still written.

use crate::{Language, Vocabulary};

/// The number of tokens at the begin of `ids` that are whole words, whatever follows: up to a space or a time
/// stamp, or in a language without spaces up to the end of a character. 0 if they have no visible text.
#[must_use]
pub fn whole_words(vocabulary: &Vocabulary, language: Option<Language>, ids: &[u32]) -> usize {
    let is_text = |id: u32| id < vocabulary.eot();
    let begins_word = |id: u32| !is_text(id) || vocabulary.bytes(id).starts_with(b" ");
    let is_spaced = language.is_none_or(Language::puts_spaces_between_words);
    let ends_word =
        |end: usize| !is_text(ids[end - 1]) || ids.get(end).is_some_and(|&next| begins_word(next));
    let is_end = |&end: &usize| {
        (!is_spaced || ends_word(end)) && ends_with_character(vocabulary, &ids[..end])
    };
    let end = (1..=ids.len()).rev().find(is_end).unwrap_or(0);
    let has_text = !vocabulary.decode(&ids[..end]).trim().is_empty();
    if has_text { end } else { 0 }
}

fn ends_with_character(vocabulary: &Vocabulary, ids: &[u32]) -> bool {
    let bytes = ids.iter().flat_map(|&id| vocabulary.bytes(id)).copied();
    let bytes: Vec<u8> = bytes.collect();
    bytes
        .utf8_chunks()
        .last()
        .is_none_or(|chunk| chunk.invalid().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_models::load;

    /// Checks the text of the whole words of each begin of a text.
    #[track_caller]
    fn check(language: &str, text: &str, expected: &[&str]) {
        let base = load("base");
        let ids = base.encode(text);
        let mut whole: Vec<String> = (0..=ids.len())
            .map(|end| whole_words(base, Language::parse(language), &ids[..end]))
            .map(|end| base.decode(&ids[..end]))
            .collect();
        whole.dedup();
        assert_eq!(whole, expected, "{text}");
    }

    #[test]
    fn a_word_is_whole_when_the_next_begins() {
        check("en", " Ask, not what", &["", " Ask,", " Ask, not"]);
        check("en", " Unquestionably!", &[""]);
        check("tr", " İstanbul'a gidiyorum", &["", " İstanbul'a"]);
    }

    #[test]
    fn a_character_of_several_tokens_is_whole_with_its_last() {
        let base = load("base");
        let text = "こんにちは、𠮷田";
        let ids = base.encode(text);
        let japanese = Language::parse("ja");
        let mut is_held = false;
        for end in 0..=ids.len() {
            let whole = whole_words(base, japanese, &ids[..end]);
            is_held |= whole < end;
            let decoded = base.decode(&ids[..whole]);
            assert!(text.starts_with(&decoded), "{decoded}");
        }
        assert!(is_held);
        assert_eq!(whole_words(base, japanese, &ids), ids.len());
    }

    #[test]
    fn time_stamps_end_words_and_are_no_text() {
        let base = load("base");
        let stamp = base.timestamp_begin();
        let word = base.encode(" Word")[0];
        for (ids, expected) in [
            (&[stamp][..], 0),
            (&[stamp, word], 0),
            (&[stamp, word, stamp + 50], 3),
            (&[stamp, word, stamp + 50, stamp + 50, word], 4),
        ] {
            assert_eq!(whole_words(base, None, ids), expected, "{ids:?}");
        }
    }
}
