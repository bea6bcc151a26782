//! Settings from environment variables.
//!
//! A setting has the name `SECTION__KEY`, some have flat names that other
//! programs use too (`UVICORN_PORT`, `HF_TOKEN`). As in the Python servers
//! whose users come to us, case does not matter and empty means unset.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::Value;

use super::entry::{SettingEntry, SettingOrigin};
use super::error::SettingWarning;
use super::keys::{KEYS, SettingKey, nearest, sections};

/// The variables that are set, by name.
#[derive(Debug)]
pub(super) struct Environment(BTreeMap<String, String>);

/// Folders that two settings lie in unless something names them: variable,
/// setting, path inside.
const CACHE_FOLDERS: [(&str, &str, &str); 2] = [
    ("XDG_CACHE_HOME", "models.dir", "halkspeech/models"),
    ("XDG_CACHE_HOME", "models.hub_cache", "huggingface/hub"),
];

/// The folder of the Hugging Face tools, in which their cache is.
const HUB_HOME: &str = "HF_HOME";

/// Variables of other programs whose names are two slips away from one of ours.
const OTHERS: [&str; 1] = ["TTS_MODEL_TTL"];

/// From this length on, a letter in the place of another counts as a slip.
const MEDIUM_NAME: usize = 10;

/// From this length on, two slips count.
const LONG_NAME: usize = 13;

/// The standard variables that name a collector of traces.
const COLLECTORS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// The standard variable that switches traces off, whatever the others say.
const NO_TRACES: &str = "OTEL_SDK_DISABLED";

impl Environment {
    /// Keeps what is set to something.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let trimmed = variables
            .into_iter()
            .map(|(name, value)| (name, value.trim().to_owned()));
        Self(trimmed.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Where `~` is.
    pub fn home(&self) -> Option<&Path> {
        self.0.get("HOME").map(Path::new)
    }

    /// Better defaults than the built-in ones; a file goes before them.
    pub fn better_defaults(&self) -> Vec<SettingEntry> {
        let folders = CACHE_FOLDERS.iter().filter_map(|(name, path, inside)| {
            // The XDG specification wants a relative path ignored.
            let cache = Path::new(self.0.get(*name)?);
            let folder = cache.is_absolute().then(|| cache.join(inside))?;
            folder_entry(path, &folder, name)
        });
        let collector = COLLECTORS.iter().find(|name| self.0.contains_key(**name));
        let traces = collector.and_then(|name| entry("traces.exporter", "otlp", name));
        folders.chain(traces).collect()
    }

    /// The settings among the variables.
    pub fn entries(&self) -> Vec<SettingEntry> {
        let named = KEYS.iter().filter_map(|key| {
            let (name, value) = self.named(key).next()?;
            Some(SettingEntry {
                key,
                value: Value::from(value),
                origin: SettingOrigin::Environment(name.to_owned()),
            })
        });
        let hub_home = self.0.get(HUB_HOME).and_then(|home| {
            folder_entry("models.hub_cache", &Path::new(home).join("hub"), HUB_HOME)
        });
        let is_off = |value: &String| value.eq_ignore_ascii_case("true");
        let no_traces = (self.0.get(NO_TRACES).filter(|value| is_off(value)))
            .and_then(|_| entry("traces.exporter", "none", NO_TRACES));
        // The hub's home goes first, so that the cache's own names win.
        hub_home.into_iter().chain(named).chain(no_traces).collect()
    }

    /// What looks like a setting and has no effect.
    pub fn warnings(&self) -> Vec<SettingWarning> {
        let shadowed = KEYS.iter().flat_map(|key| {
            let used = self.named(key).next();
            let others = self.named(key).skip(1);
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

    /// The variables that set `key`, with their values, the one that wins first.
    fn named(&self, key: &'static SettingKey) -> impl Iterator<Item = (&str, &str)> {
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
    if known().any(|known| known == upper) || upper == HUB_HOME {
        return None;
    }

    // `WHISPER_MODEL` lacks an underscore. The other sections are too common
    // as the first word of other programs' variables to warn about them.
    if let Some(rest) = upper.strip_prefix("WHISPER_")
        && !rest.starts_with('_')
    {
        let suggestion = format!("WHISPER__{rest}");
        return known()
            .any(|known| known == suggestion)
            .then(|| SettingWarning::UnknownName {
                name: name.to_owned(),
                suggestion: Some(suggestion),
            });
    }

    let of_section = upper.split_once("__");
    let of_section = of_section
        .and_then(|(section, _)| sections().find(|known| known.eq_ignore_ascii_case(section)));
    let Some(section) = of_section else {
        return misspelt(&upper).map(|suggestion| SettingWarning::UnknownName {
            name: name.to_owned(),
            suggestion: Some(suggestion),
        });
    };
    let section = format!("{}__", section.to_uppercase());
    let in_section = known().filter(|known| known.starts_with(&section));
    Some(SettingWarning::UnknownName {
        name: name.to_owned(),
        suggestion: nearest(&upper, in_section).or_else(|| nearest(&upper, known())),
    })
}

/// Every name that sets something, but [`HUB_HOME`].
fn known() -> impl Iterator<Item = String> {
    KEYS.iter().flat_map(SettingKey::environment_names)
}

/// The setting whose name this one is a slip away from.
///
/// `COMPUTE_TYPE` lacks its section; a single word such as `MODEL` may be another program's variable.
/// Other programs have variables with names much like ours, so one slip counts, in a short name only a
/// letter too many, too few or in the wrong place; two count in a long name. `SERVER_PORT` with one
/// underscore is another program's, so a name of a section is compared with names of sections alone.
fn misspelt(upper: &str) -> Option<String> {
    if OTHERS.contains(&upper) {
        return None;
    }
    let lacks_section = |key: &&SettingKey| {
        let name = key.name();
        key.path.starts_with("whisper.") && name.contains('_') && name.eq_ignore_ascii_case(upper)
    };
    if KEYS.iter().any(|key| lacks_section(&key)) {
        return Some(format!("WHISPER__{upper}"));
    }
    let names = known().chain([HUB_HOME.to_owned()]);
    let comparable = names.filter(|known| upper.contains("__") || !known.contains("__"));
    let slips = comparable.filter_map(|known| {
        let distance = strsim::osa_distance(upper, &known);
        let most = if known.len() < LONG_NAME { 1 } else { 2 };
        let is_replaced = upper.len() == known.len() && letters(upper) != letters(&known);
        let is_slip = distance <= most && (known.len() >= MEDIUM_NAME || !is_replaced);
        is_slip.then_some((distance, known))
    });
    slips.min().map(|(_, known)| known)
}

/// The bytes of a name in order of their value.
fn letters(name: &str) -> Vec<u8> {
    let mut letters = name.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}
