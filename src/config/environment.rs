//! Settings from environment variables.
//!
//! A setting has the name `SECTION__KEY`; some also have flat names that other
//! programs use (`UVICORN_PORT`, `HF_TOKEN`). As in comparable Python servers,
//! names are case-insensitive and an empty value means unset.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::Value;

use super::entry::{SettingEntry, SettingOrigin};
use super::error::SettingWarning;
use super::keys::{KEYS, SettingKey, nearest, sections};

/// The non-empty environment variables by name.
#[derive(Debug)]
pub(super) struct Environment(BTreeMap<String, String>);

/// Variables that change the default of a folder: variable, setting, path
/// inside the variable's folder.
const CACHE_FOLDERS: [(&str, &str, &str); 2] = [
    ("XDG_CACHE_HOME", "models.dir", "halkspeech/models"),
    ("XDG_CACHE_HOME", "models.hub_cache", "huggingface/hub"),
];

/// The folder of the Hugging Face tools, which contains their cache.
const HUB_HOME: &str = "HF_HOME";

/// Variables of other programs that are similar to one of this program.
const UNRELATED_VARIABLES: [&str; 1] = ["TTS_MODEL_TTL"];

/// From this name length on, a replaced letter counts as a typing error.
const MEDIUM_NAME_LENGTH: usize = 10;

/// From this name length on, two typing errors are accepted.
const LONG_NAME_LENGTH: usize = 13;

/// The standard variables with the address of a trace collector.
const COLLECTOR_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// The standard variable that disables traces; it overrides the others.
const TRACES_DISABLED: &str = "OTEL_SDK_DISABLED";

