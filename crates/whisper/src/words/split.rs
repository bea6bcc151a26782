//! Splits text tokens into words.

use super::Word;
use crate::{Language, Vocabulary};

// As in the reference, these are searched for a whole word, so two adjacent marks of a list count as
// one.
/// Marks that are separate words.
const ASCII_PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Marks that belong to the word after them.
pub(super) const PREPENDED: &str = "\"'“¿([{-";
/// Marks that belong to the word before them.
pub(super) const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";

/// Consecutive tokens that form whole characters or a word.
pub(super) struct TokenGroup {
    pub(super) text: String,
    pub(super) tokens: usize,
}

/// Splits the text tokens `ids` into words, with separate punctuation.
///
/// The rules are those of faster-whisper's `split_to_word_tokens` with one exception: an apostrophe
/// between letters does not end a word, so that "İstanbul'a" and "l'eau" are one word each.
pub(super) fn split(
    vocabulary: &Vocabulary,
    language: Option<Language>,
    ids: &[u32],
) -> Vec<TokenGroup> {
    let groups = split_at_characters(vocabulary, ids);
    if !language.is_none_or(Language::puts_spaces_between_words) {
        return groups;
    }
    let mut words: Vec<TokenGroup> = Vec::new();
    let mut groups = groups.into_iter().peekable();
    while let Some(group) = groups.next() {
        let begins_word =
            group.text.starts_with(' ') || ASCII_PUNCTUATION.contains(group.text.trim());
        match words.last_mut() {
            Some(word)
                if !begins_word || is_apostrophe_within_word(word, &group, groups.peek()) =>
            {
                word.text.push_str(&group.text);
                word.tokens += group.tokens;
            }
            _ => words.push(group),
        }
    }
    words
}

/// Whether `group` is an apostrophe between a letter or digit ("2023'te") and a letter. An apostrophe that
/// ends a quotation or a plural ("boys' books") has no letter after it. U+2019 needs no rule: it is not
/// ASCII punctuation and does not start a word.
fn is_apostrophe_within_word(
    before: &TokenGroup,
    group: &TokenGroup,
    after: Option<&TokenGroup>,
) -> bool {
    let begins_with_letter = |group: &TokenGroup| group.text.starts_with(char::is_alphabetic);
    group.text == "'"
        && before.text.ends_with(char::is_alphanumeric)
        && after.is_some_and(begins_with_letter)
}

/// Splits tokens into minimal groups of whole characters, because a token may end within a character.
fn split_at_characters(vocabulary: &Vocabulary, ids: &[u32]) -> Vec<TokenGroup> {
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| vocabulary.bytes(id))
        .copied()
        .collect();
    // Invalid bytes are replaced by one character, as in the decoded text.
    let mut is_end = vec![false; bytes.len() + 1];
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        let characters = chunk.valid().chars().map(char::len_utf8);
        for length in characters.chain([chunk.invalid().len()]) {
            end += length;
            is_end[end] = true;
        }
    }
    let mut groups = Vec::with_capacity(ids.len());
    let (mut begin, mut end, mut tokens) = (0, 0, 0);
    for &id in ids {
        end += vocabulary.bytes(id).len();
        tokens += 1;
        if is_end[end] {
            let text = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
            groups.push(TokenGroup { text, tokens });
            (begin, tokens) = (end, 0);
        }
    }
    groups
}

