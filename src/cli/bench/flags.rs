//! The flags of `bench`.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::error::{Error, ErrorKind};
use reqwest::Url;

use super::arrivals::Arrivals;
use super::clips::ClipSelection;
use super::live::LiveFlags;
use super::load::{LoadPattern, RunLength};
use super::target;

/// Default number of callers.
const DEFAULT_CALLERS: NonZeroU16 = NonZeroU16::new(16).expect("it is not zero");
/// Default requests of each caller in a run.
const DEFAULT_REQUESTS_PER_CALLER: u64 = 4;
/// Default minimum of the requests in a run.
const DEFAULT_REQUESTS: u64 = 100;

/// Default maximum of the warm-up requests before a run.
const DEFAULT_WARMUP: u64 = 16;

/// Flags of `bench`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Without --rate it is a closed loop: each caller sends its next request after the \
                  response to its last one.\n\
                  With --rate it is an open loop: requests are sent at their due times, independent \
                  of responses, and their latency counts from then.\n\
                  Recordings are sent in turn. Responses with status 429 are counted, not retried; \
                  their caller waits for the server's Retry-After.\n\n\
                  Exit codes: 0 every request was answered with status 200, 1 one or more were not, \
                  or nothing could be sent, 2 the command line is invalid."
)]
pub struct BenchFlags {
    /// Recordings to send, or folders of recordings
    #[arg(value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Send what this file lists instead: JSON lines with `file`, `language`, `text`,
    /// `duration_s` and `kind`
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    pub manifest: Option<PathBuf>,
    #[command(flatten)]
    pub(super) selection: ClipSelection,
    /// A server, or the full URL of its transcriptions endpoint
    #[arg(long, default_value = "http://127.0.0.1:8000", value_parser = target::parse)]
    pub url: Url,
    /// Send load to a server on another machine, with its owner's consent
    #[arg(long)]
    pub allow_remote: bool,
    /// Request this model
    #[arg(long, default_value = "whisper-1")]
    pub model: String,
    /// Concurrent callers; a list makes one run for each [default: 16]
    #[arg(short, long, value_delimiter = ',', value_name = "N")]
    pub concurrency: Vec<NonZeroU16>,
    /// Send this number of requests per second instead; a list makes one run for each
    #[arg(short, long, value_delimiter = ',', value_name = "R", value_parser = rate, conflicts_with = "concurrency")]
    pub rate: Vec<f64>,
    /// How the requests of --rate are distributed over time
    #[arg(long, value_enum, default_value = "even", requires = "rate")]
    pub arrivals: Arrivals,
    /// Most requests of --rate in flight at one time; the next one waits
    #[arg(long, default_value = "512", value_name = "N", requires = "rate")]
    pub in_flight: NonZeroU16,
    /// Requests of each run [default: 4 for each caller, at least 100]; with --live sessions [default: each
    /// recording once in each pass, and at least one session for each place]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration")]
    pub requests: Option<NonZeroU32>,
    /// Send for this number of seconds instead, then wait for the requests in flight
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Warm-up requests before each run, not counted [default: one for each caller, at most 16]
    #[arg(long, value_name = "N")]
    pub warmup: Option<u32>,
    /// Send each clip's language from the manifest
    #[arg(long, conflicts_with = "paths")]
    pub send_language: bool,
    /// Send this additional form field; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = field)]
    pub form: Vec<(String, String)>,
    /// Send the key in this file [default: `API_KEY` of the settings, to this machine only]
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Read the settings, for the key, from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write the results as JSON into this file; - prints it instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Timeout of a request after its due time, in seconds; with --live of the texts after the audio
    #[arg(long, default_value = "300", value_name = "S", value_parser = seconds)]
    pub timeout_s: Duration,
    #[command(flatten)]
    pub(super) live: LiveFlags,
}

