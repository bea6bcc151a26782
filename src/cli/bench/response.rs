//! Parses responses: the transcript, or the error message and the retry delay.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::statistics::TranscriptionResponse;

/// Delay before a caller's next request if a refusal has no `Retry-After` or the connection failed.
pub const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Longest `Retry-After` that is respected.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Longest part of a server's error message that is shown.
const MAX_MESSAGE_CHARS: usize = 200;

/// Parses the response to a transcription.
pub fn parse(headers: &HeaderMap, body: &[u8]) -> TranscriptionResponse {
    let content_type = header_text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let batch_windows = header_number(headers, "x-batch-size");
    if content_type.starts_with("application/json") {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        // `verbose_json` has `duration` instead.
        let audio_s = json["usage"]["seconds"].as_f64();
        return TranscriptionResponse {
            text: json["text"].as_str().map(str::to_owned),
            audio_s: audio_s.or_else(|| json["duration"].as_f64()),
            batch_windows,
        };
    }
    let is_text = content_type.starts_with("text/plain");
    TranscriptionResponse {
        text: is_text.then(|| String::from_utf8_lossy(body).trim().to_owned()),
        audio_s: None,
        batch_windows,
    }
}

/// The message of OpenAI's error object, or the beginning of any other body.
pub fn error_message(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = match json["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
}

/// Delay between a failed request and the caller's next one.
pub fn retry_delay(status: u16, headers: &HeaderMap) -> Duration {
    let retry_after_s = header_number(headers, "retry-after-ms")
        .map(|ms| ms / 1e3)
        .or_else(|| header_number(headers, RETRY_AFTER.as_str()));
    let retry_after = retry_after_s.and_then(|s| Duration::try_from_secs_f64(s).ok());
    let delay = match status {
        429 | 503 => retry_after.unwrap_or(DEFAULT_RETRY_DELAY),
        _ => retry_after.unwrap_or_default(),
    };
    delay.min(MAX_RETRY_DELAY)
}

fn header_number(headers: &HeaderMap, name: &str) -> Option<f64> {
    header_text(headers, name)?.trim().parse().ok()
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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
    fn parses_json_and_plain_text() {
        let json = ("content-type", "application/json; charset=utf-8");
        for (all, body, text, audio_s, batch_windows) in [
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
            let expected = TranscriptionResponse {
                text: text.map(str::to_owned),
                audio_s,
                batch_windows,
            };
            assert_eq!(parse(&headers(all), body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn the_retry_delay_follows_the_headers() {
        let ms = Duration::from_millis;
        for (status, all, expected) in [
            (
                429,
                &[("retry-after-ms", "250"), ("retry-after", "1")][..],
                ms(250),
            ),
            (503, &[("retry-after", "2")], ms(2000)),
            (429, &[], DEFAULT_RETRY_DELAY),
            (
                503,
                &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
                DEFAULT_RETRY_DELAY,
            ),
            (429, &[("retry-after-ms", "-1")], DEFAULT_RETRY_DELAY),
            (429, &[("retry-after", "86400")], MAX_RETRY_DELAY),
            (500, &[], ms(0)),
            (500, &[("retry-after", "1")], ms(1000)),
        ] {
            let delay = retry_delay(status, &headers(all));
            assert_eq!(delay, expected, "{status} {all:?}");
        }
    }

    #[test]
    fn shows_the_servers_error_message() {
        for (body, expected) in [
            (
                r#"{"error": {"message": "Too many\nrequests."}}"#,
                "Too many requests.",
            ),
            ("<html>\n no", "<html> no"),
            ("", ""),
        ] {
            assert_eq!(error_message(body.as_bytes()), expected);
        }
        let long = error_message("é".repeat(300).as_bytes());
        assert_eq!(long.chars().count(), MAX_MESSAGE_CHARS);
    }
}
