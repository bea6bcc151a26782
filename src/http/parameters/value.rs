//! Parses the values of fields.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use halkspeech_whisper::Language;

/// The longest recording that any setting allows, in seconds: a week.
pub const LONGEST_S: f64 = 604_800.0;

/// The allowed values, as a phrase that follows "Expected".
#[derive(Debug, PartialEq, Eq)]
pub struct Expected(pub String);

impl Expected {
    /// Takes the words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// The names of all variants of an enum that has `ALL` and `name`, in the same order.
macro_rules! names {
    ($type:ty) => {{
        const NAMES: [&str; <$type>::ALL.len()] = {
            let mut names = [""; <$type>::ALL.len()];
            let mut index = 0;
            while index < names.len() {
                names[index] = <$type>::ALL[index].name();
                index += 1;
            }
            names
        };
        &NAMES
    }};
}
pub(super) use names;

/// Assigns a value if it is valid.
pub fn put<T>(target: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *target = value?;
    Ok(())
}

/// A Boolean. Python's `str(True)` begins with a capital; a checked box of a web form is `on`.
pub fn parse_boolean(text: &str) -> Result<bool, Expected> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Expected::new("true or false")),
    }
}

/// A number within a range, which is checked before the number is rounded.
pub fn parse_number(text: &str, range: RangeInclusive<f64>) -> Result<f32, Expected> {
    let number = text.trim().parse().ok();
    match number.filter(|number| range.contains(number)) {
        // -0 and 0 have different batch keys; adding 0 turns -0 into 0.
        Some(number) => Ok(number as f32 + 0.0),
        None => {
            let (min, max) = (range.start(), range.end());
            Err(Expected(format!("a number from {min} to {max}")))
        }
    }
}

/// A number within a range, or none for `none` or `null`.
pub fn parse_optional_number(
    text: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f32>, Expected> {
    if is_none(text) {
        return Ok(None);
    }
    match parse_number(text, range) {
        Ok(number) => Ok(Some(number)),
        Err(Expected(words)) => Err(Expected(format!("{words}, or none"))),
    }
}

/// Seconds within a range.
pub fn parse_seconds(text: &str, range: RangeInclusive<f64>) -> Result<Duration, Expected> {
    let number = text.trim().parse().ok();
    match number.filter(|number| range.contains(number)) {
        Some(number) => Ok(Duration::from_secs_f64(number + 0.0)),
        None => {
            let (min, max) = (range.start(), range.end());
            let words = format!("a number of seconds from {min} to {max}");
            Err(Expected(words))
        }
    }
}

/// Whole milliseconds up to a maximum.
pub fn parse_milliseconds(text: &str, max: u64) -> Result<Duration, Expected> {
    let number = text.trim().parse().ok();
    match number.filter(|number| *number <= max) {
        Some(number) => Ok(Duration::from_millis(number)),
        None => {
            let words = format!("a whole number of milliseconds from 0 to {max}");
            Err(Expected(words))
        }
    }
}

/// A whole number within a range.
pub fn parse_integer(text: &str, range: RangeInclusive<usize>) -> Result<usize, Expected> {
    let number = text.trim().parse().ok();
    let number = number.filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (min, max) = (range.start(), range.end());
        Expected(format!("a whole number from {min} to {max}"))
    })
}

/// A whole number from 1 up to a maximum.
pub fn parse_count(text: &str, max: usize) -> Result<NonZeroUsize, Expected> {
    let number = parse_integer(text, 1..=max)?;
    Ok(NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN))
}

/// A language in any notation that [`Language::parse`] accepts.
pub fn parse_language(text: &str) -> Result<Language, Expected> {
    let expected = "an ISO 639 code such as en, or a language's English name";
    Language::parse(text).ok_or_else(|| Expected::new(expected))
}

/// The items of a list: a JSON list, or texts separated by commas. Empty items are skipped.
pub fn parse_list(text: &str) -> Vec<String> {
    let items = match serde_json::from_str::<Vec<Value>>(text) {
        Ok(items) => items.into_iter().map(plain).collect(),
        Err(_) => text.split(',').map(str::to_owned).collect::<Vec<_>>(),
    };
    let trimmed = items.iter().map(|item| item.trim());
    trimmed
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The members of a JSON object, as if each had been sent as a field; none if it is not an object.
pub fn parse_members(text: &str) -> Option<Vec<(String, String)>> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let members = object.into_iter();
    Some(members.map(|(key, value)| (key, plain(value))).collect())
}

