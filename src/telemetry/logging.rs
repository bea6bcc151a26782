//! The log: what is written to standard error, in which form.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use super::traces::{STAGE_TARGET, Tracing};
use crate::config::{Log, LogFormat, LogLevel};

/// The first part of the targets of our own messages.
pub(super) const OWN_TARGET: &str = "halkspeech";

/// Sends the messages of this process to standard error from now on, and its spans to a collector.
///
/// # Errors
///
/// The process has a log already.
pub fn init(log: &Log, tracing: &Tracing) -> Result<(), TryInitError> {
    let colours = io::stderr().is_terminal();
    let lines = lines(log, colours, io::stderr);
    let subscriber = tracing_subscriber::registry().with(lines);
    subscriber.with(tracing.layer()).try_init()
}

/// What writes the log down.
fn lines<W>(log: &Log, colours: bool, writer: W) -> impl Layer<Registry> + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    lines.with_filter(targets(log.level))
}

/// Reads callers' files, and logs what is wrong with them; the callers are told by our errors.
const DECODER_TARGET: &str = "symphonia";

/// Logs each request that fails, with an address that may be signed; we log the download instead.
const HUB_TARGET: &str = "hf_hub";

/// Our own messages from the level on, those of the libraries from `warn` on:
/// below it they describe their insides, some once for each packet.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Trace | LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(DECODER_TARGET, LevelFilter::OFF)
        .with_target(HUB_TARGET, LevelFilter::OFF)
        .with_target(STAGE_TARGET, LevelFilter::OFF)
        .with_target(OWN_TARGET, level)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written at this level and in this form.
    fn written(level: LogLevel, format: LogFormat) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let log = Log { level, format };
        let lines = lines(&log, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(target: "halkspeech::http", "request").entered();
            let _room = crate::telemetry::traces::stage("decode").entered();
            tracing::debug!(target: "halkspeech::batch", "our debug");
            tracing::info!(target: "halkspeech", { batch.size = 3 }, "our info");
            tracing::warn!(target: "halkspeech::engine", "our warn");
            tracing::error!(target: "halkspeech", "our error");
            tracing::info!(target: "hyper::proto", "their info");
            tracing::warn!(target: "hyper", "their warn");
            tracing::warn!(target: "symphonia_core::probe", "of a caller's file");
            tracing::error!(target: "tokenizers", "their error");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn levels_hide_what_is_below_them() {
        let warnings = ["our warn", "our error", "their warn", "their error"];
        for (level, expected) in [
            (
                LogLevel::Debug,
                [&["our debug", "our info"], &warnings[..]].concat(),
            ),
            (LogLevel::Info, [&["our info"], &warnings[..]].concat()),
            (LogLevel::Warning, warnings.to_vec()),
            (LogLevel::Error, vec!["our error", "their error"]),
            (LogLevel::Critical, vec!["our error", "their error"]),
        ] {
            let text = written(level, LogFormat::Text);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), expected.len(), "{level:?}: {text}");
            for (line, message) in lines.iter().zip(expected) {
                assert!(line.contains(message), "{level:?}: {line}");
            }
        }
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = written(LogLevel::Info, LogFormat::Json);
        let line = text.lines().next().unwrap();
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["message"], "our info");
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["target"], "halkspeech");
        assert_eq!(object["batch.size"], 3);
        assert_eq!(object["span"]["name"], "request");
    }
}
