//! Other names for models.

use std::collections::{BTreeMap, BTreeSet};

use super::{InvalidModelId, ModelId};

/// OpenAI's names for transcription models that listings show; [`is_openai_name`] accepts more.
const OPENAI_NAMES: [&str; 4] = [
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
];

/// faster-whisper's short names, and the hub repositories of each: the first that is on disk is used; if
/// none is, the first one is downloaded.
const SHORT_NAMES: [(&str, &[&str]); 19] = [
    ("tiny", &["Systran/faster-whisper-tiny"]),
    ("tiny.en", &["Systran/faster-whisper-tiny.en"]),
    ("base", &["Systran/faster-whisper-base"]),
    ("base.en", &["Systran/faster-whisper-base.en"]),
    ("small", &["Systran/faster-whisper-small"]),
    ("small.en", &["Systran/faster-whisper-small.en"]),
    ("medium", &["Systran/faster-whisper-medium"]),
    ("medium.en", &["Systran/faster-whisper-medium.en"]),
    ("large-v1", &["Systran/faster-whisper-large-v1"]),
    ("large-v2", &["Systran/faster-whisper-large-v2"]),
    ("large-v3", &["Systran/faster-whisper-large-v3"]),
    ("large", &["Systran/faster-whisper-large-v3"]),
    ("large-v3-turbo", TURBO),
    ("turbo", TURBO),
    (
        "distil-small.en",
        &["Systran/faster-distil-whisper-small.en"],
    ),
    (
        "distil-medium.en",
        &["Systran/faster-distil-whisper-medium.en"],
    ),
    (
        "distil-large-v2",
        &["Systran/faster-distil-whisper-large-v2"],
    ),
    (
        "distil-large-v3",
        &["Systran/faster-distil-whisper-large-v3"],
    ),
    (
        "distil-large-v3.5",
        &["distil-whisper/distil-large-v3.5-ct2"],
    ),
];

/// The repositories of large-v3-turbo: the documented one, then faster-whisper's.
const TURBO: &[&str] = &[
    "deepdml/faster-whisper-large-v3-turbo-ct2",
    "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
];

/// Owners whose size names stand for any model of that size, since they publish weights in formats that
/// this server does not read.
const PUBLISHERS: [&str; 2] = ["openai", "distil-whisper"];

/// Suffixes that describe a model's storage format.
const STORAGE_SUFFIXES: [&str; 4] = ["-int8", "-float16", "-float32", "-ct2"];

/// Look-up of models on disk.
pub trait ModelLookup {
    /// Whether a model has exactly this name.
    fn has(&self, id: &ModelId) -> bool;

    /// The first model, in the order of names, that matches.
    fn first(&self, matches: &dyn Fn(&ModelId) -> bool) -> Option<ModelId>;

    /// The model on disk, if there is exactly one.
    fn only(&self) -> Option<ModelId>;
}

/// Resolves the model name of a request.
#[derive(Clone, Debug)]
pub struct Aliases {
    default: DefaultModel,
    names: BTreeMap<String, ModelId>,
}

/// The model that OpenAI's names resolve to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultModel {
    /// The one named in the settings.
    Configured(ModelId),
    /// The settings name none: this one or, if it is not on disk, the only one that is.
    BuiltIn(ModelId),
}

impl Aliases {
    /// OpenAI's names resolve to `default`; `configured` adds names or redirects OpenAI's.
    #[must_use]
    pub fn new(
        default: DefaultModel,
        configured: impl IntoIterator<Item = (String, ModelId)>,
    ) -> Self {
        let names = configured.into_iter().collect();
        Self { default, names }
    }

    /// The model that OpenAI's names resolve to.
    #[must_use]
    pub fn default_model(&self, disk: &impl ModelLookup) -> ModelId {
        let (DefaultModel::Configured(id) | DefaultModel::BuiltIn(id)) = &self.default;
        let resolved = if disk.has(id) {
            id.clone()
        } else {
            nearest(self.target(id.as_str()).unwrap_or(id), disk)
        };
        match &self.default {
            DefaultModel::BuiltIn(_) if !disk.has(&resolved) => disk.only().unwrap_or(resolved),
            DefaultModel::BuiltIn(_) | DefaultModel::Configured(_) => resolved,
        }
    }