/// Whether a value is JSON's `null` or Python's `None`.
pub fn is_none(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("null")
}

/// A JSON value as a form would hold it.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_booleans() {
        for text in ["true", "True", " TRUE ", "1", "yes", "On"] {
            assert_eq!(parse_boolean(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "0", "no", "OFF"] {
            assert_eq!(parse_boolean(text), Ok(false), "{text}");
        }
        for text in ["y", "2", "01", "none", "enabled"] {
            assert_eq!(
                parse_boolean(text),
                Err(Expected::new("true or false")),
                "{text}"
            );
        }
    }

    #[test]
    fn parses_numbers() {
        for (text, number) in [("0", 0.0), (" .5 ", 0.5), ("1e0", 1.0), ("-0", 0.0)] {
            assert_eq!(parse_number(text, 0.0..=1.0), Ok(number), "{text}");
            assert_eq!(
                parse_optional_number(text, 0.0..=1.0),
                Ok(Some(number)),
                "{text}"
            );
            let duration = Duration::from_secs_f32(number);
            assert_eq!(parse_seconds(text, 0.0..=1.0), Ok(duration), "{text}");
        }
        assert!(parse_number("-0", 0.0..=1.0).unwrap().is_sign_positive());
        for text in [
            "1.01",
            "1.00000000001",
            "-0.1",
            "NaN",
            "inf",
            "-inf",
            "1e99",
            "0,5",
            "x",
        ] {
            let expected = Expected::new("a number from 0 to 1");
            assert_eq!(parse_number(text, 0.0..=1.0), Err(expected), "{text}");
            let expected = Expected::new("a number from 0 to 1, or none");
            assert_eq!(
                parse_optional_number(text, 0.0..=1.0),
                Err(expected),
                "{text}"
            );
            let expected = Expected::new("a number of seconds from 0 to 1");
            assert_eq!(parse_seconds(text, 0.0..=1.0), Err(expected), "{text}");
        }
        for text in ["none", "None", "null"] {
            assert_eq!(parse_optional_number(text, 0.0..=1.0), Ok(None), "{text}");
        }
    }

    #[test]
    fn parses_whole_numbers() {
        assert_eq!(parse_integer(" 7 ", 3..=9), Ok(7));
        assert_eq!(parse_count("9", 9).map(NonZeroUsize::get), Ok(9));
        assert_eq!(
            parse_milliseconds("250", 300),
            Ok(Duration::from_millis(250))
        );
        for text in ["2", "10", "-3", "5.0", "99999999999999999999", ""] {
            let expected = Expected::new("a whole number from 3 to 9");
            assert_eq!(parse_integer(text, 3..=9), Err(expected), "{text}");
        }
        assert!(parse_count("0", 9).is_err());
        for text in ["301", "-1", "0.5"] {
            let expected = Expected::new("a whole number of milliseconds from 0 to 300");
            assert_eq!(parse_milliseconds(text, 300), Err(expected), "{text}");
        }
    }

    #[test]
    fn parses_lists() {
        for (text, items) in [
            ("word", &["word"][..]),
            ("word, segment", &["word", "segment"]),
            (r#"["word","segment"]"#, &["word", "segment"]),
            (r#"["a, b", 3, null]"#, &["a, b", "3"]),
            ("[-1, 50]", &["-1", "50"]),
            ("[laughs], [sighs]", &["[laughs]", "[sighs]"]),
            (",a,,", &["a"]),
            ("[]", &[]),
            (" , ", &[]),
        ] {
            assert_eq!(parse_list(text), items, "{text}");
        }
    }

    #[test]
    fn parses_objects() {
        let text = r#"{"type": "server_vad", "threshold": 0.5, "silence_duration_ms": null}"#;
        let pairs = [
            ("silence_duration_ms", ""),
            ("threshold", "0.5"),
            ("type", "server_vad"),
        ];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(parse_members(text), Some(pairs.to_vec()));
        for text in ["auto", "[1]", "null", "\"auto\"", "{"] {
            assert_eq!(parse_members(text), None, "{text}");
        }
    }
}
