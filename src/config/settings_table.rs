//! The table of all settings with their values and origins.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::Value;

use super::entry::SettingOrigin;
use super::keys::{KEYS, SettingKey};
use super::per_model;
use super::{ConfigError, Settings, mismatch};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// The setting, `whisper.batch_size` or `models."owner/name".batch_size`.
    pub name: String,
    /// Its value; `***` for a secret, `none` if it is not set.
    pub value: String,
    /// The source of the value.
    pub origin: SettingOrigin,
}

/// The table of settings; displays as aligned text, one line per setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsTable {
    /// The settings in the order of the documentation, then those of single
    /// models.
    pub rows: Vec<SettingRow>,
}

impl SettingsTable {
    pub(super) fn new(
        settings: &Settings,
        origins: &BTreeMap<String, SettingOrigin>,
    ) -> Result<Self, ConfigError> {
        let row = |name: String, value: String| SettingRow {
            origin: origins
                .get(&name)
                .cloned()
                .unwrap_or(SettingOrigin::Default),
            name,
            value,
        };
        let tree = Value::serialize(settings).map_err(mismatch)?;
        let mut rows: Vec<SettingRow> = KEYS
            .iter()
            .map(|key| {
                let value = tree
                    .find_ref(key.path)
                    .map_or_else(String::new, display_value);
                row(key.path.to_owned(), value)
            })
            .collect();
        for (model, own) in &settings.per_model {
            let tree = Value::serialize(own).map_err(mismatch)?;
            let is_set = |value: &&Value| !matches!(value, Value::Empty(..));
            for name in KEYS
                .iter()
                .filter(|key| key.per_model)
                .map(SettingKey::name)
            {
                if let Some(value) = tree.find_ref(name).filter(is_set) {
                    rows.push(row(per_model::path(model, name), display_value(value)));
                }
            }
        }
        Ok(Self { rows })
    }
}

impl fmt::Display for SettingsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max_width =
            |width: fn(&SettingRow) -> usize| self.rows.iter().map(width).max().unwrap_or(0);
        let name_width = max_width(|row| row.name.len());
        let value_width = max_width(|row| row.value.chars().count());
        for SettingRow {
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
pub(super) fn display_value(value: &Value) -> String {
    match value {
        Value::Empty(..) => "none".to_owned(),
        Value::String(_, text) => text.clone(),
        _ => serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}")),
    }
}