    /// Resolves `name`: to the model on disk of exactly this name, else by alias, else to the model on
    /// disk of this name in another letter case or of this size. If there is none, a size resolves to
    /// faster-whisper's repository, and any other name to itself.
    ///
    /// # Errors
    /// [`InvalidModelId`] when the name is neither an alias nor a valid model name.
    pub fn resolve(&self, name: &str, disk: &impl ModelLookup) -> Result<ModelId, InvalidModelId> {
        let id = ModelId::parse(name);
        if let Ok(id) = &id
            && disk.has(id)
        {
            return Ok(id.clone());
        }
        match self.target(name) {
            Some(target) => Ok(nearest(target, disk)),
            None if is_openai_name(name) => Ok(self.default_model(disk)),
            None => Ok(nearest(&id?, disk)),
        }
    }

    /// Every listed alias with the model that it resolves to, sorted by name.
    #[must_use]
    pub fn list(&self, disk: &impl ModelLookup) -> Vec<(String, ModelId)> {
        let known = OPENAI_NAMES.into_iter();
        let known = known.chain(SHORT_NAMES.iter().map(|(name, _)| *name));
        let names: BTreeSet<&str> = known.chain(self.names.keys().map(String::as_str)).collect();
        let resolved = |name: &str| {
            let id = self.resolve(name, disk).ok()?;
            (id.as_str() != name).then(|| (name.to_owned(), id))
        };
        names.into_iter().filter_map(resolved).collect()
    }

    /// The aliases of a model, sorted.
    #[must_use]
    pub fn of(&self, id: &ModelId, disk: &impl ModelLookup) -> Vec<String> {
        let all = self.list(disk).into_iter();
        all.filter(|(_, resolved)| resolved == id)
            .map(|(name, _)| name)
            .collect()
    }

    /// The model that an alias of the settings resolves to.
    fn target(&self, name: &str) -> Option<&ModelId> {
        let in_any_case = || {
            let mut names = self.names.iter();
            names.find_map(|(alias, id)| alias.eq_ignore_ascii_case(name).then_some(id))
        };
        self.names.get(name).or_else(in_any_case)
    }
}

/// Whether this is, or may become, OpenAI's name for a transcription model.
fn is_openai_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let transcribes = name.contains("transcribe") || name.contains("whisper");
    name == "whisper-1" || (name.starts_with("gpt-") && transcribes)
}

/// The model on disk that matches a name which is no alias.
fn nearest(id: &ModelId, disk: &impl ModelLookup) -> ModelId {
    // A revision belongs to a specific repository.
    if disk.has(id) || id.revision().is_some() {
        return id.clone();
    }
    let in_any_case = |other: &ModelId| other.as_str().eq_ignore_ascii_case(id.as_str());
    if let Some(found) = disk.first(&in_any_case) {
        return found;
    }
    let is_publisher = |owner| {
        PUBLISHERS
            .iter()
            .any(|name| name.eq_ignore_ascii_case(owner))
    };
    let is_size = id.owner().is_none_or(is_publisher);
    let Some(repositories) = repositories_of_size(id).filter(|_| is_size) else {
        return id.clone();
    };
    let of_repository = || {
        let mut names = repositories.iter();
        names.find_map(|name| disk.first(&|other: &ModelId| other.as_str() == *name))
    };
    let is_same = |other: &ModelId| repositories_of_size(other) == Some(repositories);
    let is_bare = |other: &ModelId| other.owner().is_none() && is_same(other);
    let of_hub = || {
        let first = repositories.first().filter(|_| id.owner().is_none());
        first.and_then(|name| ModelId::parse(name).ok())
    };
    of_repository()
        .or_else(|| disk.first(&is_bare))
        .or_else(|| disk.first(&is_same))
        .or_else(of_hub)
        .unwrap_or_else(|| id.clone())
}

/// The repositories of the size in a model's name, under any owner.
fn repositories_of_size(id: &ModelId) -> Option<&'static [&'static str]> {
    if id.revision().is_some() {
        return None;
    }
    let name = id.as_str().rsplit('/').next()?.to_ascii_lowercase();
    let mut size = name.strip_prefix("faster-").unwrap_or(&name);
    for suffix in STORAGE_SUFFIXES {
        size = size.strip_suffix(suffix).unwrap_or(size);
    }
    let size = size.replacen("whisper-", "", 1);
    let mut known = SHORT_NAMES.iter();
    known.find_map(|(short, repositories)| (*short == size).then_some(*repositories))
}

#[cfg(test)]
mod tests;
