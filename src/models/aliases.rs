//! Other names for models.

use std::collections::{BTreeMap, BTreeSet};

use super::{InvalidModelId, ModelId};

/// OpenAI's names for transcription models that listings show; [`is_of_openai`] tells of all of them.
const OPENAI_NAMES: [&str; 4] = [
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
];

/// The short names that faster-whisper knows, and the repositories on the hub that each stands for: the
/// first of them that is on disk, and where none is, the first, which is the one to download.
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

/// The repositories of large-v3-turbo: the one that the documentation names, and faster-whisper's.
const TURBO: &[&str] = &[
    "deepdml/faster-whisper-large-v3-turbo-ct2",
    "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
];

/// Owners whose names for the sizes stand for any model of that size: they publish the weights in other
/// formats than this server reads.
const PUBLISHERS: [&str; 2] = ["openai", "distil-whisper"];

/// Ends of names that tell how a model is stored, not which it is.
const STORAGE_ENDS: [&str; 4] = ["-int8", "-float16", "-float32", "-ct2"];

/// The models that names are looked up among.
pub trait ModelLookup {
    /// Whether a model is called exactly so.
    fn has(&self, id: &ModelId) -> bool;

    /// The first model, in the order of names, for which `is_meant` holds.
    fn first(&self, is_meant: &dyn Fn(&ModelId) -> bool) -> Option<ModelId>;

    /// The model on disk, where there is exactly one.
    fn only(&self) -> Option<ModelId>;
}

/// Which model a name in a request means.
#[derive(Clone, Debug)]
pub struct Aliases {
    default: DefaultModel,
    names: BTreeMap<String, ModelId>,
}

/// The model that OpenAI's names stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultModel {
    /// The one that the settings name.
    Configured(ModelId),
    /// The settings name none: this one or, where it is not on disk, the only one that is.
    BuiltIn(ModelId),
}

impl Aliases {
    /// OpenAI's names stand for `default`; `more` adds names or redirects OpenAI's.
    #[must_use]
    pub fn new(default: DefaultModel, more: impl IntoIterator<Item = (String, ModelId)>) -> Self {
        let names = more.into_iter().collect();
        Self { default, names }
    }

    /// The model that OpenAI's names stand for.
    #[must_use]
    pub fn default_model(&self, disk: &impl ModelLookup) -> ModelId {
        let (DefaultModel::Configured(id) | DefaultModel::BuiltIn(id)) = &self.default;
        let meant = if disk.has(id) {
            id.clone()
        } else {
            nearest(self.target(id.as_str()).unwrap_or(id), disk)
        };
        match &self.default {
            DefaultModel::BuiltIn(_) if !disk.has(&meant) => disk.only().unwrap_or(meant),
            DefaultModel::BuiltIn(_) | DefaultModel::Configured(_) => meant,
        }
    }

    /// The model that `name` means: the one on disk of exactly this name, what an alias stands for, or
    /// the one on disk of this name in another letter case or of this size. Where there is none, a
    /// size stands for faster-whisper's repository, and any other name for itself.
    ///
    /// # Errors
    /// [`InvalidModelId`] when the name is no alias and nothing can be called so.
    pub fn resolve(&self, name: &str, disk: &impl ModelLookup) -> Result<ModelId, InvalidModelId> {
        let id = ModelId::parse(name);
        if let Ok(id) = &id
            && disk.has(id)
        {
            return Ok(id.clone());
        }
        match self.target(name) {
            Some(target) => Ok(nearest(target, disk)),
            None if is_of_openai(name) => Ok(self.default_model(disk)),
            None => Ok(nearest(&id?, disk)),
        }
    }

    /// Every alias of a listing with the model that it means, in the order of their names.
    #[must_use]
    pub fn list(&self, disk: &impl ModelLookup) -> Vec<(String, ModelId)> {
        let known = OPENAI_NAMES.into_iter();
        let known = known.chain(SHORT_NAMES.iter().map(|(name, _)| *name));
        let names: BTreeSet<&str> = known.chain(self.names.keys().map(String::as_str)).collect();
        let meant = |name: &str| {
            let id = self.resolve(name, disk).ok()?;
            (id.as_str() != name).then(|| (name.to_owned(), id))
        };
        names.into_iter().filter_map(meant).collect()
    }

    /// The other names of a model, in order.
    #[must_use]
    pub fn of(&self, id: &ModelId, disk: &impl ModelLookup) -> Vec<String> {
        let all = self.list(disk).into_iter();
        all.filter(|(_, meant)| meant == id)
            .map(|(name, _)| name)
            .collect()
    }

    /// What an alias of the settings stands for.
    fn target(&self, name: &str) -> Option<&ModelId> {
        let in_any_case = || {
            let mut names = self.names.iter();
            names.find_map(|(alias, id)| alias.eq_ignore_ascii_case(name).then_some(id))
        };
        self.names.get(name).or_else(in_any_case)
    }
}

/// Whether OpenAI calls, or may come to call, a model of transcription so.
fn is_of_openai(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let transcribes = name.contains("transcribe") || name.contains("whisper");
    name == "whisper-1" || (name.starts_with("gpt-") && transcribes)
}

/// The model on disk that is meant by a name which is no alias.
fn nearest(id: &ModelId, disk: &impl ModelLookup) -> ModelId {
    // A revision is one of a certain repository.
    if disk.has(id) || id.revision().is_some() {
        return id.clone();
    }
    let in_any_case = |other: &ModelId| other.as_str().eq_ignore_ascii_case(id.as_str());
    if let Some(found) = disk.first(&in_any_case) {
        return found;
    }
    let is_publisher = |owner| PUBLISHERS.iter().any(|one| one.eq_ignore_ascii_case(owner));
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

/// The repositories for the size that the name of a model tells, under any owner.
fn repositories_of_size(id: &ModelId) -> Option<&'static [&'static str]> {
    if id.revision().is_some() {
        return None;
    }
    let name = id.as_str().rsplit('/').next()?.to_ascii_lowercase();
    let mut size = name.strip_prefix("faster-").unwrap_or(&name);
    for end in STORAGE_ENDS {
        size = size.strip_suffix(end).unwrap_or(size);
    }
    let size = size.replacen("whisper-", "", 1);
    let mut known = SHORT_NAMES.iter();
    known.find_map(|(short, repositories)| (*short == size).then_some(*repositories))
}

#[cfg(test)]
mod tests;
