//! A value from one source, before the sources are merged.

use std::fmt;
use std::path::PathBuf;

use figment::value::Value;

use super::keys::SettingKey;

/// A value for a setting, as written in its source.
#[derive(Debug)]
pub(super) struct SettingEntry {
    /// The setting.
    pub key: &'static SettingKey,
    /// Its unchecked value.
    pub value: Value,
    /// The source of the value.
    pub origin: SettingOrigin,
}

/// The source of a setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// The default.
    Default,
    /// A TOML file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(&'static str),
}

impl SettingOrigin {
    /// The name of the setting at `path`, as the user wrote it.
    pub(super) fn setting_name(&self, path: &str) -> String {
        match self {
            Self::Default => path.to_owned(),
            Self::File(file) => format!("{path} in {}", file.display()),
            Self::Environment(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file) => write!(f, "file {}", file.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}
