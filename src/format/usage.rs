//! The usage of a request: the length of its audio, or its tokens.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::transcript::Transcript;

/// OpenAI's usage object for models billed by duration.
#[derive(Serialize, ToSchema)]
#[schema(as = TranscriptionUsage)]
pub struct Usage {
    r#type: &'static str,
    /// Rounded up.
    seconds: u64,
}

impl Usage {
    pub(super) fn of(duration: Duration) -> Self {
        let begun = u64::from(duration.subsec_nanos() > 0);
        Self {
            r#type: "duration",
            seconds: duration.as_secs().saturating_add(begun),
        }
    }
}

/// OpenAI's usage object for models billed by tokens.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TranscriptionTokenUsage)]
pub struct TokenUsage {
    /// `tokens`.
    r#type: &'static str,
    /// Tokens of the audio and of the prompt.
    input_tokens: u64,
    /// The input tokens by kind.
    input_token_details: InputTokens,
    /// Tokens of the text.
    output_tokens: u64,
    /// The sum of both.
    total_tokens: u64,
}

/// The input of a model, in tokens.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TranscriptionInputTokens)]
struct InputTokens {
    /// Ten for each second, rounded up.
    audio_tokens: u64,
    /// Tokens of the prompt and the hints that the model was given.
    text_tokens: u64,
}

impl TokenUsage {
    pub(super) fn of(transcript: &Transcript) -> Self {
        const NANOS_OF_A_TOKEN: u128 = 100_000_000;
        let audio_tokens = transcript.duration.as_nanos().div_ceil(NANOS_OF_A_TOKEN) as u64;
        let text_tokens = transcript.prompt_tokens as u64;
        let output_tokens = transcript
            .segments
            .iter()
            .map(|segment| segment.tokens.len());
        let output_tokens = output_tokens.sum::<usize>() as u64;
        let input_tokens = audio_tokens + text_tokens;
        Self {
            r#type: "tokens",
            input_tokens,
            input_token_details: InputTokens {
                audio_tokens,
                text_tokens,
            },
            output_tokens,
            total_tokens: input_tokens + output_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::two_sentences;

    #[test]
    fn a_begun_tenth_of_a_second_is_a_token() {
        for (ms, audio_tokens) in [(0, 0), (1, 1), (100, 1), (101, 2), (8_470, 85), (9_000, 90)] {
            let transcript = Transcript {
                duration: Duration::from_millis(ms),
                prompt_tokens: 3,
                ..two_sentences()
            };
            let expected = TokenUsage {
                r#type: "tokens",
                input_tokens: audio_tokens + 3,
                input_token_details: InputTokens {
                    audio_tokens,
                    text_tokens: 3,
                },
                output_tokens: 7,
                total_tokens: audio_tokens + 10,
            };
            assert_eq!(TokenUsage::of(&transcript), expected, "{ms} ms");
        }
    }

    #[test]
    fn a_begun_second_counts_whole() {
        let seconds =
            [0, 1, 8_470, 9_000, 9_001].map(|ms| Usage::of(Duration::from_millis(ms)).seconds);
        assert_eq!(seconds, [0, 1, 9, 9, 10]);
    }
}
