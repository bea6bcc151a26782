//! What an answer tells: its text and headers, or why there is none.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::tally::Answer;

/// How long a caller leaves a server alone that refused without saying for how long, or was not
/// there at all.
pub const PAUSE: Duration = Duration::from_secs(1);

/// The longest that a server may send a caller away for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How much is repeated of what a server says about an error.
const SAID_CHARS: usize = 200;

/// What the answer to a transcription tells.
pub fn read(headers: &HeaderMap, body: &[u8]) -> Answer {
    let kind = text_of(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let batch = number_of(headers, "x-batch-size");
    if kind.starts_with("application/json") {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        // The second is what `verbose_json` says.
        let audio_s = json["usage"]["seconds"].as_f64();
        return Answer {
            text: json["text"].as_str().map(str::to_owned),
            audio_s: audio_s.or_else(|| json["duration"].as_f64()),
            batch,
        };
    }
    let is_text = kind.starts_with("text/plain");
    Answer {
        text: is_text.then(|| String::from_utf8_lossy(body).trim().to_owned()),
        audio_s: None,
        batch,
    }
}

/// The message of OpenAI's error object, or the beginning of whatever else it is.
pub fn said(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = match json["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(SAID_CHARS).collect()
}

/// How long the caller of a refused request waits before its next one.
pub fn pause(status: u16, headers: &HeaderMap) -> Duration {
    let asked_for_s = number_of(headers, "retry-after-ms")
        .map(|ms| ms / 1e3)
        .or_else(|| number_of(headers, RETRY_AFTER.as_str()));
    let asked_for = asked_for_s.and_then(|s| Duration::try_from_secs_f64(s).ok());
    let pause = match status {
        429 | 503 => asked_for.unwrap_or(PAUSE),
        _ => asked_for.unwrap_or_default(),
    };
    pause.min(LONGEST_PAUSE)
}

fn number_of(headers: &HeaderMap, name: &str) -> Option<f64> {
    text_of(headers, name)?.trim().parse().ok()
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        all.iter().map(header).collect()
    }

    #[test]
    fn reads_json_and_plain_text() {
        let json = ("content-type", "application/json; charset=utf-8");
        for (all, body, text, audio_s, batch) in [
            (
                &[json, ("x-batch-size", "7")][..],
                r#"{"text": " a", "usage": {"type": "duration", "seconds": 11}}"#,
                Some(" a"),
                Some(11.0),
                Some(7.0),
            ),
            (
                &[json],
                r#"{"text": "", "duration": 2.5}"#,
                Some(""),
                Some(2.5),
                None,
            ),
            (&[json], "{}", None, None, None),
            (&[json], "no json", None, None, None),
            (
                &[("content-type", "text/plain")],
                "a b\n",
                Some("a b"),
                None,
                None,
            ),
            (
                &[("content-type", "text/event-stream")],
                "data: x",
                None,
                None,
                None,
            ),
            (&[], "?", None, None, None),
        ] {
            let expected = Answer {
                text: text.map(str::to_owned),
                audio_s,
                batch,
            };
            assert_eq!(read(&headers(all), body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_caller_waits_as_long_as_it_was_told() {
        let ms = Duration::from_millis;
        for (status, all, expected) in [
            (
                429,
                &[("retry-after-ms", "250"), ("retry-after", "1")][..],
                ms(250),
            ),
            (503, &[("retry-after", "2")], ms(2000)),
            (429, &[], PAUSE),
            (
                503,
                &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
                PAUSE,
            ),
            (429, &[("retry-after-ms", "-1")], PAUSE),
            (429, &[("retry-after", "86400")], LONGEST_PAUSE),
            (500, &[], ms(0)),
            (500, &[("retry-after", "1")], ms(1000)),
        ] {
            assert_eq!(pause(status, &headers(all)), expected, "{status} {all:?}");
        }
    }

    #[test]
    fn repeats_what_the_server_says_of_an_error() {
        for (body, expected) in [
            (
                r#"{"error": {"message": "Too many\nrequests."}}"#,
                "Too many requests.",
            ),
            ("<html>\n no", "<html> no"),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes()), expected);
        }
        assert_eq!(said("é".repeat(300).as_bytes()).chars().count(), SAID_CHARS);
    }
}