impl Environment {
    /// Keeps the variables that are not empty.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let trimmed = variables
            .into_iter()
            .map(|(name, value)| (name, value.trim().to_owned()));
        Self(trimmed.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The home folder, for `~`.
    pub fn home(&self) -> Option<&Path> {
        self.0.get("HOME").map(Path::new)
    }

    /// Defaults that depend on the environment; a file overrides them.
    pub fn derived_defaults(&self) -> Vec<SettingEntry> {
        let folders = CACHE_FOLDERS.iter().filter_map(|(name, path, inside)| {
            // The XDG specification requires relative paths to be ignored.
            let cache = Path::new(self.0.get(*name)?);
            let folder = cache.is_absolute().then(|| cache.join(inside))?;
            folder_entry(path, &folder, name)
        });
        let collector = COLLECTOR_VARIABLES
            .iter()
            .find(|name| self.0.contains_key(**name));
        let traces = collector.and_then(|name| entry("traces.exporter", "otlp", name));
        folders.chain(traces).collect()
    }

    /// The settings among the variables.
    pub fn entries(&self) -> Vec<SettingEntry> {
        let settings = KEYS.iter().filter_map(|key| {
            let (name, value) = self.variables_for(key).next()?;
            Some(SettingEntry {
                key,
                value: Value::from(value),
                origin: SettingOrigin::Environment(name.to_owned()),
            })
        });
        let hub_home = self.0.get(HUB_HOME).and_then(|home| {
            folder_entry("models.hub_cache", &Path::new(home).join("hub"), HUB_HOME)
        });
        let is_true = |value: &String| value.eq_ignore_ascii_case("true");
        let no_traces = (self.0.get(TRACES_DISABLED).filter(|value| is_true(value)))
            .and_then(|_| entry("traces.exporter", "none", TRACES_DISABLED));
        // The hub's home comes first, so that the variables of the cache override it.
        hub_home
            .into_iter()
            .chain(settings)
            .chain(no_traces)
            .collect()
    }

    /// Warnings about variables that look like settings but have no effect.
    pub fn warnings(&self) -> Vec<SettingWarning> {
        let shadowed = KEYS.iter().flat_map(|key| {
            let used = self.variables_for(key).next();
            let others = self.variables_for(key).skip(1);
            others.filter_map(move |(ignored, value)| {
                let (used, used_value) = used?;
                (value != used_value).then(|| SettingWarning::Shadowed {
                    ignored: ignored.to_owned(),
                    used: used.to_owned(),
                })
            })
        });
        let unknown = self.0.keys().filter_map(|name| warning_about(name));
        shadowed.chain(unknown).collect()
    }

    /// The variables that set `key`, with their values; the first one wins.
    fn variables_for(&self, key: &'static SettingKey) -> impl Iterator<Item = (&str, &str)> {
        key.environment_names().filter_map(|name| {
            let exact = self.0.get_key_value(&name);
            let in_any_case = || {
                self.0
                    .iter()
                    .find(|(any, _)| any.eq_ignore_ascii_case(&name))
            };
            let (name, value) = exact.or_else(in_any_case)?;
            Some((name.as_str(), value.as_str()))
        })
    }
}

fn folder_entry(path: &str, folder: &Path, variable: &str) -> Option<SettingEntry> {
    entry(path, &folder.to_string_lossy(), variable)
}

fn entry(path: &str, value: &str, variable: &str) -> Option<SettingEntry> {
    Some(SettingEntry {
        key: SettingKey::at(path)?,
        value: Value::from(value),
        origin: SettingOrigin::Environment(variable.to_owned()),
    })
}

fn warning_about(name: &str) -> Option<SettingWarning> {
    let upper = name.to_uppercase();
    if known_names().any(|known| known == upper) || upper == HUB_HOME {
        return None;
    }

    // `WHISPER_MODEL` lacks an underscore. The other sections are too common
    // as prefixes of other programs' variables to warn about them.
    if let Some(rest) = upper.strip_prefix("WHISPER_")
        && !rest.starts_with('_')
    {
        let suggestion = format!("WHISPER__{rest}");
        return known_names().any(|known| known == suggestion).then(|| {
            SettingWarning::UnknownName {
                name: name.to_owned(),
                suggestion: Some(suggestion),
            }
        });
    }

    let section = upper.split_once("__");
    let section = section
        .and_then(|(section, _)| sections().find(|known| known.eq_ignore_ascii_case(section)));
    let Some(section) = section else {
        return similar_name(&upper).map(|suggestion| SettingWarning::UnknownName {
            name: name.to_owned(),
            suggestion: Some(suggestion),
        });
    };
    let section = format!("{}__", section.to_uppercase());
    let in_section = known_names().filter(|known| known.starts_with(&section));
    Some(SettingWarning::UnknownName {
        name: name.to_owned(),
        suggestion: nearest(&upper, in_section).or_else(|| nearest(&upper, known_names())),
    })
}

/// The environment names of all settings, without [`HUB_HOME`].
fn known_names() -> impl Iterator<Item = String> {
    KEYS.iter().flat_map(SettingKey::environment_names)
}

/// The environment name that was probably meant by an unknown name.
///
/// `COMPUTE_TYPE` lacks its section; a single word such as `MODEL` may be another program's variable.
/// Other programs have variables with similar names, so one typing error is accepted, in a short name
/// only an added, missing or swapped letter; two are accepted in a long name. `SERVER_PORT` with one
/// underscore belongs to another program, so a known name with `__` is compared only to names with `__`.
fn similar_name(upper: &str) -> Option<String> {
    if UNRELATED_VARIABLES.contains(&upper) {
        return None;
    }
    let lacks_section = |key: &&SettingKey| {
        let name = key.name();
        key.path.starts_with("whisper.") && name.contains('_') && name.eq_ignore_ascii_case(upper)
    };
    if KEYS.iter().any(|key| lacks_section(&key)) {
        return Some(format!("WHISPER__{upper}"));
    }
    let names = known_names().chain([HUB_HOME.to_owned()]);
    let comparable = names.filter(|known| upper.contains("__") || !known.contains("__"));
    let similar = comparable.filter_map(|known| {
        let distance = strsim::osa_distance(upper, &known);
        let max_distance = if known.len() < LONG_NAME_LENGTH { 1 } else { 2 };
        let is_replaced =
            upper.len() == known.len() && sorted_letters(upper) != sorted_letters(&known);
        let is_similar =
            distance <= max_distance && (known.len() >= MEDIUM_NAME_LENGTH || !is_replaced);
        is_similar.then_some((distance, known))
    });
    similar.min().map(|(_, known)| known)
}

/// The sorted bytes of a name.
fn sorted_letters(name: &str) -> Vec<u8> {
    let mut letters = name.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}
