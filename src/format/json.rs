//! OpenAI's `json` format.

use serde::Serialize;
use utoipa::ToSchema;

use super::languages::SpokenLanguage;
use super::numbers;
use super::usage::Usage;
use crate::transcript::{TokenLogprob, Transcript};

/// The text alone.
#[derive(Serialize, ToSchema)]
pub struct Transcription<'a> {
    /// The text.
    text: &'a str,
    /// Its tokens; only with `include[]=logprobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
    /// The language spoken; empty if there was no speech.
    languages: Vec<SpokenLanguage>,
    usage: Usage,
}

/// A token of the text with its probability.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptionLogprob)]
pub struct Logprob<'a> {
    /// The token as text.
    token: &'a str,
    /// The natural logarithm of its probability.
    logprob: f32,
    /// Its bytes, which may be a part of a character.
    #[schema(value_type = Vec<u32>)]
    bytes: &'a [u8],
}

impl<'a> Logprob<'a> {
    /// The tokens of a text.
    pub fn list(tokens: &'a [TokenLogprob]) -> Vec<Self> {
        let logprob = |token: &'a TokenLogprob| Self {
            token: &token.token,
            logprob: numbers::finite(token.logprob),
            bytes: &token.bytes,
        };
        tokens.iter().map(logprob).collect()
    }
}

/// `{"text", "logprobs"?, "languages", "usage"}`.
pub(super) fn render(transcript: &Transcript, logprobs: bool) -> String {
    write(&Transcription {
        text: &transcript.text,
        logprobs: logprobs.then(|| Logprob::list(&transcript.logprobs)),
        languages: SpokenLanguage::list(transcript.language),
        usage: Usage::of(transcript.duration),
    })
}

pub(super) fn write(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("structs of strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use crate::format::tests::{two_sentences, with_logprobs};
    use crate::format::{OutputOptions, render};

    #[test]
    fn renders_text_and_usage() {
        insta::assert_snapshot!(render(&two_sentences(), &OutputOptions::default()));
    }

    #[test]
    fn lists_the_probabilities_if_requested() {
        let options = OutputOptions {
            logprobs: true,
            ..OutputOptions::default()
        };
        insta::assert_snapshot!(render(&with_logprobs(), &options));
        let none = render(&two_sentences(), &options);
        assert!(none.contains(r#""logprobs":[],"#), "{none}");
    }
}
