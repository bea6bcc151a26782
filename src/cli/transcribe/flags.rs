//! What `transcribe` takes, and which files that means.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::CommonFlags;
use super::super::outputs::{self, Existing, Work};
use crate::format::{Granularities, OutputOptions, ResponseFormat, SubtitleShape};
use crate::tokens::Language;

/// What `transcribe` takes.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every recording was written down, 1 one or more were not (each is \
                  named on standard error, the others are done), 2 the command is not understood.\n\
                  The path of each file written is printed on standard output. Nothing is \
                  transcribed where a file to write is there already, or would be written twice."
)]
pub struct TranscribeFlags {
    /// Recordings, folders whose recordings are meant, and - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) paths: Vec<PathBuf>,
    /// Write these formats, one file each
    #[arg(
        short,
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "txt",
        value_name = "FORMATS"
    )]
    pub(super) format: Vec<Format>,
    /// Write into this folder instead of beside each recording
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "stdout")]
    pub(super) output_dir: Option<PathBuf>,
    /// Print what was said instead of writing files
    #[arg(long)]
    pub(super) stdout: bool,
    /// Overwrite files that are there already
    #[arg(long, conflicts_with_all = ["skip_existing", "stdout"])]
    pub(super) force: bool,
    /// Leave out what is there already: go on with a folder that was begun
    #[arg(long, conflicts_with = "stdout")]
    pub(super) skip_existing: bool,
    /// Run this model [default: base]
    #[arg(short, long)]
    pub(super) model: Option<String>,
    /// The language spoken, as a code or a name [default: detected]
    #[arg(short, long, value_parser = language)]
    pub(super) language: Option<Language>,
    /// Write English, whatever is spoken
    #[arg(long)]
    pub(super) translate: bool,
    /// Text that comes before, or words to expect
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// Beams of the search; 1 is fastest [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(super) beam_size: Option<u8>,
    /// Give silence, noise and music to the model, too
    #[arg(long)]
    pub(super) no_vad: bool,
    /// Put the time of every word into the JSON
    #[arg(long)]
    pub(super) words: bool,
    /// Recordings worked on at one time [default: a batch]
    #[arg(short, long, value_name = "N")]
    pub(super) jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// Everything, as OpenAI's `verbose_json`
    Json,
}

impl TranscribeFlags {
    /// What is to be done, and the files it goes into; none where it is printed.
    pub(super) fn plan(&self, recordings: Vec<PathBuf>) -> anyhow::Result<Vec<Work<Format>>> {
        if self.stdout {
            let printed = |recording| Work {
                recording,
                outputs: Vec::new(),
            };
            return Ok(recordings.into_iter().map(printed).collect());
        }
        let formats = self.formats().into_iter();
        let formats: Vec<_> = formats.map(|format| (format, format.extension())).collect();
        outputs::plan(
            recordings,
            &formats,
            self.output_dir.as_deref(),
            self.existing(),
        )
    }

    /// Each format once.
    pub(super) fn formats(&self) -> Vec<Format> {
        let mut distinct = Vec::new();
        for format in &self.format {
            if !distinct.contains(format) {
                distinct.push(*format);
            }
        }
        distinct
    }

    /// What is done with files that are there already.
    pub(super) fn existing(&self) -> Existing {
        if self.force {
            Existing::Overwrite
        } else if self.skip_existing {
            Existing::Skip
        } else {
            Existing::Refuse
        }
    }
}

impl Format {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }

    pub(super) fn options(self, words: bool) -> OutputOptions {
        OutputOptions {
            format: match self {
                Self::Txt => ResponseFormat::Text,
                Self::Srt => ResponseFormat::Srt,
                Self::Vtt => ResponseFormat::Vtt,
                Self::Json => ResponseFormat::VerboseJson,
            },
            granularities: Granularities {
                segments: true,
                words,
            },
            logprobs: false,
            dropped: false,
            subtitles: SubtitleShape::default(),
        }
    }
}

fn language(text: &str) -> Result<Language, String> {
    let expected = || format!("{text:?} is no language Whisper knows; write tr or turkish");
    Language::parse(text).ok_or_else(expected)
}
