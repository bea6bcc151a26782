//! The log on standard error: levels, targets and line format.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use super::targets::{OWN_TARGET, STAGE_TARGET};
use super::traces::Tracing;
use crate::config::{Log, LogFormat, LogLevel};

/// Starts logging to standard error and sending spans to a collector.
///
/// # Errors
///
/// Logging was started before.
pub fn init(log: &Log, tracing: &Tracing) -> Result<(), TryInitError> {
    let colours = io::stderr().is_terminal();
    let log_layer = log_layer(log, colours, io::stderr);
    let subscriber = tracing_subscriber::registry().with(log_layer);
    subscriber.with(tracing.layer()).try_init()
}

/// The layer that writes the log lines.
fn log_layer<W>(log: &Log, colours: bool, writer: W) -> impl Layer<Registry> + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(colours);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    layer.with_filter(targets(log.level))
}

/// The audio decoders' target: they log defects of callers' files, which the response reports.
const DECODER_TARGET: &str = "symphonia";

/// The hub client's target: it logs each failed request with a URL that may be signed; the failed
/// download is logged instead.
const HUB_TARGET: &str = "hf_hub";

/// This program's messages from `level` on, those of libraries from `warn` on: below `warn` they
/// log internals, some for each packet.
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

    /// The log of messages of all levels, written at this level and in this format.
    fn log_output(level: LogLevel, format: LogFormat) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let log = Log { level, format };
        let log_layer = log_layer(&log, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(log_layer);
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(target: "halkspeech::http", "request").entered();
            let _stage = crate::telemetry::traces::stage("decode").entered();
            tracing::debug!(target: "halkspeech_whisper_ct2", "our debug");
            tracing::info!(target: "halkspeech", { batch.size = 3 }, "our info");
            tracing::warn!(target: "halkspeech::worker", "our warn");
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
    fn messages_below_the_level_are_not_written() {
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
            let text = log_output(level, LogFormat::Text);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len(), expected.len(), "{level:?}: {text}");
            for (line, message) in lines.iter().zip(expected) {
                assert!(line.contains(message), "{level:?}: {line}");
            }
        }
    }

    #[test]
    fn json_is_one_object_per_line() {
        let text = log_output(LogLevel::Info, LogFormat::Json);
        let line = text.lines().next().unwrap();
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["message"], "our info");
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["target"], "halkspeech");
        assert_eq!(object["batch.size"], 3);
        assert_eq!(object["span"]["name"], "request");
    }
}
