//! The `[log]` settings: how much is logged, in which form.

use serde::{Deserialize, Serialize};

/// What goes to standard error. Environment: `LOG_…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least important message written.
    ///
    /// Default `info`; environment `LOG__LEVEL` or `LOG_LEVEL`, in either
    /// case, flag `--log-level`. `debug` adds a line a request; `trace` is the
    /// same, and `warn` is `warning`.
    pub level: LogLevel,

    /// The form of a line.
    ///
    /// Default `text`; environment `LOG__FORMAT` or `LOG_FORMAT`. `json`
    /// where a collector reads it.
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

/// How important a message is, in the names of Python's `logging`; `warn` and `trace` are taken too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The same as `debug`; the name that Rust's programs have for everything.
    Trace,
    /// What happens to each request.
    Debug,
    /// The server's lifecycle.
    Info,
    /// What an operator should look at.
    #[serde(alias = "warn")]
    Warning,
    /// What failed.
    Error,
    /// Kept for the users who set it; the same as `error`.
    Critical,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
