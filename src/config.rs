//! The settings: defaults < file < environment < flags, merged, then checked.
//!
//! Every source hands over entries (`entry`), which name a setting from one
//! table (`keys`). The last entry for a setting wins; the winners are checked
//! against what the table allows (`kind`), and an error names the setting as
//! its user wrote it. Nothing else in the program reads the environment.

mod whisper;
mod server;
mod audio;
mod models;
mod log;
mod secret;

mod keys;
mod kind;
mod entry;
mod environment;
mod file;
mod report;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::Value;
use serde::{Deserialize, Serialize};

pub use audio::Audio;
pub use entry::Origin;
pub use error::{ConfigError, Problem, Warning};
pub use log::{Log, LogFormat, LogLevel};
pub use models::Models;
pub use report::{Report, Row};
pub use secret::Secret;
pub use server::Server;
pub use whisper::{ComputeType, DeviceChoice, ModelTtl, Whisper};

use entry::Entry;
use environment::Environment;
use keys::{KEYS, Key};
use kind::Kind;

/// Every setting of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The model and its batches.
    pub whisper: Whisper,
    /// The HTTP side.
    pub server: Server,
    /// From upload to samples.
    pub audio: Audio,
    /// Where models lie and come from.
    pub models: Models,
    /// What is logged.
    pub log: Log,
}

/// What settings are read from, beside their defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources<E> {
    /// The TOML file, if one is named; it must exist.
    pub file: Option<PathBuf>,
    /// The environment variables, as names and values.
    pub env: E,
    /// The command line.
    pub flags: Flags,
}

/// The settings that have a flag, as given at the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--model`
    pub model: Option<String>,
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<String>,
    /// `--models-dir`
    pub models_dir: Option<String>,
    /// `--log-level`
    pub log_level: Option<String>,
}

/// The settings, and what there is to say about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings, checked.
    pub settings: Settings,
    /// Where each value came from, by the setting's path; one that is absent
    /// has its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What is probably not as it was meant; for the log.
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// Reads the settings of this process.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn from_process(file: Option<PathBuf>, flags: Flags) -> Result<Loaded, ConfigError> {
        // A variable that is not Unicode is kept, spoilt, rather than dropped:
        // without its key the server would let everyone in.
        let variables = std::env::vars_os().map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        });
        // The user database knows the home of a process without `HOME`.
        let home = std::env::home_dir()
            .map(|home| ("HOME".to_owned(), home.to_string_lossy().into_owned()));
        Self::load(Sources {
            file,
            env: variables.chain(home),
            flags,
        })
    }

    /// Reads the settings from `sources`.
    ///
    /// # Errors
    ///
    /// The file cannot be read or has a key that is no setting, or a value is
    /// not allowed; all such keys and values are named at once.
    pub fn load<E>(sources: Sources<E>) -> Result<Loaded, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let environment = Environment::new(sources.env);
        let (file_entries, mut problems) = match &sources.file {
            Some(path) => file::read(path)?,
            None => Default::default(),
        };
        let entries = (environment.cache_folders().into_iter())
            .chain(file_entries)
            .chain(environment.entries())
            .chain(sources.flags.entries());

        let mut merged = Figment::from(Serialized::defaults(Self::default()));
        let mut origins = BTreeMap::new();
        for Entry { key, value, origin } in entries {
            merged = merged.merge(Serialized::default(key.path, value));
            origins.insert(key.path, origin);
        }

        let mut checked = Figment::new();
        for key in KEYS {
            let value = merged.find_value(key.path).map_err(mismatch)?;
            let origin = origins.get(key.path).unwrap_or(&Origin::Default);
            match check(key, &value, origin, environment.home()) {
                Ok(value) => checked = checked.merge(Serialized::default(key.path, value)),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Problems(problems));
        }

        let settings: Self = checked.extract().map_err(mismatch)?;
        let mut warnings = environment.warnings();
        warnings.extend(settings.queue_warning());
        Ok(Loaded {
            settings,
            origins,
            warnings,
        })
    }

    fn queue_warning(&self) -> Option<Warning> {
        let queue_size = self.whisper.max_queue_size.get();
        let batch_size = self.whisper.batch_size.get();
        (queue_size < batch_size).then_some(Warning::QueueBelowBatch {
            queue_size,
            batch_size,
        })
    }
}

impl Loaded {
    /// The start table.
    ///
    /// # Errors
    ///
    /// Only by a fault of the program, [`ConfigError::Mismatch`].
    pub fn table(&self) -> Result<Report, ConfigError> {
        Report::new(&self.settings, &self.origins)
    }
}

impl Flags {
    fn entries(self) -> impl Iterator<Item = Entry> {
        [
            ("whisper.model", self.model),
            ("server.host", self.host),
            ("server.port", self.port),
            ("models.dir", self.models_dir),
            ("log.level", self.log_level),
        ]
        .into_iter()
        .filter_map(|(path, value)| {
            let key = Key::at(path)?;
            Some(Entry {
                key,
                value: Value::from(value?),
                origin: Origin::Flag(key.flag?),
            })
        })
    }
}

fn check(key: &Key, value: &Value, origin: &Origin, home: Option<&Path>) -> Result<Value, Problem> {
    let as_written = || match (key.kind, value) {
        (Kind::Hidden, _) => "***".to_owned(),
        (_, Value::String(_, text)) => format!("{text:?}"),
        _ => report::shown(value),
    };
    let checked = key.kind.check(value).ok_or_else(|| Problem::InvalidValue {
        name: origin.name_of(key.path),
        value: as_written(),
        expected: key.kind.expected(),
    })?;

    let in_home = match (key.kind, checked.as_str()) {
        (Kind::Folder, Some("~")) => Some(""),
        (Kind::Folder, Some(path)) => path.strip_prefix("~/"),
        _ => None,
    };
    let Some(in_home) = in_home else {
        return Ok(checked);
    };
    let home = home.ok_or_else(|| Problem::NoHome {
        name: origin.name_of(key.path),
        value: as_written(),
    })?;
    Ok(Value::from(
        home.join(in_home).to_string_lossy().into_owned(),
    ))
}

fn mismatch(error: figment::Error) -> ConfigError {
    ConfigError::Mismatch(Box::new(error))
}
