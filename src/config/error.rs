//! Errors and warnings about the settings.

use std::fmt;
use std::path::PathBuf;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },

    /// The file named by `--config` is not TOML.
    #[error("the configuration file {} is not valid TOML: {message}", path.display())]
    ParseFile {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        message: String,
    },

    /// Unknown settings or invalid values.
    #[error("{}", Lines(.0))]
    Problems(Vec<SettingProblem>),

    /// The table of settings and their structs disagree, a programming error.
    #[error("the checked settings are inconsistent")]
    Mismatch(#[source] Box<figment::Error>),
}

/// A problem in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    /// The file has an unknown key.
    #[error("{name} in {} is no setting{}", file.display(), Suggestion(suggestion))]
    UnknownKey {
        /// The key, with its section.
        name: String,
        /// The file.
        file: PathBuf,
        /// A setting with a similar name.
        suggestion: Option<String>,
    },

    /// A value is out of range or of the wrong kind.
    #[error("{name} is {value}, expected {expected}")]
    InvalidValue {
        /// The setting, as the user wrote it.
        name: String,
        /// The value, as the user wrote it; `***` for a secret.
        value: String,
        /// What is allowed.
        expected: String,
    },

    /// A path starts with `~`, but the home folder is unknown.
    #[error("{name} is {value}, but no home folder is known: set HOME, or write the whole path")]
    NoHome {
        /// The setting, as the user wrote it.
        name: String,
        /// The path.
        value: String,
    },
}

/// A probable mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingWarning {
    /// An environment variable looks like a setting but is none.
    #[error(
        "{name} in the environment is no setting and has no effect{}",
        Suggestion(suggestion)
    )]
    UnknownName {
        /// The variable.
        name: String,
        /// A setting with a similar name.
        suggestion: Option<String>,
    },

    /// The environment has two names of one setting, with different values.
    #[error("{ignored} in the environment is ignored: {used} sets the same and takes precedence")]
    Shadowed {
        /// The variable without effect.
        ignored: String,
        /// The variable that takes effect.
        used: String,
    },

    /// The queue is too short for one full batch.
    #[error("{queue} is {queue_size}, below {batch} {batch_size}: no batch will ever be full")]
    QueueBelowBatch {
        /// The setting that limits the queue, of all models or of one.
        queue: String,
        /// Its value.
        queue_size: usize,
        /// The setting that limits the batch, of all models or of one.
        batch: String,
        /// Its value.
        batch_size: usize,
    },
}

struct Lines<'a>(&'a [SettingProblem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

struct Suggestion<'a>(&'a Option<String>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}
