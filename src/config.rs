//! The settings: defaults < file < environment < flags, merged, then checked.
//!
//! Every source returns entries (`entry`), which refer to a setting of one
//! table (`keys`). The last entry for a setting wins and is checked against
//! the allowed values (`value_kind`); an error names the setting as the user
//! wrote it. Settings of a single model (`per_model`) come only from a file
//! and override all others for that model. Nothing else in the program reads
//! the environment.

mod whisper;
mod server;
mod audio;
mod models;
mod per_model;
mod live;
mod wyoming;
mod log;
mod traces;
mod secret;

mod keys;
mod value_kind;
mod entry;
mod environment;
mod file;
mod settings_table;
mod error;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};
use serde::{Deserialize, Serialize};

pub use audio::Audio;
pub use entry::SettingOrigin;
pub use error::{ConfigError, SettingProblem, SettingWarning};
pub use live::Live;
pub use log::{Log, LogFormat, LogLevel};
pub use models::Models;
pub use per_model::ModelSettings;
pub use secret::Secret;
pub use server::{KeysError, Server};
pub use settings_table::{SettingRow, SettingsTable};
pub use traces::{Exporter, Traces};
pub use whisper::{DeviceChoice, ModelTtl, Whisper};
pub use wyoming::Wyoming;

use entry::SettingEntry;
use environment::Environment;
use file::FileContents;
use keys::{KEYS, SettingKey};
use per_model::ModelEntry;
use value_kind::ValueKind;

/// Every setting of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The default model, its engines and batches.
    pub whisper: Whisper,
    /// The HTTP server.
    pub server: Server,
    /// Decoding of uploads.
    pub audio: Audio,
    /// Models on disk and on the hub.
    pub models: Models,
    /// Live sessions.
    pub live: Live,
    /// The Wyoming protocol.
    pub wyoming: Wyoming,
    /// The log.
    pub log: Log,
    /// The export of traces.
    pub traces: Traces,
    /// Settings of single models by name; only from a file, in tables
    /// `[models."owner/name"]`.
    #[serde(skip)]
    pub per_model: BTreeMap<String, ModelSettings>,
}

/// The sources of settings other than the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources<E> {
    /// The TOML file, if any; it must exist.
    pub file: Option<PathBuf>,
    /// The environment variables, as names and values.
    pub env: E,
    /// The command line.
    pub flags: Flags,
}

/// The settings that have a flag, from the command line.
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

/// The checked settings with their origins and warnings.
#[derive(Clone, Debug)]
pub struct LoadedSettings {
    /// The checked settings.
    pub settings: Settings,
    /// The source of each value, by the setting's path; a setting without an
    /// entry has its default.
    pub origins: BTreeMap<String, SettingOrigin>,
    /// Probable mistakes, for the log.
    pub warnings: Vec<SettingWarning>,
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
    pub fn from_process(
        file: Option<PathBuf>,
        flags: Flags,
    ) -> Result<LoadedSettings, ConfigError> {
        // A variable that is not Unicode is converted lossily rather than
        // dropped: without its key the server would accept every caller.
        let variables = std::env::vars_os().map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        });
        // From the user database if the process has no `HOME`.
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
    /// The file cannot be read or has an unknown key, or a value is not
    /// allowed; the error names all such keys and values.
    pub fn load<E>(sources: Sources<E>) -> Result<LoadedSettings, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let environment = Environment::new(sources.env);
        let FileContents {
            entries: file_entries,
            model_entries,
            mut problems,
        } = match &sources.file {
            Some(path) => file::read(path)?,
            None => FileContents::default(),
        };
        let entries = (environment.derived_defaults().into_iter())
            .chain(file_entries)
            .chain(environment.entries())
            .chain(sources.flags.entries());

        let mut merged = Figment::from(Serialized::defaults(Self::default()));
        let mut origins = BTreeMap::new();
        for SettingEntry { key, value, origin } in entries {
            merged = merged.merge(Serialized::default(key.path, value));
            origins.insert(key.path.to_owned(), origin);
        }

        let mut checked = Figment::new();
        for key in KEYS {
            let value = merged.find_value(key.path).map_err(mismatch)?;
            let origin = origins.get(key.path).unwrap_or(&SettingOrigin::Default);
            let name = origin.setting_name(key.path);
            match check(key.kind, &value, name, environment.home()) {
                Ok(value) => checked = checked.merge(Serialized::default(key.path, value)),
                Err(problem) => problems.push(problem),
            }
        }
        // Nothing is merged here: only a file sets these, each once.
        let mut tables: BTreeMap<String, Dict> = BTreeMap::new();
        for ModelEntry { model, entry } in model_entries {
            let SettingEntry { key, value, origin } = entry;
            let path = per_model::path(&model, key.name());
            match check(
                key.kind,
                &value,
                origin.setting_name(&path),
                environment.home(),
            ) {
                Ok(value) => {
                    let table = tables.entry(model).or_default();
                    table.insert(key.name().to_owned(), value);
                }
                Err(problem) => problems.push(problem),
            }
            origins.insert(path, origin);
        }
        if !problems.is_empty() {
            return Err(ConfigError::Problems(problems));
        }

        let mut settings: Self = checked.extract().map_err(mismatch)?;
        for (model, table) in tables {
            let own = Value::from(table).deserialize().map_err(mismatch)?;
            settings.per_model.insert(model, own);
        }
        let mut warnings = environment.warnings();
        warnings.extend(settings.queue_warnings());
        Ok(LoadedSettings {
            settings,
            origins,
            warnings,
        })
    }

    /// The `[whisper]` settings that apply to the model of this name, which
    /// must be spelt exactly as in its table.
    #[must_use]
    pub fn whisper_for(&self, model: &str) -> Cow<'_, Whisper> {
        match self.per_model.get(model) {
            Some(own) => Cow::Owned(self.whisper.with(own)),
            None => Cow::Borrowed(&self.whisper),
        }
    }

    fn queue_warnings(&self) -> impl Iterator<Item = SettingWarning> {
        let general = self.queue_warning("whisper", &ModelSettings::default());
        // The general warning covers a model that changes neither number.
        let per_model = (self.per_model.iter())
            .filter(|(_, own)| own.max_queue_size.is_some() || own.batch_size.is_some())
            .filter_map(|(model, own)| self.queue_warning(&per_model::table(model), own));
        general.into_iter().chain(per_model)
    }

    fn queue_warning(&self, table: &str, own: &ModelSettings) -> Option<SettingWarning> {
        let whisper = self.whisper.with(own);
        let queue_size = whisper.max_queue_size.get();
        let batch_size = whisper.batch_size.get();
        let table_of = |is_own| if is_own { table } else { "whisper" };
        (queue_size < batch_size).then(|| SettingWarning::QueueBelowBatch {
            queue: format!("{}.max_queue_size", table_of(own.max_queue_size.is_some())),
            queue_size,
            batch: format!("{}.batch_size", table_of(own.batch_size.is_some())),
            batch_size,
        })
    }
}

