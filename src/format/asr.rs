//! The response formats of whisper-asr-webservice and of whisper.cpp's server.

use serde::Serialize;
use utoipa::ToSchema;

use super::numbers::{finite, milliseconds};
use super::text_units::collapse;
use super::verbose::{self, Segment};
use super::{Granularities, OutputOptions, ResponseFormat, json, subtitles, text};
use crate::transcript::Transcript;
use halkspeech_whisper::Language;

/// An output format of `/asr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsrOutput {
    /// The bare text.
    #[default]
    Txt,
    /// `WebVTT` subtitles.
    Vtt,
    /// `SubRip` subtitles.
    Srt,
    /// A table of times and texts separated by tabs.
    Tsv,
    /// The text with its segments.
    Json,
}

/// The text with its segments, as in faster-whisper.
#[derive(Serialize, ToSchema)]
pub struct AsrTranscript<'a> {
    /// The code of the language spoken; null if there was no speech.
    #[schema(required)]
    language: Option<&'static str>,
    /// Its segments.
    segments: Vec<Segment<'a>>,
    /// The text.
    text: &'a str,
}

/// The language of a recording.
#[derive(Serialize, ToSchema)]
pub struct DetectedLanguage {
    /// Its English name in lower case.
    detected_language: &'static str,
    /// Its code.
    language_code: &'static str,
    /// Its probability, from 0 to 1.
    confidence: f32,
}

/// The text alone.
#[derive(Serialize, ToSchema)]
pub struct BareText<'a> {
    /// The text.
    text: &'a str,
}

impl AsrOutput {
    /// Every format, in the order of the API.
    pub const ALL: [Self; 5] = [Self::Txt, Self::Vtt, Self::Srt, Self::Tsv, Self::Json];

    /// Its name in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Vtt => "vtt",
            Self::Srt => "srt",
            Self::Tsv => "tsv",
            Self::Json => "json",
        }
    }

    /// Finds a format by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|output| output.name() == name)
    }

    /// The response format that uses the same parts of a transcript.
    #[must_use]
    pub fn format(self) -> ResponseFormat {
        match self {
            Self::Txt => ResponseFormat::Text,
            Self::Vtt => ResponseFormat::Vtt,
            Self::Srt | Self::Tsv => ResponseFormat::Srt,
            Self::Json => ResponseFormat::VerboseJson,
        }
    }

    /// The content type of a response: plain text, as in the original API, except for JSON.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Txt | Self::Vtt | Self::Srt | Self::Tsv => "text/plain; charset=utf-8",
        }
    }
}

/// The response of `/asr`.
#[must_use]
pub fn asr(transcript: &Transcript, output: AsrOutput, options: &OutputOptions) -> String {
    match output {
        AsrOutput::Txt => text::render(transcript),
        AsrOutput::Vtt => subtitles::vtt(transcript, options.subtitles),
        AsrOutput::Srt => subtitles::srt(transcript, options.subtitles),
        AsrOutput::Tsv => tsv(transcript),
        AsrOutput::Json => {
            let Granularities { words, .. } = options.granularities;
            json::write(&AsrTranscript {
                language: transcript.language.map(Language::code),
                segments: verbose::segments(transcript, words),
                text: &transcript.text,
            })
        }
    }
}

/// The response of `/detect-language`; a recording without speech has an undetermined language with
/// probability 0.
#[must_use]
pub fn language(transcript: &Transcript) -> String {
    let language = transcript.language;
    json::write(&DetectedLanguage {
        detected_language: language.map_or(verbose::UNKNOWN_LANGUAGE, Language::name),
        language_code: language.map_or("und", Language::code),
        confidence: match language {
            // A monolingual model detects no language; its only one is certain.
            Some(_) => finite(transcript.language_probability.unwrap_or(1.0)),
            None => 0.0,
        },
    })
}

/// The `json` response of `/inference`.
#[must_use]
pub fn bare_text(transcript: &Transcript) -> String {
    json::write(&BareText {
        text: &transcript.text,
    })
}

/// A header line, then a line per segment with times in whole milliseconds.
fn tsv(transcript: &Transcript) -> String {
    let mut table = "start\tend\ttext\n".to_owned();
    for segment in &transcript.segments {
        let (start, end) = (milliseconds(segment.start_s), milliseconds(segment.end_s));
        let text = collapse(&segment.text);
        table.push_str(&format!("{start}\t{end}\t{text}\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{segment, transcript, two_sentences, with_words};

    #[test]
    fn formats_are_found_by_their_names() {
        let formats = AsrOutput::ALL.map(|output| {
            (
                output.name(),
                AsrOutput::parse(output.name()).unwrap().format(),
            )
        });
        let expected = [
            ("txt", ResponseFormat::Text),
            ("vtt", ResponseFormat::Vtt),
            ("srt", ResponseFormat::Srt),
            ("tsv", ResponseFormat::Srt),
            ("json", ResponseFormat::VerboseJson),
        ];
        assert_eq!(formats, expected);
        assert_eq!(AsrOutput::parse("docx"), None);
    }

    #[test]
    fn a_table_has_a_line_per_segment() {
        let lines = asr(&two_sentences(), AsrOutput::Tsv, &OutputOptions::default());
        let expected = "start\tend\ttext\n0\t1400\tThe beach is long.\n1500\t2500\tIt ends here.\n";
        assert_eq!(lines, expected);
        let nasty = transcript(vec![segment(0.0, 1.0, " a\tb\nc ")]);
        let lines = asr(&nasty, AsrOutput::Tsv, &OutputOptions::default());
        assert_eq!(lines, "start\tend\ttext\n0\t1000\ta b c\n");
    }

    #[test]
    fn segments_have_words_if_requested() {
        let options = |words| OutputOptions {
            granularities: Granularities {
                segments: true,
                words,
            },
            ..OutputOptions::default()
        };
        let with = asr(&with_words(), AsrOutput::Json, &options(true));
        let without = asr(&with_words(), AsrOutput::Json, &options(false));
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(&with)["language"], "en");
        assert_eq!(read(&with)["segments"][0]["words"][0]["word"], "The");
        assert!(read(&without)["segments"][0].get("words").is_none());
    }

    #[test]
    fn a_language_is_reported_with_its_probability() {
        let of = |language, language_probability| {
            let transcript = Transcript {
                language,
                language_probability,
                ..transcript(vec![])
            };
            super::language(&transcript)
        };
        let turkish = Language::parse("tr");
        assert_eq!(
            of(turkish, Some(0.5)),
            r#"{"detected_language":"turkish","language_code":"tr","confidence":0.5}"#
        );
        assert_eq!(
            of(Some(Language::ENGLISH), None),
            r#"{"detected_language":"english","language_code":"en","confidence":1.0}"#
        );
        assert_eq!(
            of(None, None),
            r#"{"detected_language":"unknown","language_code":"und","confidence":0.0}"#
        );
    }
}
