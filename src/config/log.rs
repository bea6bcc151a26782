//! The `[log]` settings: level and format of the log.

use serde::{Deserialize, Serialize};

/// The log on standard error. Environment: `LOG_…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is logged.
    ///
    /// Default `info`; environment `LOG__LEVEL` or `LOG_LEVEL`,
    /// case-insensitive, flag `--log-level`. `debug` adds a line per request;
    /// `trace` is the same as `debug`, and `warn` as `warning`.
    pub level: LogLevel,

    /// The format of a line.
    ///
    /// Default `text`; environment `LOG__FORMAT` or `LOG_FORMAT`. Choose
    /// `json` if a log collector reads it.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Text,
        }
    }
}

/// The level of a message, named as in Python's `logging`; `warn` and `trace` are also accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The same as `debug`; the name of the lowest level in Rust programs.
    Trace,
    /// Events of each request.
    Debug,
    /// The server's lifecycle.
    Info,
    /// Problems that an operator should check.
    #[serde(alias = "warn")]
    Warning,
    /// Failures.
    Error,
    /// The same as `error`, for compatibility with existing configurations.
    Critical,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human-readable.
    Text,
    /// One JSON object per line.
    Json,
}
