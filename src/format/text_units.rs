//! Splits a segment's text into units between which a line may break.

use super::numbers::milliseconds;
use crate::transcript::Segment;

/// A word, or a character in languages without spaces between words.
#[derive(Debug, PartialEq)]
pub(super) struct TextUnit {
    /// Trimmed text, never empty.
    pub text: String,
    /// Whether a space separates it from the previous unit.
    pub after_space: bool,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// Whether a language separates its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// With spaces between the words.
    Spaced,
    /// Without spaces.
    Unspaced,
}

/// The segment's words, or if it has none, its text split with estimated times.
pub(super) fn units(segment: &Segment, spacing: Spacing) -> Vec<TextUnit> {
    let words = words(segment, spacing);
    if words.is_empty() {
        split_text(segment, spacing)
    } else {
        words
    }
}

/// The text in one line: white space and control characters become single spaces.
pub(super) fn collapse(text: &str) -> String {
    let words = text.split(is_blank).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn words(segment: &Segment, spacing: Spacing) -> Vec<TextUnit> {
    let mut units = Vec::with_capacity(segment.words.len());
    let mut after_space = spacing == Spacing::Spaced;
    for word in &segment.words {
        after_space |= word.text.starts_with(is_blank);
        let text = collapse(&word.text);
        if text.is_empty() {
            continue;
        }
        units.push(TextUnit {
            text,
            after_space,
            start_ms: milliseconds(word.start_s),
            end_ms: milliseconds(word.end_s),
        });
        after_space = word.text.ends_with(is_blank);
    }
    units
}

/// Splits the text; the times are interpolated by the number of characters.
fn split_text(segment: &Segment, spacing: Spacing) -> Vec<TextUnit> {
    let mut units = cut(&segment.text, spacing);
    let spaces = units.iter().skip(1).filter(|unit| unit.after_space);
    let total = spaces.count() + units.iter().map(TextUnit::chars).sum::<usize>();
    let start_ms = milliseconds(segment.start_s);
    let span_ms = milliseconds(segment.end_s).saturating_sub(start_ms);
    let at = |chars: usize| start_ms + (span_ms as f64 * chars as f64 / total as f64) as u64;

    let mut chars = 0;
    for (index, unit) in units.iter_mut().enumerate() {
        chars += usize::from(index > 0 && unit.after_space);
        unit.start_ms = at(chars);
        chars += unit.chars();
        unit.end_ms = at(chars);
    }
    units
}

/// The units, without times yet.
fn cut(text: &str, spacing: Spacing) -> Vec<TextUnit> {
    let mut units: Vec<TextUnit> = Vec::new();
    let mut after_space = spacing == Spacing::Spaced;
    let mut before = None;
    for c in text.chars() {
        if is_blank(c) {
            after_space = true;
            before = None;
            continue;
        }
        let joined = before.is_some_and(|before| match spacing {
            Spacing::Spaced => true,
            Spacing::Unspaced => !may_break(before, c),
        });
        match units.last_mut() {
            Some(unit) if joined => unit.text.push(c),
            _ => units.push(TextUnit {
                text: c.into(),
                after_space,
                start_ms: 0,
                end_ms: 0,
            }),
        }
        after_space = false;
        before = Some(c);
    }
    units
}

/// Whether a line may break between two characters of a text without spaces: a rough form of
/// Unicode's line breaking, which would need its tables.
fn may_break(before: char, after: char) -> bool {
    // Latin, Cyrillic, Arabic and similar scripts: a name or a number within the text.
    let is_spaced = |c: char| c < '\u{E00}';
    let is_dependent = matches!(after,
        // Vowels and tones of Thai, Lao and Burmese that belong to the letter before.
        '\u{E31}' | '\u{E33}'..='\u{E3A}' | '\u{E45}'..='\u{E4E}'
        | '\u{EB1}' | '\u{EB3}'..='\u{EBC}' | '\u{EC8}'..='\u{ECE}' | '\u{102B}'..='\u{103E}'
        // Small kana, the long vowel, the repetition.
        | 'ぁ' | 'ぃ' | 'ぅ' | 'ぇ' | 'ぉ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ' | 'ゎ'
        | 'ァ' | 'ィ' | 'ゥ' | 'ェ' | 'ォ' | 'ッ' | 'ャ' | 'ュ' | 'ョ' | 'ヮ' | 'ー' | '々');
    // Thai and Lao write some vowels before the letter they follow.
    let leads =
        is_opening(before) || matches!(before, '\u{E40}'..='\u{E44}' | '\u{EC0}'..='\u{EC4}');
    let trails = is_dependent || !(after.is_alphanumeric() || is_opening(after));
    !(leads || trails || is_spaced(before) && is_spaced(after))
}

fn is_opening(c: char) -> bool {
    "([{“‘「『（〈《【〔［｛".contains(c)
}

impl TextUnit {
    /// Its length in characters.
    pub(super) fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{segment, word};

    #[track_caller]
    fn check(text: &str, spacing: Spacing, expected: &str) {
        let units = units(&segment(0.0, 1.0, text), spacing);
        let texts: Vec<_> = units.iter().map(|unit| unit.text.as_str()).collect();
        assert_eq!(texts.join("|"), expected);
    }

    #[test]
    fn breaks_where_the_language_allows() {
        check(" Well,  now\r\nthen \0", Spacing::Spaced, "Well,|now|then");
        check("\u{2028} \0", Spacing::Spaced, "");
        check(
            "日本語の「東京」、OpenAI 3.5だ。",
            Spacing::Unspaced,
            "日|本|語|の|「東|京」、|OpenAI|3.5|だ。",
        );
        check("ちょっとカード", Spacing::Unspaced, "ちょっ|と|カー|ド");
        check("ที่นี่ไม่", Spacing::Unspaced, "ที่|นี่|ไม่");
    }

    #[test]
    fn words_keep_their_times() {
        let mut segment = segment(0.0, 9.0, " It's 5%.");
        segment.words = vec![
            word(0.5, 1.0, " It's"),
            word(1.0, 1.0, " "),
            word(1.0, 1.5, "5"),
            word(1.5, f64::NAN, "%."),
        ];
        let unit = |text: &str, after_space, start_ms, end_ms| TextUnit {
            text: text.to_owned(),
            after_space,
            start_ms,
            end_ms,
        };
        let expected = [
            unit("It's", true, 500, 1000),
            unit("5", true, 1000, 1500),
            unit("%.", false, 1500, 0),
        ];
        assert_eq!(units(&segment, Spacing::Spaced), expected);
    }

    #[test]
    fn without_words_times_are_interpolated_by_characters() {
        let units = units(&segment(10.0, 20.0, " one to six"), Spacing::Spaced);
        let times = units.iter().map(|unit| (unit.start_ms, unit.end_ms));
        let expected = [(10_000, 13_000), (14_000, 16_000), (17_000, 20_000)];
        assert_eq!(times.collect::<Vec<_>>(), expected);
    }
}
