//! Renders a transcript in the requested format.

mod text;
mod json;
mod verbose;
mod diarized;
mod asr;
mod subtitles;
mod cues;
mod lines;
mod text_units;
mod turns;
mod diarization;
mod speech;
pub mod sse;
mod languages;
mod usage;
mod numbers;

use std::num::NonZeroUsize;

use crate::transcript::Transcript;
pub use asr::{AsrOutput, AsrTranscript, BareText, DetectedLanguage, asr, bare_text, language};
pub use diarization::{Diarization, rttm, speaker_timeline};
pub use diarized::TranscriptionDiarized;
pub use json::{Logprob, Transcription};
pub use languages::{SpokenLanguages, spoken_languages};
pub use speech::{SpeechTimestamp, speech_timestamps};
pub use sse::{TranscriptionTextDelta, TranscriptionTextDone, TranscriptionTextSegment};
pub use turns::Passages;
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
    /// A JSON object with all data of each segment, and of each word if requested.
    VerboseJson,
    /// `WebVTT` subtitles.
    Vtt,
    /// A JSON object with the segments of each speaker.
    DiarizedJson,
}

/// How a transcript is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// The format.
    pub format: ResponseFormat,
    /// The units that `verbose_json` lists.
    pub granularities: Granularities,
    /// Whether `json` lists the tokens with their probabilities.
    pub logprobs: bool,
    /// Whether `verbose_json` lists the dropped parts.
    pub dropped: bool,
    /// How subtitles are broken into lines.
    pub subtitles: SubtitleShape,
}

/// The units that `verbose_json` lists; by default segments alone.
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
    /// Maximum line length, in visible characters (Unicode scalar values); only a single word that
    /// is longer exceeds it. 42 is usual for television, half of it for languages
    /// with wide characters.
    pub max_line_width: Option<NonZeroUsize>,
    /// Maximum number of lines of a cue; 2 is usual. It has an effect only together with the width.
    pub max_line_count: Option<NonZeroUsize>,
}

impl ResponseFormat {
    /// Every format, in OpenAI's order.
    pub const ALL: [Self; 6] = [
        Self::Json,
        Self::Text,
        Self::Srt,
        Self::VerboseJson,
        Self::Vtt,
        Self::DiarizedJson,
    ];

    /// Its name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Srt => "srt",
            Self::VerboseJson => "verbose_json",
            Self::Vtt => "vtt",
            Self::DiarizedJson => "diarized_json",
        }
    }

    /// Finds a format by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The content type of a response in this format. OpenAI's SDK parses a response as an object
    /// only if this ends with `json`, and returns a string otherwise.
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
    /// Whether word times are needed: to list the words, or to break subtitles at the right time.
    /// Without them, the times of breaks are estimated.
    #[must_use]
    pub fn needs_words(&self) -> bool {
        match self.format {
            ResponseFormat::VerboseJson => self.granularities.words,
            ResponseFormat::Srt | ResponseFormat::Vtt => self.subtitles.max_line_width.is_some(),
            ResponseFormat::Json | ResponseFormat::Text | ResponseFormat::DiarizedJson => false,
        }
    }
}

/// Renders the whole response.
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