/// Joins marks with the word that they belong to, without changing its times.
pub(super) fn merge_punctuation(words: Vec<Word>) -> Vec<Word> {
    let is_prepended =
        |word: &Word| word.text.starts_with(' ') && PREPENDED.contains(word.text.trim());
    let mut merged: Vec<Word> = Vec::with_capacity(words.len());
    // Backwards, because several marks may precede a word.
    for word in words.into_iter().rev() {
        match merged.last_mut() {
            Some(following) if is_prepended(&word) => following.text.insert_str(0, &word.text),
            _ => merged.push(word),
        }
    }
    let words = merged.into_iter().rev();
    let mut merged: Vec<Word> = Vec::with_capacity(words.len());
    for word in words.filter(|word| !word.text.is_empty()) {
        match merged.last_mut() {
            Some(previous) if !previous.text.ends_with(' ') && APPENDED.contains(&word.text) => {
                previous.text.push_str(&word.text);
            }
            _ => merged.push(word),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_models::load;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            start_s: 0.0,
            end_s: 0.0,
            probability: 0.0,
        }
    }

    #[track_caller]
    fn check(language: &str, text: &str, expected: &[&str]) {
        let base = load("base");
        let groups = split(base, Language::parse(language), &base.encode(text));
        let merged = merge_punctuation(groups.into_iter().map(|group| word(&group.text)).collect());
        let texts: Vec<&str> = merged.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn joins_punctuation_with_its_word() {
        for (language, text, expected) in [
            (
                "en",
                " Well, it's \"fine\" (mostly).",
                &[" Well,", " it's", " \"fine\"", " (mostly)."][..],
            ),
            (
                "en",
                " naïve 🤗 café - (yes) ... no",
                &[" naïve", " 🤗", " café", " - (yes)", " ...", " no"],
            ),
            ("en", " ( \" a", &[" ( \" a"]),
            ("en", "", &[]),
            ("es", " ¿Qué tal? Bien.", &[" ¿Qué", " tal?", " Bien."]),
            (
                "tr",
                " İstanbul'a gidiyoruz!",
                &[" İstanbul'a", " gidiyoruz!"],
            ),
            (
                "ja",
                "「はい」。彼は…",
                &["「", "はい", "」。", "彼", "は", "…"],
            ),
            ("zh", " 你好,“世界”！", &[" 你", "好,", "“", "世界”！"]),
        ] {
            check(language, text, expected);
        }
    }

    #[test]
    fn an_apostrophe_between_letters_does_not_split_a_word() {
        for (language, text, expected) in [
            (
                "tr",
                " 2023'te Ankara'dan",
                &[" 2023'te", " Ankara'dan"][..],
            ),
            (
                "tr",
                " İstanbul’a Türkiye’nin",
                &[" İstanbul’a", " Türkiye’nin"],
            ),
            (
                "fr",
                " l'eau, qu'à l'école",
                &[" l'eau,", " qu'à", " l'école"],
            ),
            ("fr", " l’eau d’accord", &[" l’eau", " d’accord"]),
            ("it", "dell'eco", &["dell'eco"]),
            ("en", " o'clock rock'n'roll", &[" o'clock", " rock'n'roll"]),
        ] {
            check(language, text, expected);
        }
    }

    #[test]
    fn an_apostrophe_used_as_a_quote_is_a_mark() {
        for (text, expected) in [
            (" the boys' books", &[" the", " boys'", " books"][..]),
            (" the boys’ books", &[" the", " boys’", " books"]),
            (" a 'fine' day", &[" a", " 'fine'", " day"]),
            (" he said 'go'.", &[" he", " said", " 'go'."]),
            (" the '90s", &[" the", " '90s"]),
            (" 5'10 boys'", &[" 5", "'10", " boys'"]),
        ] {
            check("en", text, expected);
        }
    }

    #[test]
    fn hyphens_and_decimals_are_split_as_in_the_reference() {
        for (text, expected) in [
            (" an e-mail", &[" an", " e", "-mail"][..]),
            (" about 3.5 percent", &[" about", " 3", ".5", " percent"]),
        ] {
            check("en", text, expected);
        }
    }

    #[test]
    fn a_mark_after_a_space_belongs_to_no_word() {
        let words = ["a ", ",", " b", "", "!"].map(word).to_vec();
        let texts: Vec<String> = merge_punctuation(words)
            .into_iter()
            .map(|w| w.text)
            .collect();
        assert_eq!(texts, ["a ", ",", " b!"]);
    }

    #[test]
    fn invalid_bytes_are_replaced_as_in_the_decoded_text() {
        let base = load("base");
        // Parts of an emoji between whole characters and at the end.
        let emoji = base.encode("🤗");
        let broken = [
            &base.encode("が")[..],
            &emoji[..1],
            &base.encode("ab"),
            &emoji[..2],
        ]
        .concat();
        for language in ["ja", "en"] {
            let groups = split(base, Language::parse(language), &broken);
            let joined: String = groups.iter().map(|group| group.text.as_str()).collect();
            assert_eq!(joined, base.decode(&broken));
            let tokens: usize = groups.iter().map(|group| group.tokens).sum();
            assert_eq!(tokens, broken.len());
        }
    }
}
