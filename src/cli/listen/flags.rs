//! The flags of `listen`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use halkspeech_whisper::Language;
use reqwest::Url;

use super::microphone::RecorderFlag;
use crate::cli::bench::target;
use crate::cli::common_flags::CommonFlags;

/// Flags of `listen`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "On a terminal the words that are certain stay, and those that may still change follow them in \
                  grey. Otherwise a line is written when a turn is complete.\n\n\
                  Exit codes: 0 the audio ended, or Ctrl-C ended it, 1 it could not be recorded or transcribed, \
                  2 the command line is invalid."
)]
pub struct ListenFlags {
    /// Use this server instead of a model in this program
    #[arg(long, value_parser = target::parse)]
    pub(super) url: Option<Url>,
    /// Record with this program [default: standard input if it is not a terminal, else the first one that is
    /// installed]
    #[arg(long, value_enum)]
    pub(super) recorder: Option<RecorderFlag>,
    /// Record this device, as the program names it
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    /// Sample rate of the samples on standard input: 16 bits, signed, little endian, one channel
    #[arg(long = "rate", default_value = "16000", value_name = "HZ", value_parser = clap::value_parser!(u32).range(4_000..=384_000))]
    pub(super) rate_hz: u32,
    /// Run this model [default: base]
    #[arg(short, long)]
    pub(super) model: Option<String>,
    /// The language spoken, as a code or a name [default: detected]
    #[arg(short, long, value_parser = language)]
    pub(super) language: Option<Language>,
    /// Preceding text, or words to expect
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// How often the text of a turn is computed
    #[arg(long, value_enum, default_value = "low")]
    pub(super) delay: ListenDelay,
    /// Send the key in this file to the server [default: `API_KEY` of the settings, to this machine only]
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(super) api_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: CommonFlags,
}

/// How often the text of a turn is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListenDelay {
    /// Every 0.3 s
    Minimal,
    /// Every 0.6 s
    Low,
    /// Every second
    Medium,
    /// Every 2 s
    High,
}

fn language(text: &str) -> Result<Language, String> {
    let expected = || format!("{text:?} is no language Whisper knows; write tr or turkish");
    Language::parse(text).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parsed(line: &str) -> Result<ListenFlags, clap::Error> {
        let command = ListenFlags::augment_args(Command::new("listen"));
        let arguments = std::iter::once("listen").chain(line.split_whitespace());
        ListenFlags::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn refuses_what_cannot_be_recorded_or_sent() {
        let flags = parsed("--url http://box:8000 -l tr --delay high --recorder arecord").unwrap();
        assert_eq!(flags.language.map(Language::code), Some("tr"));
        assert_eq!(flags.delay, ListenDelay::High);
        for line in [
            "--url box",
            "--rate 100",
            "--delay xhigh",
            "-l klingon",
            "--api-key-file k",
            "talk.wav",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