impl BenchFlags {
    /// Refuses flags that cannot work, and accidental load on another machine.
    ///
    /// # Errors
    ///
    /// There is nothing to send, the server is on another machine and `--allow-remote` is not set, or flags of live
    /// sessions do not go together.
    pub fn check(&self) -> Result<(), Error> {
        if self.paths.is_empty() && self.manifest.is_none() {
            let message = "there is nothing to send: name recordings or folders of them, or a list \
                           with --manifest FILE\n";
            return Err(Error::raw(ErrorKind::MissingRequiredArgument, message));
        }
        self.live.check()?;
        if self.allow_remote || target::is_loopback(&self.url) {
            return Ok(());
        }
        let host = self.url.host_str().unwrap_or_default();
        let message = format!(
            "{host} is not this machine: --allow-remote sends load to it anyway, with its owner's \
             consent\n"
        );
        Err(Error::raw(ErrorKind::ValueValidation, message))
    }

    /// The load pattern of each run.
    pub fn load_patterns(&self) -> Vec<LoadPattern> {
        let closed = |callers: &NonZeroU16| LoadPattern::Closed {
            callers: callers.get().into(),
        };
        let open = |&rate: &f64| LoadPattern::Open {
            rate,
            arrivals: self.arrivals,
            in_flight: self.in_flight.get().into(),
        };
        if self.rate.is_empty() {
            self.concurrency(DEFAULT_CALLERS)
                .iter()
                .map(closed)
                .collect()
        } else {
            self.rate.iter().map(open).collect()
        }
    }

    /// The number of live sessions at one time in each run.
    pub fn sessions(&self) -> Vec<usize> {
        let sessions = self.concurrency(NonZeroU16::MIN);
        sessions
            .iter()
            .map(|sessions| sessions.get().into())
            .collect()
    }

    /// The length of a run of `sessions` live sessions at one time over `clips` recordings.
    pub fn live_length(&self, clips: usize, sessions: usize) -> RunLength {
        if let Some(duration) = self.duration {
            return RunLength::Elapsed(duration);
        }
        let default = clips * usize::from(self.live.passes.get());
        let requests = self.requests.map(|requests| requests.get().into());
        RunLength::Requests(requests.unwrap_or(default.max(sessions) as u64))
    }

    fn concurrency(&self, default: NonZeroU16) -> Vec<NonZeroU16> {
        if self.concurrency.is_empty() {
            vec![default]
        } else {
            self.concurrency.clone()
        }
    }

    /// The length of a run with this load pattern.
    pub fn run_length(&self, pattern: LoadPattern) -> RunLength {
        if let Some(duration) = self.duration {
            return RunLength::Elapsed(duration);
        }
        let default = || match pattern {
            LoadPattern::Closed { callers } => {
                (DEFAULT_REQUESTS_PER_CALLER * callers as u64).max(DEFAULT_REQUESTS)
            }
            LoadPattern::Open { .. } => DEFAULT_REQUESTS,
        };
        let requests = self.requests.map(|requests| requests.get().into());
        RunLength::Requests(requests.unwrap_or_else(default))
    }

