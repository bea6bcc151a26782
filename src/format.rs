//! Renders a transcript in the format the caller asked for.

mod text;
mod json;
mod verbose;
mod diarized;
mod asr;
mod subtitles;
mod cues;
mod lines;
mod text_units;
pub mod sse;
mod languages;
mod usage;
mod numbers;

use std::num::NonZeroUsize;

use crate::transcript::Transcript;
pub use asr::{AsrOutput, AsrTranscript, BareText, DetectedLanguage, asr, bare_text, language};
pub use diarized::TranscriptionDiarized;
pub use json::Transcription;
pub use sse::{TranscriptionTextDelta, TranscriptionTextDone, TranscriptionTextSegment};
pub use verbose::TranscriptionVerbose;

/// A response format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResponseFormat {
    /// A JSON object with the text.
    #[default]
    Json,
    /// The bare text, ending with one newline.
    Text,
    /// `SubRip` subtitles.
    Srt,
    /// A JSON object with all that is known of each segment, and of each word if asked for.
    VerboseJson,
    /// `WebVTT` subtitles.
    Vtt,
    /// A JSON object with who said what.
    DiarizedJson,
}

/// What of a transcript the caller wants to see, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// The format.
    pub format: ResponseFormat,
    /// What `verbose_json` lists.
    pub granularities: Granularities,
    /// Whether `json` lists the tokens with their probabilities.
    pub logprobs: bool,
    /// Whether `verbose_json` explains what was left out.
    pub dropped: bool,
    /// How subtitles are broken into lines.
    pub subtitles: SubtitleShape,
}

/// What `verbose_json` lists; segments alone unless asked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granularities {
    /// Whether it lists the segments.
    pub segments: bool,
    /// Whether it lists the words.
    pub words: bool,
}

/// How subtitles are broken into lines and cues. Without a width, a segment is a cue of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubtitleShape {
    /// Longest line, in characters (Unicode scalar values) as the viewer sees them; only a word
    /// that is longer by itself exceeds it. 42 is usual for television, half of it for languages
    /// with wide characters.
    pub max_line_width: Option<NonZeroUsize>,
    /// Most lines of a cue; 2 is usual. It has an effect only together with the width.
    pub max_line_count: Option<NonZeroUsize>,
}

impl ResponseFormat {
    /// Names a caller may use, in OpenAI's order.
    pub const NAMES: [&'static str; 6] = [
        "json",
        "text",
        "srt",
        "verbose_json",
        "vtt",
        "diarized_json",
    ];

    /// Finds a format by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "srt" => Some(Self::Srt),
            "verbose_json" => Some(Self::VerboseJson),
            "vtt" => Some(Self::Vtt),
            "diarized_json" => Some(Self::DiarizedJson),
            _ => None,
        }
    }

    /// The content type of an answer in this format. OpenAI's SDK reads an answer as an object
    /// only where this ends with `json`, and as a string otherwise.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::VerboseJson | Self::DiarizedJson => "application/json",
            Self::Text | Self::Srt => "text/plain; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
        }
    }
}

impl Default for Granularities {
    fn default() -> Self {
        Self {
            segments: true,
            words: false,
        }
    }
}

impl OutputOptions {
    /// Whether the answer is better for words with times: to list them, or to break subtitles at
    /// the right time. Without them, the times of breaks are estimated.
    #[must_use]
    pub fn needs_words(&self) -> bool {
        match self.format {
            ResponseFormat::VerboseJson => self.granularities.words,
            ResponseFormat::Srt | ResponseFormat::Vtt => self.subtitles.max_line_width.is_some(),
            ResponseFormat::Json | ResponseFormat::Text | ResponseFormat::DiarizedJson => false,
        }
    }
}

/// The whole answer.
#[must_use]
pub fn render(transcript: &Transcript, options: &OutputOptions) -> String {
    match options.format {
        ResponseFormat::Json => json::render(transcript, options.logprobs),
        ResponseFormat::Text => text::render(transcript),
        ResponseFormat::Srt => subtitles::srt(transcript, options.subtitles),
        ResponseFormat::VerboseJson => verbose::render(transcript, options),
        ResponseFormat::Vtt => subtitles::vtt(transcript, options.subtitles),
        ResponseFormat::DiarizedJson => diarized::render(transcript),
    }
}

#[cfg(test)]
mod tests;
