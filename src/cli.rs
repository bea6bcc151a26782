//! The command line.

pub mod bench;
pub mod listen;
pub mod doctor;
pub mod health;
pub mod models;
pub mod transcribe;
pub mod settings;
pub mod version;
pub mod escape;
mod progress_bar;
mod inputs;
mod outputs;
mod web_socket;
mod common_flags;
mod server_key;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::{ConfigError, Flags, LoadedSettings, Settings};
use crate::live::CommitRule;
use bench::BenchFlags;
pub use common_flags::CommonFlags;
use listen::ListenFlags;
use models::ModelsFlags;
use transcribe::TranscribeFlags;

/// The parsed command line.
#[derive(Clone, Debug)]
pub struct Cli {
    /// The sub-command, `serve` if none is given.
    pub command: Command,
}

/// The sub-commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the server; the default without a sub-command
    Serve(ServeFlags),
    /// Transcribe recordings without a server: a text, subtitles or JSON next to each file
    Transcribe(TranscribeFlags),
    /// Write what a microphone records, while it records: in this program, or with --url on a server
    Listen(Box<ListenFlags>),
    /// Show, download or remove the models on disk
    Models(ModelsFlags),
    /// Measure a running server under load: requests per second, latencies, word error rate; or live sessions
    Bench(Box<BenchFlags>),
    /// Check whether a running server is ready: exit code 0 if so, else 1
    Health(HealthFlags),
    /// Print every setting with its value and its source; exit code 1 if one is invalid
    Config(ServeFlags),
    /// Check the machine before serving: device, models, memory, port, ffmpeg, limits; exit code 1 if
    /// the server cannot run
    Doctor(ServeFlags),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Flags of `serve`; each overrides the environment and the file.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeFlags {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen on this address [default: 0.0.0.0]
    #[arg(long)]
    pub host: Option<String>,
    /// Listen on this TCP port [default: 8000]
    #[arg(long)]
    pub port: Option<String>,
    /// Serve this model by default [default: base]
    #[arg(long)]
    pub model: Option<String>,
    /// Keep models in this folder [default: ~/.cache/halkspeech/models]
    #[arg(long, value_name = "FOLDER")]
    pub models_dir: Option<String>,
    /// Log at this level: debug (or trace), info, warning (or warn), error or critical [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Commit the words of live sessions by this rule; for measurements of the rules, not for use
    #[arg(long, value_enum, hide = true)]
    live_commit_rule: Option<CommitRuleFlag>,
}

/// A rule by which words of live sessions are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CommitRuleFlag {
    Agreement,
    AttendedEnd,
    Either,
}

/// Flags of `health`.
#[derive(Clone, Debug, Default, Args)]
pub struct HealthFlags {
    /// Check this address [default: /ready at the host and port of the settings]
    #[arg(long)]
    pub url: Option<String>,
    /// Read the settings, for host and port, from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(
    name = "halkspeech",
    version,
    about,
    args_conflicts_with_subcommands = true,
    after_help = "Start here:\n  \
        halkspeech models pull base       download a model; large-v3-turbo suits a GPU\n  \
        halkspeech transcribe talk.mp3    write talk.txt\n  \
        halkspeech                        serve OpenAI's API at port 8000\n  \
        halkspeech doctor                 find out why one of them fails\n\n\
        Settings come from a file (--config), the environment (WHISPER__…) and flags."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeFlags,
}

/// Parses the command line; prints help, version or a usage error and exits if that was requested
/// or an argument is invalid. `commit` is the commit of the sources for `--version`; it may be absent
/// or empty.
pub fn parse(commit: Option<&str>) -> Cli {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // clap requires a text that lives as long as the process.
    let version = version::text(commit).leak();
    parse_arguments(&arguments, version).unwrap_or_else(|error| error.exit())
}

/// Parses a command line. An error quotes arguments, so it is created from arguments with escaped
/// control characters.
fn parse_arguments(arguments: &[OsString], version: &'static str) -> Result<Cli, clap::Error> {
    let escaped = || (arguments.iter()).map(|argument| escape::path(Path::new(argument)));
    try_parse(arguments, version)
        .map_err(|error| try_parse(escaped(), version).err().unwrap_or(error))
}

/// As `Arguments::try_parse_from`, with `version` as the text of `--version`.
fn try_parse<A>(
    arguments: impl IntoIterator<Item = A>,
    version: &'static str,
) -> Result<Cli, clap::Error>
where
    A: Into<OsString> + Clone,
{
    let mut command = Arguments::command().long_version(version);
    let matches = command.try_get_matches_from_mut(arguments)?;
    Arguments::from_arg_matches(&matches)
        .map(Cli::from)
        .map_err(|error| error.format(&mut command))
}

/// Prints the completion script for `shell`.
pub fn print_completions(shell: Shell) {
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "halkspeech", &mut std::io::stdout());
}