impl LoadedSettings {
    /// The name of the setting at `path` as the user wrote it: `MODELS_DIR`, `--port`, or
    /// `server.port in FILE`. A setting that is not set has the environment name of the documentation.
    #[must_use]
    pub fn setting_name(&self, path: &str) -> String {
        let origin = self
            .origins
            .get(path)
            .map(|origin| origin.setting_name(path));
        let environment = || SettingKey::at(path).and_then(SettingKey::usual_name);
        let name = origin.or_else(environment);
        name.unwrap_or_else(|| path.to_owned())
    }

    /// As [`setting_name`](Self::setting_name), for the model of this name: the name in the model's own
    /// table if it is set there.
    #[must_use]
    pub fn model_setting_name(&self, model: &str, path: &str) -> String {
        let own = SettingKey::at(path).map(|key| per_model::path(model, key.name()));
        match own.filter(|own| self.is_set(own)) {
            Some(own) => self.setting_name(&own),
            None => self.setting_name(path),
        }
    }

    /// Whether a source sets the setting at `path`.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }

    /// The table of all settings.
    ///
    /// # Errors
    ///
    /// Only [`ConfigError::Mismatch`], a programming error.
    pub fn table(&self) -> Result<SettingsTable, ConfigError> {
        SettingsTable::new(&self.settings, &self.origins)
    }
}

impl Flags {
    fn entries(self) -> impl Iterator<Item = SettingEntry> {
        [
            ("whisper.model", self.model),
            ("server.host", self.host),
            ("server.port", self.port),
            ("models.dir", self.models_dir),
            ("log.level", self.log_level),
        ]
        .into_iter()
        .filter_map(|(path, value)| {
            let key = SettingKey::at(path)?;
            Some(SettingEntry {
                key,
                value: Value::from(value?),
                origin: SettingOrigin::Flag(key.flag?),
            })
        })
    }
}

/// Checks a value and converts it for [`Settings`]; `name` is the setting as the user wrote it.
fn check(
    kind: ValueKind,
    value: &Value,
    name: String,
    home: Option<&Path>,
) -> Result<Value, SettingProblem> {
    let as_written = || match (kind, value) {
        (ValueKind::SecretText, _) => "***".to_owned(),
        (_, Value::String(_, text)) => format!("{text:?}"),
        _ => settings_table::display_value(value),
    };
    let Some(checked) = kind.check(value) else {
        return Err(SettingProblem::InvalidValue {
            name,
            value: as_written(),
            expected: kind.expected(),
        });
    };

    let in_home = match (kind, checked.as_str()) {
        (ValueKind::Folder, Some("~")) => Some(""),
        (ValueKind::Folder, Some(path)) => path.strip_prefix("~/"),
        _ => None,
    };
    let Some(in_home) = in_home else {
        return Ok(checked);
    };
    match home {
        Some(home) => Ok(Value::from(
            home.join(in_home).to_string_lossy().into_owned(),
        )),
        None => Err(SettingProblem::NoHome {
            name,
            value: as_written(),
        }),
    }
}

fn mismatch(error: figment::Error) -> ConfigError {
    ConfigError::Mismatch(Box::new(error))
}