    /// The warm-up before a run with this load pattern: its pattern and its number of requests.
    pub fn warmup(&self, pattern: LoadPattern) -> (LoadPattern, u64) {
        let callers = match pattern {
            LoadPattern::Closed { callers } => callers,
            LoadPattern::Open { .. } => 1,
        };
        let default = (callers as u64).min(DEFAULT_WARMUP);
        let requests = self.warmup.map_or(default, u64::from);
        (LoadPattern::Closed { callers }, requests)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("write requests a second, from 0.001 to 100000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=1e6).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds, from 0.001 to 1000000".to_owned()),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example response_format=verbose_json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parsed(line: &str) -> Result<BenchFlags, Error> {
        let command = BenchFlags::augment_args(Command::new("bench"));
        let arguments = std::iter::once("bench").chain(line.split_whitespace());
        BenchFlags::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn an_error_names_the_flags_if_there_is_nothing_to_send() {
        let error = parsed("--concurrency 4").unwrap().check().unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--manifest FILE"), "{error}");
        parsed("--manifest m.jsonl").unwrap().check().unwrap();
    }

    #[test]
    fn refuses_conflicting_and_invalid_flags() {
        for line in [
            "a.wav --manifest m.jsonl",
            "a.wav --rate 1 --concurrency 4",
            "a.wav --requests 1 --duration 1",
            "a.wav --kind short",
            "a.wav --min-s 1",
            "a.wav --send-language",
            "a.wav --arrivals poisson",
            "a.wav --in-flight 4",
            "a.wav --concurrency 0",
            "a.wav --concurrency 1,,2",
            "a.wav --rate 0",
            "a.wav --rate nan",
            "a.wav --requests 0",
            "a.wav --duration -1",
            "a.wav --form =x",
            "a.wav --url box",
        ] {
            assert_eq!(
                parsed(line).map_err(|error| error.exit_code()).err(),
                Some(2),
                "{line}"
            );
        }
    }

    #[test]
    fn sends_load_to_another_machine_only_if_allowed() {
        let check = |line: &str| parsed(line).unwrap().check();
        check("a.wav").unwrap();
        check("a.wav --url http://[::1]:9/v1").unwrap();
        check("a.wav --url https://example.com --allow-remote").unwrap();
        let error = check("a.wav --url https://example.com").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = error.to_string();
        for expected in ["example.com is not this machine", "--allow-remote"] {
            assert!(error.contains(expected), "no {expected:?} in {error}");
        }
    }

    #[test]
    fn a_list_makes_one_run_for_each() {
        let closed = |callers| LoadPattern::Closed { callers };
        let open = |rate| LoadPattern::Open {
            rate,
            arrivals: Arrivals::Poisson,
            in_flight: 512,
        };
        for (line, expected) in [
            ("a.wav", vec![closed(16)]),
            ("a.wav -c 1,4,64", vec![closed(1), closed(4), closed(64)]),
            (
                "a.wav -r 0.5,8 --arrivals poisson",
                vec![open(0.5), open(8.0)],
            ),
        ] {
            assert_eq!(parsed(line).unwrap().load_patterns(), expected, "{line}");
        }
    }

    #[test]
    fn every_recording_is_played_in_each_pass_and_every_session_plays_one() {
        let second = RunLength::Elapsed(Duration::from_secs(1));
        for (line, sessions, length) in [
            ("a.wav --live", 1, RunLength::Requests(3)),
            ("a.wav --live --passes 2", 1, RunLength::Requests(6)),
            ("a.wav --live -c 8", 8, RunLength::Requests(8)),
            ("a.wav --live -c 8 -n 5", 8, RunLength::Requests(5)),
            ("a.wav --live -d 1", 1, second),
        ] {
            let flags = parsed(line).unwrap();
            assert_eq!(flags.sessions(), [sessions], "{line}");
            assert_eq!(flags.live_length(3, sessions), length, "{line}");
        }
        for line in [
            "a.wav --live --rate 1",
            "a.wav --delay low",
            "a.wav --live -f a=b",
        ] {
            assert_eq!(
                parsed(line).map_err(|error| error.exit_code()).err(),
                Some(2),
                "{line}"
            );
        }
    }

    #[test]
    fn a_run_is_long_enough_for_its_callers() {
        let few = LoadPattern::Closed { callers: 2 };
        let many = LoadPattern::Closed { callers: 64 };
        let second = RunLength::Elapsed(Duration::from_secs(1));
        for (line, pattern, run_length, warmup) in [
            ("a.wav", few, RunLength::Requests(100), 2),
            ("a.wav", many, RunLength::Requests(256), 16),
            ("a.wav -n 7 --warmup 0", many, RunLength::Requests(7), 0),
            ("a.wav -d 1 --warmup 40", many, second, 40),
        ] {
            let flags = parsed(line).unwrap();
            assert_eq!(flags.run_length(pattern), run_length, "{line}");
            assert_eq!(flags.warmup(pattern), (pattern, warmup), "{line}");
        }
    }
}
