//! Why the settings stop the start, and what they only warn about.

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
        /// What the system said.
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

    /// Settings that do not exist, or have values that are not allowed.
    #[error("{}", Lines(.0))]
    Problems(Vec<SettingProblem>),

    /// The table of settings and their structs disagree, which is a fault of
    /// the program.
    #[error("the checked settings do not fit together")]
    Mismatch(#[source] Box<figment::Error>),
}

/// One thing wrong in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingProblem {
    /// The file has a key that no setting has.
    #[error("{name} in {} is no setting{}", file.display(), Suggestion(suggestion))]
    UnknownKey {
        /// The key, with its section.
        name: String,
        /// The file.
        file: PathBuf,
        /// A setting with a name like it.
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

    /// A path starts with `~` and nobody knows where that is.
    #[error("{name} is {value}, but no home folder is known: set HOME, or write the whole path")]
    NoHome {
        /// The setting, as the user wrote it.
        name: String,
        /// The path.
        value: String,
    },
}

/// Something in the settings that is probably not what was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingWarning {
    /// An environment variable looks like a setting and is none.
    #[error(
        "{name} in the environment is no setting and has no effect{}",
        Suggestion(suggestion)
    )]
    UnknownName {
        /// The variable.
        name: String,
        /// A setting with a name like it.
        suggestion: Option<String>,
    },

    /// Two names of one setting are in the environment, with two values.
    #[error("{ignored} in the environment is ignored: {used} sets the same and goes before it")]
    Shadowed {
        /// The variable without effect.
        ignored: String,
        /// The variable that counts.
        used: String,
    },

    /// The queue is too short for one full batch.
    #[error("{queue} is {queue_size}, below {batch} {batch_size}: no batch will ever be full")]
    QueueBelowBatch {
        /// The setting that bounds the queue: of all models, or of one.
        queue: String,
        /// Its value.
        queue_size: usize,
        /// The setting that bounds the batch: of all models, or of one.
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
