//! Settings from a TOML file.

use std::fs;
use std::path::Path;

use figment::Provider;
use figment::providers::{Format, Toml};
use figment::value::Dict;

use super::entry::{Entry, Origin};
use super::error::{ConfigError, Problem};
use super::keys::{KEYS, Key, nearest, sections};

/// The settings in the file at `path`, and the keys in it that are none.
///
/// # Errors
///
/// The file cannot be read, or is not TOML.
pub(super) fn read(path: &Path) -> Result<(Vec<Entry>, Vec<Problem>), ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::ReadFile {
        path: path.to_owned(),
        source,
    })?;
    let tables = parse(&text).map_err(|message| ConfigError::ParseFile {
        path: path.to_owned(),
        message,
    })?;

    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (section, value) in tables {
        let known = sections().find(|known| *known == section);
        match (known, value.into_dict()) {
            (None, _) => problems.push(Problem::UnknownKey {
                suggestion: section_suggestion(&section),
                name: section,
                file: path.to_owned(),
            }),
            (Some(section), None) => problems.push(Problem::InvalidValue {
                name: format!("{section} in {}", path.display()),
                value: "not a table".to_owned(),
                expected: format!("a table [{section}]"),
            }),
            (Some(section), Some(table)) => {
                for (name, value) in table {
                    let full_name = format!("{section}.{name}");
                    match Key::at(&full_name) {
                        Some(key) => entries.push(Entry {
                            key,
                            value,
                            origin: Origin::File(path.to_owned()),
                        }),
                        None => problems.push(Problem::UnknownKey {
                            suggestion: key_suggestion(section, &full_name),
                            name: full_name,
                            file: path.to_owned(),
                        }),
                    }
                }
            }
        }
    }
    Ok((entries, problems))
}

fn parse(text: &str) -> Result<Dict, String> {
    let profiles = Toml::string(text)
        .data()
        .map_err(|error| error.to_string())?;
    Ok(profiles.into_values().next().unwrap_or_default())
}

/// A key at the top of the file may be a misspelt section, or a key whose
/// section was forgotten.
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

fn paths() -> impl Iterator<Item = String> {
    KEYS.iter().map(|key| key.path.to_owned())
}
