//! Cuts a segment's text into the pieces between which a line may break.

use super::numbers::milliseconds;
use crate::transcript::Segment;

/// A word, or a character where words do not stand apart.
#[derive(Debug, PartialEq)]
pub(super) struct Piece {
    /// Without white space around it, never empty.
    pub text: String,
    /// Whether a space parts it from the piece before.
    pub after_space: bool,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// How a language writes its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spacing {
    /// With spaces between them.
    Apart,
    /// Without.
    Joined,
}

/// The segment's words, or where it has none, its text cut with estimated times.
pub(super) fn pieces(segment: &Segment, spacing: Spacing) -> Vec<Piece> {
    let words = words(segment, spacing);
    if words.is_empty() {
        cut_text(segment, spacing)
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

fn words(segment: &Segment, spacing: Spacing) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(segment.words.len());
    let mut after_space = spacing == Spacing::Apart;
    for word in &segment.words {
        after_space |= word.text.starts_with(is_blank);
        let text = collapse(&word.text);
        if text.is_empty() {
            continue;
        }
        pieces.push(Piece {
            text,
            after_space,
            start_ms: milliseconds(word.start_s),
            end_ms: milliseconds(word.end_s),
        });
        after_space = word.text.ends_with(is_blank);
    }
    pieces
}

/// The times are as far between the segment's as the characters are in its text.
fn cut_text(segment: &Segment, spacing: Spacing) -> Vec<Piece> {
    let mut pieces = cut(&segment.text, spacing);
    let spaces = pieces.iter().skip(1).filter(|piece| piece.after_space);
    let total = spaces.count() + pieces.iter().map(Piece::chars).sum::<usize>();
    let start_ms = milliseconds(segment.start_s);
    let span_ms = milliseconds(segment.end_s).saturating_sub(start_ms);
    let at = |chars: usize| start_ms + (span_ms as f64 * chars as f64 / total as f64) as u64;

    let mut chars = 0;
    for (index, piece) in pieces.iter_mut().enumerate() {
        chars += usize::from(index > 0 && piece.after_space);
        piece.start_ms = at(chars);
        chars += piece.chars();
        piece.end_ms = at(chars);
    }
    pieces
}

/// The pieces, without times yet.
fn cut(text: &str, spacing: Spacing) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut after_space = spacing == Spacing::Apart;
    let mut before = None;
    for c in text.chars() {
        if is_blank(c) {
            after_space = true;
            before = None;
            continue;
        }
        let joined = before.is_some_and(|before| match spacing {
            Spacing::Apart => true,
            Spacing::Joined => !may_break(before, c),
        });
        match pieces.last_mut() {
            Some(piece) if joined => piece.text.push(c),
            _ => pieces.push(Piece {
                text: c.into(),
                after_space,
                start_ms: 0,
                end_ms: 0,
            }),
        }
        after_space = false;
        before = Some(c);
    }
    pieces
}

/// Whether a line may break between two characters of a text without spaces: a rough form of
/// Unicode's line breaking, which would need its tables.
fn may_break(before: char, after: char) -> bool {
    // Latin, Cyrillic, Arabic and the like: a name or a number among the others.
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

impl Piece {
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
        let pieces = pieces(&segment(0.0, 1.0, text), spacing);
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts.join("|"), expected);
    }

    #[test]
    fn breaks_where_the_language_may() {
        check(" Well,  now\r\nthen \0", Spacing::Apart, "Well,|now|then");
        check("\u{2028} \0", Spacing::Apart, "");
        check(
            "日本語の「東京」、OpenAI 3.5だ。",
            Spacing::Joined,
            "日|本|語|の|「東|京」、|OpenAI|3.5|だ。",
        );
        check("ちょっとカード", Spacing::Joined, "ちょっ|と|カー|ド");
        check("ที่นี่ไม่", Spacing::Joined, "ที่|นี่|ไม่");
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
        let piece = |text: &str, after_space, start_ms, end_ms| Piece {
            text: text.to_owned(),
            after_space,
            start_ms,
            end_ms,
        };
        let expected = [
            piece("It's", true, 500, 1000),
            piece("5", true, 1000, 1500),
            piece("%.", false, 1500, 0),
        ];
        assert_eq!(pieces(&segment, Spacing::Apart), expected);
    }

    #[test]
    fn without_words_the_characters_tell_the_times() {
        let pieces = pieces(&segment(10.0, 20.0, " one to six"), Spacing::Apart);
        let times = pieces.iter().map(|piece| (piece.start_ms, piece.end_ms));
        let expected = [(10_000, 13_000), (14_000, 16_000), (17_000, 20_000)];
        assert_eq!(times.collect::<Vec<_>>(), expected);
    }
}
