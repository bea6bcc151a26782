//! The flags of `bench` for live sessions.

use std::num::NonZeroU16;
use std::time::Duration;

use clap::error::{Error, ErrorKind};
use clap::{Args, ValueEnum};

use super::protocol::{DelayFlag, SessionSetup, TurnDetectionFlag};
use crate::cli::web_socket::Route;

/// Flags of `bench` for live sessions.
#[derive(Clone, Debug, Args)]
pub struct LiveFlags {
    /// Play the recordings in real time into live sessions instead, and measure when their words come.
    ///
    /// --concurrency is the number of sessions at one time [default: 1]. Each recording is uploaded once before, for
    /// its words and their times.
    #[arg(long, conflicts_with_all = ["rate", "form", "warmup"])]
    pub live: bool,
    /// The socket of the live sessions
    #[arg(long, value_enum, default_value = "realtime", requires = "live")]
    socket: SocketFlag,
    /// How early the server commits words [default: the server's]
    #[arg(long, value_enum, requires = "live")]
    delay: Option<DelayFlag>,
    /// How turns end
    #[arg(long, value_enum, default_value = "silence", requires = "live")]
    turn_detection: TurnDetectionFlag,
    /// The silence that ends a turn on the realtime socket, in milliseconds
    #[arg(long, default_value = "500", value_name = "MS", requires = "live")]
    silence_ms: u16,
    /// Send frames of this length, in milliseconds
    #[arg(long, default_value = "100", value_name = "MS", requires = "live", value_parser = clap::value_parser!(u16).range(10..=10_000))]
    frame_ms: u16,
    /// Play every recording this number of times, each time after a longer silence
    #[arg(long, default_value = "1", value_name = "N", requires = "live")]
    pub passes: NonZeroU16,
    /// Spread the starts of the first sessions over this number of seconds
    #[arg(long, default_value = "5", value_name = "S", requires = "live", value_parser = clap::value_parser!(u16).range(0..=3_600))]
    spread_s: u16,
    /// Upload the recordings with this number of callers meanwhile, and for 30 s before, to compare their speed
    #[arg(long, value_name = "N", requires = "live")]
    uploads: Option<NonZeroU16>,
}

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SocketFlag {
    /// OpenAI's realtime socket
    Realtime,
    /// The simple stream
    Stream,
}

impl LiveFlags {
    /// Refuses combinations that a socket does not know.
    ///
    /// # Errors
    /// The simple stream has no such option.
    pub fn check(&self) -> Result<(), Error> {
        let message = match (self.socket, self.delay, self.turn_detection) {
            (SocketFlag::Stream, Some(DelayFlag::XHigh), _) => "--delay xhigh",
            (SocketFlag::Stream, _, TurnDetectionFlag::Semantic) => "--turn-detection semantic",
            _ => return Ok(()),
        };
        let message = format!("the simple stream has no {message}: use --socket realtime\n");
        Err(Error::raw(ErrorKind::ArgumentConflict, message))
    }

    /// The options of every session.
    pub fn setup(&self, model: &str) -> SessionSetup {
        SessionSetup {
            route: match self.socket {
                SocketFlag::Realtime => Route::Realtime,
                SocketFlag::Stream => Route::Stream,
            },
            model: model.to_owned(),
            delay: self.delay,
            turn_detection: self.turn_detection,
            silence_ms: self.silence_ms.into(),
        }
    }

    /// Callers that upload meanwhile.
    pub fn uploads(&self) -> Option<usize> {
        self.uploads.map(|callers| callers.get().into())
    }

    /// Length of a frame.
    pub fn frame(&self) -> Duration {
        Duration::from_millis(self.frame_ms.into())
    }

    /// The start of one of the first `sessions` sessions.
    pub fn start_of(&self, session: usize, sessions: usize) -> Duration {
        Duration::from_secs(self.spread_s.into()) * session as u32 / sessions.max(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;
    use clap::FromArgMatches;

    use super::*;

    fn parsed(line: &str) -> Result<LiveFlags, Error> {
        let command = LiveFlags::augment_args(Command::new("bench"));
        // Flags of `bench` that conflict.
        let command = ["rate", "form", "warmup"]
            .into_iter()
            .fold(command, |command, name| {
                command.arg(clap::Arg::new(name).long(name))
            });
        let arguments = std::iter::once("bench").chain(line.split_whitespace());
        LiveFlags::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn the_flags_need_live() {
        parsed("").unwrap();
        for line in [
            "--delay low",
            "--socket stream",
            "--live --rate 1",
            "--live --delay lower",
            "--live --frame-ms 1",
            "--live --passes 0",
            "--uploads 8",
            "--live --uploads 0",
        ] {
            assert_eq!(
                parsed(line).map_err(|error| error.exit_code()).err(),
                Some(2),
                "{line}"
            );
        }
    }

    #[test]
    fn refuses_what_the_simple_stream_does_not_have() {
        parsed("--live --delay xhigh --turn-detection semantic")
            .unwrap()
            .check()
            .unwrap();
        parsed("--live --socket stream --delay high")
            .unwrap()
            .check()
            .unwrap();
        for line in ["--delay xhigh", "--turn-detection semantic"] {
            let flags = parsed(&format!("--live --socket stream {line}")).unwrap();
            assert!(flags.check().unwrap_err().to_string().contains(line));
        }
    }

    #[test]
    fn starts_are_spread() {
        let flags = parsed("--live --spread-s 4").unwrap();
        let starts: Vec<_> = (0..4)
            .map(|session| flags.start_of(session, 4).as_secs())
            .collect();
        assert_eq!(starts, [0, 1, 2, 3]);
    }
}
