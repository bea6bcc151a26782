//! The start table: every setting, its value, where it came from.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::Value;

use super::entry::Origin;
use super::keys::KEYS;
use super::{ConfigError, Settings};

/// One line of the start table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting, `whisper.batch_size`.
    pub name: &'static str,
    /// Its value; `***` for a secret, `none` for one that is not set.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// The start table; it prints as aligned text, one line a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The settings in the order of the documentation.
    pub rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        origins: &BTreeMap<&'static str, Origin>,
    ) -> Result<Self, ConfigError> {
        let tree =
            Value::serialize(settings).map_err(|error| ConfigError::Mismatch(Box::new(error)))?;
        let rows = KEYS.iter().map(|key| Row {
            name: key.path,
            value: tree.find_ref(key.path).map_or_else(String::new, shown),
            origin: origins.get(key.path).cloned().unwrap_or(Origin::Default),
        });
        Ok(Self {
            rows: rows.collect(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |width: fn(&Row) -> usize| self.rows.iter().map(width).max().unwrap_or(0);
        let name_width = widest(|row| row.name.len());
        let value_width = widest(|row| row.value.chars().count());
        for Row {
            name,
            value,
            origin,
        } in &self.rows
        {
            writeln!(f, "{name:name_width$}  {value:value_width$}  {origin}")?;
        }
        Ok(())
    }
}

/// A value as the user would write it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Empty(..) => "none".to_owned(),
        Value::String(_, text) => text.clone(),
        _ => serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}")),
    }
}
