//! Settings from a TOML file.

use std::fs;
use std::path::Path;

use figment::Provider;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::entry::{SettingEntry, SettingOrigin};
use super::error::{ConfigError, SettingProblem};
use super::keys::{KEYS, SettingKey, nearest, sections};
use super::per_model::{self, ModelEntry};
use super::value_kind::ValueKind;

/// The contents of a file.
#[derive(Debug, Default)]
pub(super) struct FileContents {
    /// The settings.
    pub entries: Vec<SettingEntry>,
    /// The settings of single models.
    pub model_entries: Vec<ModelEntry>,
    /// Unknown keys and invalid tables.
    pub problems: Vec<SettingProblem>,
}

/// Reads the file at `path`.
///
/// # Errors
///
/// The file cannot be read, or is not TOML.
pub(super) fn read(path: &Path) -> Result<FileContents, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::ReadFile {
        path: path.to_owned(),
        source,
    })?;
    let tables = parse(&text).map_err(|message| ConfigError::ParseFile {
        path: path.to_owned(),
        message,
    })?;

    let mut contents = FileContents::default();
    for (section, value) in tables {
        let known = sections().find(|known| *known == section);
        match (known, value.into_dict()) {
            (None, _) => contents.problems.push(SettingProblem::UnknownKey {
                suggestion: section_suggestion(&section),
                name: section,
                file: path.to_owned(),
            }),
            (Some(section), None) => contents.problems.push(SettingProblem::InvalidValue {
                name: format!("{section} in {}", path.display()),
                value: "not a table".to_owned(),
                expected: format!("a table [{section}]"),
            }),
            (Some(section), Some(table)) => contents.add_section(section, table, path),
        }
    }
    Ok(contents)
}

impl FileContents {
    fn add_section(&mut self, section: &'static str, table: Dict, file: &Path) {
        for (name, value) in table {
            let full_name = format!("{section}.{name}");
            match (SettingKey::at(&full_name), value) {
                (Some(key), value) => self.entries.push(SettingEntry {
                    key,
                    value,
                    origin: SettingOrigin::File(file.to_owned()),
                }),
                (None, Value::Dict(_, table)) if section == per_model::SECTION => {
                    self.add_model(&name, table, file);
                }
                (None, _) => self.problems.push(SettingProblem::UnknownKey {
                    suggestion: key_suggestion(section, &full_name),
                    name: full_name,
                    file: file.to_owned(),
                }),
            }
        }
    }

    fn add_model(&mut self, model: &str, table: Dict, file: &Path) {
        if model.trim().is_empty() {
            self.problems.push(SettingProblem::InvalidValue {
                name: format!("{} in {}", per_model::table(model), file.display()),
                value: "a table without a name".to_owned(),
                expected: r#"the name of a model, as in [models."owner/name"]"#.to_owned(),
            });
            return;
        }
        for (name, value) in table {
            match per_model::key(&name) {
                // `[models.tiny.en]` lacks the quotes.
                None if value.as_dict().is_some() => {
                    self.problems.push(SettingProblem::UnknownKey {
                        suggestion: Some(format!(
                            "[{}]",
                            per_model::table(&format!("{model}.{name}"))
                        )),
                        name: per_model::path(model, &name),
                        file: file.to_owned(),
                    });
                }
                Some(key) => self.model_entries.push(ModelEntry {
                    model: model.to_owned(),
                    entry: SettingEntry {
                        key,
                        value,
                        origin: SettingOrigin::File(file.to_owned()),
                    },
                }),
                None => self.problems.push(SettingProblem::UnknownKey {
                    suggestion: model_key_suggestion(model, &name),
                    name: per_model::path(model, &name),
                    file: file.to_owned(),
                }),
            }
        }
    }
}

fn parse(text: &str) -> Result<Dict, String> {
    let profiles = Toml::string(text)
        .data()
        .map_err(|error| without_quote(&error.to_string()))?;
    Ok(profiles.into_values().next().unwrap_or_default())
}

/// Line, column and reason, without the quoted line, which may contain a key: quotes start with a margin
/// that is empty or has a line number.
fn without_quote(message: &str) -> String {
    let is_margin = |c: char| c == ' ' || c.is_ascii_digit();
    let is_quote = |line: &&str| line.trim_start_matches(is_margin).starts_with('|');
    let lines = message.lines().filter(|line| !is_quote(line));
    lines.collect::<Vec<_>>().join(", ")
}

/// A top-level key may be a misspelt section, or a key without its section.
fn section_suggestion(name: &str) -> Option<String> {
    nearest(name, sections().map(str::to_owned))
        .map(|section| format!("[{section}]"))
        .or_else(|| nearest(name, paths()))
}

fn key_suggestion(section: &str, full_name: &str) -> Option<String> {
    let prefix = format!("{section}.");
    let in_section = paths().filter(|path| path.starts_with(&prefix));
    nearest(full_name, in_section).or_else(|| nearest(full_name, paths()))
}

/// A table named like a setting is probably that setting, misspelt; a key in
/// it may be misspelt, or a setting that cannot be set for one model.
fn model_key_suggestion(model: &str, name: &str) -> Option<String> {
    let tables = KEYS
        .iter()
        .filter(|key| matches!(key.kind, ValueKind::TextMap));
    let model_keys = (KEYS.iter())
        .filter(|key| key.per_model)
        .map(SettingKey::name);
    let full_name = per_model::path(model, name);
    nearest(model, tables.map(|key| key.path.to_owned()))
        .map(|table| format!("[{table}]"))
        .or_else(|| SettingKey::at(&format!("whisper.{name}")).map(|key| key.path.to_owned()))
        .or_else(|| {
            nearest(
                &full_name,
                model_keys.map(|name| per_model::path(model, name)),
            )
        })
        .or_else(|| nearest(&full_name, paths()))
}

fn paths() -> impl Iterator<Item = String> {
    KEYS.iter().map(|key| key.path.to_owned())
}