impl From<Arguments> for Cli {
    fn from(arguments: Arguments) -> Self {
        let Arguments { command, serve } = arguments;
        Self {
            command: command.unwrap_or(Command::Serve(serve)),
        }
    }
}

impl ServeFlags {
    /// When words of live sessions are committed.
    #[must_use]
    pub fn live_commit_rule(&self) -> CommitRule {
        match self.live_commit_rule {
            None => CommitRule::default(),
            Some(CommitRuleFlag::Agreement) => CommitRule::Agreement,
            Some(CommitRuleFlag::AttendedEnd) => CommitRule::AttendedEnd,
            Some(CommitRuleFlag::Either) => CommitRule::Either,
        }
    }

    /// Loads the settings from these flags, the environment and the file.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn load(mut self) -> Result<LoadedSettings, ConfigError> {
        let file = self.config.take();
        Settings::from_process(file, self.into())
    }
}

impl From<ServeFlags> for Flags {
    fn from(flags: ServeFlags) -> Self {
        Self {
            model: flags.model,
            host: flags.host,
            port: flags.port,
            models_dir: flags.models_dir,
            log_level: flags.log_level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Command {
        let all = std::iter::once(&"halkspeech").chain(arguments);
        Cli::from(Arguments::try_parse_from(all).unwrap()).command
    }

    #[test]
    fn the_command_definition_is_valid() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_rule_of_committed_words_is_a_hidden_flag() {
        let Command::Serve(flags) = parsed(&["--live-commit-rule", "attended-end"]) else {
            panic!("not serve");
        };
        assert_eq!(flags.live_commit_rule(), CommitRule::AttendedEnd);
        assert_eq!(
            ServeFlags::default().live_commit_rule(),
            CommitRule::Agreement
        );
        let help = Arguments::command().render_long_help().to_string();
        assert!(!help.contains("commit-rule"), "{help}");
    }

    #[test]
    fn no_sub_command_means_serve() {
        for arguments in [&["--port", "9000"][..], &["serve", "--port", "9000"]] {
            let Command::Serve(flags) = parsed(arguments) else {
                panic!("{arguments:?} is not serve");
            };
            assert_eq!(flags.port.as_deref(), Some("9000"));
            assert_eq!(flags.host, None);
        }
        assert!(matches!(parsed(&[]), Command::Serve(_)));
    }

    #[test]
    fn flags_reach_the_settings() {
        let arguments = "--model a --host b --port c --models-dir d --log-level e --config f";
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let Command::Serve(flags) = parsed(&arguments) else {
            panic!("not serve");
        };
        assert_eq!(flags.config, Some(PathBuf::from("f")));
        let text = |text: &str| Some(text.to_owned());
        let expected = Flags {
            model: text("a"),
            host: text("b"),
            port: text("c"),
            models_dir: text("d"),
            log_level: text("e"),
        };
        assert_eq!(Flags::from(flags), expected);
    }

    #[test]
    fn common_flags_are_accepted_before_and_after_the_action() {
        for arguments in [
            ["models", "--models-dir", "/m", "list"],
            ["models", "list", "--models-dir", "/m"],
        ] {
            let Command::Models(flags) = parsed(&arguments) else {
                panic!("{arguments:?} is not models");
            };
            assert_eq!(flags.common.models_dir.as_deref(), Some("/m"));
        }
    }

    #[test]
    fn a_usage_error_contains_no_escape_sequence_of_an_argument() {
        let arguments = ["halkspeech", "--\u{1b}[2J"].map(OsString::from);
        let error = parse_arguments(&arguments, "0").unwrap_err();
        let error = error.render().ansi().to_string();
        assert!(error.contains(r"--\u{1b}[2J"), "{error}");
    }

    #[test]
    fn the_long_version_begins_with_the_short_one() {
        let output_of = |flag: &str| {
            let arguments = ["halkspeech", flag].map(OsString::from);
            let version = version::text(Some("0123abc")).leak();
            parse_arguments(&arguments, version)
                .unwrap_err()
                .to_string()
        };
        let short = concat!("halkspeech ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(output_of("-V"), short);
        let long = output_of("--version");
        let rest = long.strip_prefix(short).unwrap();
        assert!(rest.starts_with("commit: 0123abc\n"), "{long}");
    }

    #[test]
    fn refuses_flags_of_serve_before_another_sub_command() {
        let arguments = ["halkspeech", "--port", "1", "health"];
        assert!(Arguments::try_parse_from(arguments).is_err());
    }

    #[test]
    fn completion_scripts_contain_the_sub_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "halkspeech", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in [
                "transcribe",
                "models",
                "pull",
                "bench",
                "config",
                "doctor",
                "concurrency",
                "health",
            ] {
                assert!(script.contains(word), "{shell} lacks {word}");
            }
        }
    }
}
