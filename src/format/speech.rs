//! The times of speech, in speaches' format.

use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

use super::json;

/// Samples of a millisecond at 16 kHz.
const SAMPLES_PER_MS: usize = 16;

/// Speech without a long silence.
#[derive(Serialize, ToSchema)]
pub struct SpeechTimestamp {
    /// Where it begins, in milliseconds.
    start: usize,
    /// Where it ends, in milliseconds.
    end: usize,
}

/// Renders spans of samples at 16 kHz as a list.
#[must_use]
pub fn speech_timestamps(spans: &[Range<usize>]) -> String {
    let timestamp = |span: &Range<usize>| SpeechTimestamp {
        start: span.start / SAMPLES_PER_MS,
        end: span.end / SAMPLES_PER_MS,
    };
    json::write(&spans.iter().map(timestamp).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_milliseconds() {
        let spans = [0..16_000, 32_007..48_015];
        let expected = r#"[{"start":0,"end":1000},{"start":2000,"end":3000}]"#;
        assert_eq!(speech_timestamps(&spans), expected);
        assert_eq!(speech_timestamps(&[]), "[]");
    }
}
