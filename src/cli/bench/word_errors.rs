//! Counts the word errors of a transcript against a reference text.
//!
//! Texts are compared in NFKC and lower case, without apostrophes and with other punctuation
//! replaced by spaces. Numbers stay as they are written. Japanese and Chinese are written without
//! spaces, so there a word is one character.

use std::ops::AddAssign;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

/// The words of a reference text, and the errors of a transcript against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordErrors {
    /// Words of the reference.
    pub words: u64,
    /// Substitutions, deletions and insertions.
    pub errors: u64,
}

impl WordErrors {
    /// Counts the word errors of `hypothesis` against `reference`, both in `language`.
    pub fn count(reference: &str, hypothesis: &str, language: Option<&str>) -> Self {
        let reference = normalized_words(reference, language);
        let hypothesis = normalized_words(hypothesis, language);
        Self {
            words: reference.len() as u64,
            errors: edit_distance(&reference, &hypothesis) as u64,
        }
    }

    /// The errors of the same transcript `count` times.
    pub fn times(self, count: u64) -> Self {
        Self {
            words: self.words * count,
            errors: self.errors * count,
        }
    }

    /// The word error rate; `None` without reference words.
    pub fn rate(self) -> Option<f64> {
        (self.words > 0).then(|| self.errors as f64 / self.words as f64)
    }
}

impl AddAssign for WordErrors {
    fn add_assign(&mut self, other: Self) {
        self.words += other.words;
        self.errors += other.errors;
    }
}

/// The words of a text, normalized for comparison.
pub fn normalized_words(text: &str, language: Option<&str>) -> Vec<String> {
    let language = language.and_then(|tag| tag.split(['-', '_']).next());
    let language = language.map(str::to_ascii_lowercase).unwrap_or_default();
    let mut text = ComposingNormalizerBorrowed::new_nfkc()
        .normalize(text)
        .into_owned();
    if language == "tr" {
        // Turkish has a dotted and a dotless i, each with its own capital.
        text = text.replace('İ', "i").replace('I', "ı");
    }
    let text = text.to_lowercase().replace(['\'', '’', 'ʼ'], "");
    // Combining marks, such as the virama of Hindi, are part of the word.
    let marks = CanonicalCombiningClassMapBorrowed::new();
    let in_word = |c: char| c.is_alphanumeric() || marks.get_u8(c) != 0;
    let words = text.split(|c| !in_word(c)).filter(|word| !word.is_empty());
    if language == "ja" || language == "zh" {
        words.flat_map(str::chars).map(String::from).collect()
    } else {
        words.map(str::to_owned).collect()
    }
}

/// The Levenshtein distance, computed one table row at a time.
fn edit_distance(reference: &[String], hypothesis: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=hypothesis.len()).collect();
    for (i, expected) in reference.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, actual) in hypothesis.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != actual);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[hypothesis.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_punctuation() {
        for (language, text, expected) in [
            (
                "en",
                "Ask not, what YOUR country—can do.",
                "ask not what your country can do",
            ),
            ("en", "Don't; it’s o'clock", "dont its oclock"),
            ("en", "I said 42 %, ﬁne", "i said 42 fine"),
            ("tr", "Işık İstanbul'da ILIK", "ışık istanbulda ılık"),
            ("tr-TR", "IĞDIR", "ığdır"),
            ("de", "STRAẞE Über", "straße über"),
            ("fr", "L’école, e\u{301}te\u{301}", "lécole été"),
            ("hi", "नमस्ते।", "नमस्ते"),
            ("ko", "안녕, 세상", "안녕 세상"),
            ("ja", "東京タワー、１２", "東 京 タ ワ ー 1 2"),
            ("ja", "ｶﾞｽ ガス", "ガ ス ガ ス"),
            ("zh-TW", "你好。 世界", "你 好 世 界"),
            ("", " … !", ""),
        ] {
            let words = normalized_words(text, Some(language));
            assert_eq!(words.join(" "), expected, "{text}");
        }
        assert_eq!(normalized_words("Iş", None), ["iş"]);
    }

    #[test]
    fn counts_substitutions_deletions_and_insertions() {
        for (reference, hypothesis, words, errors) in [
            ("a b c", "A, b, c!", 3, 0),
            ("a b c", "a x c", 3, 1),
            ("a b c", "a c", 3, 1),
            ("a b c", "a b b c", 3, 1),
            ("a b c", "", 3, 3),
            ("", "you you", 0, 2),
            ("a b c d", "b c d e", 4, 2),
            ("", "", 0, 0),
        ] {
            let counted = WordErrors::count(reference, hypothesis, Some("en"));
            let expected = WordErrors { words, errors };
            assert_eq!(counted, expected, "{reference:?} {hypothesis:?}");
        }
        let counted = WordErrors::count("東京へ", "東京え", Some("ja"));
        let expected = WordErrors {
            words: 3,
            errors: 1,
        };
        assert_eq!(counted, expected);
    }
}
