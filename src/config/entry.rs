//! One value from one source: what the sources hand to the merge.

use std::fmt;
use std::path::PathBuf;

use figment::value::Value;

use super::keys::SettingKey;

/// A value for a setting, as its source wrote it.
#[derive(Debug)]
pub(super) struct SettingEntry {
    /// The setting.
    pub key: &'static SettingKey,
    /// Its value, unchecked.
    pub value: Value,
    /// Where it was written.
    pub origin: SettingOrigin,
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// Nobody set it.
    Default,
    /// A TOML file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag at the command line.
    Flag(&'static str),
}

impl SettingOrigin {
    /// The setting at `path` in the words of whoever set it.
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
