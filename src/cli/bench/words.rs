//! How far a text is from what was said: the word error rate.
//!
//! Texts are compared in NFKC and lower case, with a space for whatever is no letter or digit and
//! without apostrophes. Numbers stay as they are written. Japanese and Chinese are written without
//! spaces, so there a word is one character.

use std::ops::AddAssign;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

/// Words that were said, and how many of them are wrong, missing or too many in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Words that were said.
    pub words: u64,
    /// Fewest words to replace, leave out or add.
    pub wrong: u64,
}

impl Score {
    /// The score of `heard` where `said` was said in `language`.
    pub fn of(said: &str, heard: &str, language: Option<&str>) -> Self {
        let (said, heard) = (units(said, language), units(heard, language));
        Self {
            words: said.len() as u64,
            wrong: distance(&said, &heard) as u64,
        }
    }

    /// The same text, heard `count` times.
    pub fn times(self, count: u64) -> Self {
        Self {
            words: self.words * count,
            wrong: self.wrong * count,
        }
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.words += other.words;
        self.wrong += other.wrong;
    }
}

/// The words of a text, as they are compared.
fn units(text: &str, language: Option<&str>) -> Vec<String> {
    let language = language.and_then(|tag| tag.split(['-', '_']).next());
    let language = language.map(str::to_ascii_lowercase).unwrap_or_default();
    let mut text = ComposingNormalizerBorrowed::new_nfkc()
        .normalize(text)
        .into_owned();
    if language == "tr" {
        // Turkish has two letters i, and each has its own capital.
        text = text.replace('İ', "i").replace('I', "ı");
    }
    let text = text.to_lowercase().replace(['\'', '’', 'ʼ'], "");
    // Marks that join their letter, such as the virama of Hindi, are part of the word.
    let marks = CanonicalCombiningClassMapBorrowed::new();
    let in_word = |c: char| c.is_alphanumeric() || marks.get_u8(c) != 0;
    let words = text.split(|c| !in_word(c)).filter(|word| !word.is_empty());
    if language == "ja" || language == "zh" {
        words.flat_map(str::chars).map(String::from).collect()
    } else {
        words.map(str::to_owned).collect()
    }
}

/// Levenshtein's distance, one row of its table at a time.
fn distance(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, expected) in said.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, actual) in heard.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != actual);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
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
            assert_eq!(units(text, Some(language)).join(" "), expected, "{text}");
        }
        assert_eq!(units("Iş", None), ["iş"]);
    }

    #[test]
    fn counts_what_is_wrong_missing_or_too_many() {
        for (said, heard, words, wrong) in [
            ("a b c", "A, b, c!", 3, 0),
            ("a b c", "a x c", 3, 1),
            ("a b c", "a c", 3, 1),
            ("a b c", "a b b c", 3, 1),
            ("a b c", "", 3, 3),
            ("", "you you", 0, 2),
            ("a b c d", "b c d e", 4, 2),
            ("", "", 0, 0),
        ] {
            let score = Score::of(said, heard, Some("en"));
            assert_eq!(score, Score { words, wrong }, "{said:?} {heard:?}");
        }
        let score = Score::of("東京へ", "東京え", Some("ja"));
        assert_eq!(score, Score { words: 3, wrong: 1 });
    }
}
