//! The flags of `transcribe`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::CommonFlags;
use super::super::outputs::{self, ExistingFiles, RecordingOutputs};
use crate::format::{Granularities, OutputOptions, ResponseFormat, SubtitleShape};
use crate::transcribe::MAX_SEED;
use halkspeech_whisper::Language;

/// Flags of `transcribe`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every recording was transcribed, 1 one or more were not (each is \
                  named on standard error, the others are written), 2 the command line is invalid.\n\
                  The path of each file written is printed on standard output. Nothing is \
                  transcribed if an output file already exists or would be written twice."
)]
pub struct TranscribeFlags {
    /// Recordings, folders of recordings, or - for standard input
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
    /// Write into this folder instead of next to each recording
    #[arg(short, long, value_name = "FOLDER", conflicts_with = "stdout")]
    pub(super) output_dir: Option<PathBuf>,
    /// Print the transcripts instead of writing files
    #[arg(long)]
    pub(super) stdout: bool,
    /// Overwrite existing files
    #[arg(long, conflicts_with_all = ["skip_existing", "stdout"])]
    pub(super) force: bool,
    /// Skip existing files, to continue an interrupted run
    #[arg(long, conflicts_with = "stdout")]
    pub(super) skip_existing: bool,
    /// Run this model [default: base]
    #[arg(short, long)]
    pub(super) model: Option<String>,
    /// The language spoken, as a code or a name [default: detected]
    #[arg(short, long, value_parser = language)]
    pub(super) language: Option<Language>,
    /// Translate into English
    #[arg(long)]
    pub(super) translate: bool,
    /// Preceding text, or words to expect
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// Beam size of the search; 1 is fastest [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(super) beam_size: Option<u8>,
    /// Seed of the random numbers of sampled texts; ignored on a GPU by `make cuda`'s program [default: none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_SEED))]
    pub(super) seed: Option<u64>,
    /// Transcribe silence, noise and music as well, without voice activity detection
    #[arg(long)]
    pub(super) no_vad: bool,
    /// Write the time of every word into the JSON
    #[arg(long)]
    pub(super) words: bool,
    /// Tell the speakers apart by their voices; needs `scripts/fetch_models.sh speaker-diarization`
    #[arg(long)]
    pub(super) speakers: bool,
    /// Recordings in progress at one time [default: the batch size]
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
    /// The output files of each recording; none with `--stdout`.
    pub(super) fn plan(
        &self,
        recordings: Vec<PathBuf>,
    ) -> anyhow::Result<Vec<RecordingOutputs<Format>>> {
        if self.stdout {
            let without_files = |recording| RecordingOutputs {
                recording,
                outputs: Vec::new(),
            };
            return Ok(recordings.into_iter().map(without_files).collect());
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

    /// The formats without duplicates.
    pub(super) fn formats(&self) -> Vec<Format> {
        let mut distinct = Vec::new();
        for format in &self.format {
            if !distinct.contains(format) {
                distinct.push(*format);
            }
        }
        distinct
    }

    /// How existing files are handled.
    pub(super) fn existing(&self) -> ExistingFiles {
        if self.force {
            ExistingFiles::Overwrite
        } else if self.skip_existing {
            ExistingFiles::Skip
        } else {
            ExistingFiles::Refuse
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
