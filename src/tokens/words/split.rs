//! Finds where words begin and end in text tokens.

use super::Word;
use crate::tokens::{Language, Vocabulary};

// The reference finds these by asking whether a whole word occurs in the list, so two marks that
// stand side by side here count as one.
/// Marks that are words of their own.
const ASCII_PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Marks that belong to the word after them.
const PREPENDED: &str = "\"'“¿([{-";
/// Marks that belong to the word before them.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";

/// Text that stands for a number of tokens.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) tokens: usize,
}

/// The words of the text tokens `ids`, punctuation apart.
///
/// The rules are those of faster-whisper's `split_to_word_tokens` with one exception: an apostrophe
/// between letters ends no word, so that "İstanbul'a" and "l'eau" are one word each.
pub(super) fn split(
    vocabulary: &Vocabulary,
    language: Option<Language>,
    ids: &[u32],
) -> Vec<Piece> {
    let pieces = split_at_characters(vocabulary, ids);
    if !language.is_none_or(Language::puts_spaces_between_words) {
        return pieces;
    }
    let mut words: Vec<Piece> = Vec::new();
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        let begins_word =
            piece.text.starts_with(' ') || ASCII_PUNCTUATION.contains(piece.text.trim());
        match words.last_mut() {
            Some(word)
                if !begins_word || is_apostrophe_within_word(word, &piece, pieces.peek()) =>
            {
                word.text.push_str(&piece.text);
                word.tokens += piece.tokens;
            }
            _ => words.push(piece),
        }
    }
    words
}

/// Whether `piece` is an apostrophe with a letter on either side. Before it may stand a digit
/// ("2023'te"); an apostrophe that ends a quotation or a plural ("boys' books") has no letter after
/// it. U+2019 needs no rule: it is no ASCII punctuation and begins no word.
fn is_apostrophe_within_word(before: &Piece, piece: &Piece, after: Option<&Piece>) -> bool {
    let begins_with_letter = |piece: &Piece| piece.text.starts_with(char::is_alphabetic);
    piece.text == "'"
        && before.text.ends_with(char::is_alphanumeric)
        && after.is_some_and(begins_with_letter)
}

/// The fewest tokens at a time that are whole characters, for a token may end within one.
fn split_at_characters(vocabulary: &Vocabulary, ids: &[u32]) -> Vec<Piece> {
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| vocabulary.bytes(id))
        .copied()
        .collect();
    // Bytes that are no character show as one, as they do in the text as a whole.
    let mut is_end = vec![false; bytes.len() + 1];
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        let characters = chunk.valid().chars().map(char::len_utf8);
        for length in characters.chain([chunk.invalid().len()]) {
            end += length;
            is_end[end] = true;
        }
    }
    let mut pieces = Vec::with_capacity(ids.len());
    let (mut begin, mut end, mut tokens) = (0, 0, 0);
    for &id in ids {
        end += vocabulary.bytes(id).len();
        tokens += 1;
        if is_end[end] {
            let text = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
            pieces.push(Piece { text, tokens });
            (begin, tokens) = (end, 0);
        }
    }
    pieces
}

/// Joins marks with the word they belong to, whose time stays its own.
pub(super) fn merge_punctuation(words: Vec<Word>) -> Vec<Word> {
    let is_prepended =
        |word: &Word| word.text.starts_with(' ') && PREPENDED.contains(word.text.trim());
    let mut merged: Vec<Word> = Vec::with_capacity(words.len());
    // Backwards, for several marks may stand before a word.
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
    use crate::tokens::test_models::load;

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
        let pieces = split(base, Language::parse(language), &base.encode(text));
        let merged = merge_punctuation(pieces.into_iter().map(|piece| word(&piece.text)).collect());
        let texts: Vec<&str> = merged.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn gives_punctuation_to_the_word_it_belongs_to() {
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
    fn an_apostrophe_between_letters_is_within_its_word() {
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
    fn an_apostrophe_that_quotes_is_a_mark() {
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
    fn bytes_that_are_no_character_show_as_in_the_whole_text() {
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
            let pieces = split(base, Language::parse(language), &broken);
            let joined: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            assert_eq!(joined, base.decode(&broken));
            let tokens: usize = pieces.iter().map(|piece| piece.tokens).sum();
            assert_eq!(tokens, broken.len());
        }
    }
}
