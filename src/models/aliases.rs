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
pub trait OnDisk {
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
    Named(ModelId),
    /// The settings name none: this one or, where it is not on disk, the only one that is.
    Assumed(ModelId),
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
    pub fn default_model(&self, disk: &impl OnDisk) -> ModelId {
        let (DefaultModel::Named(id) | DefaultModel::Assumed(id)) = &self.default;
        let meant = if disk.has(id) {
            id.clone()
        } else {
            nearest(self.target(id.as_str()).unwrap_or(id), disk)
        };
        match &self.default {
            DefaultModel::Assumed(_) if !disk.has(&meant) => disk.only().unwrap_or(meant),
            DefaultModel::Assumed(_) | DefaultModel::Named(_) => meant,
        }
    }

    /// The model that `name` means: the one on disk of exactly this name, what an alias stands for, or
    /// the one on disk of this name in another letter case or of this size. Where there is none, a
    /// size stands for faster-whisper's repository, and any other name for itself.
    ///
    /// # Errors
    /// [`InvalidModelId`] when the name is no alias and nothing can be called so.
    pub fn resolve(&self, name: &str, disk: &impl OnDisk) -> Result<ModelId, InvalidModelId> {
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
    pub fn list(&self, disk: &impl OnDisk) -> Vec<(String, ModelId)> {
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
    pub fn of(&self, id: &ModelId, disk: &impl OnDisk) -> Vec<String> {
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
fn nearest(id: &ModelId, disk: &impl OnDisk) -> ModelId {
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
mod tests {
    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::parse(name).unwrap()
    }

    impl OnDisk for &[&str] {
        fn has(&self, id: &ModelId) -> bool {
            self.contains(&id.as_str())
        }

        fn first(&self, is_meant: &dyn Fn(&ModelId) -> bool) -> Option<ModelId> {
            self.iter().map(|name| id(name)).find(is_meant)
        }

        fn only(&self) -> Option<ModelId> {
            match self {
                [name] => ModelId::parse(name).ok(),
                _ => None,
            }
        }
    }

    fn aliases() -> Aliases {
        aliases_of(DefaultModel::Named(id("base")))
    }

    fn aliases_of(default: DefaultModel) -> Aliases {
        let more = [
            ("fast".to_owned(), id("tiny.en")),
            ("gpt-4o-transcribe".to_owned(), id("owner/large")),
        ];
        Aliases::new(default, more)
    }

    #[track_caller]
    fn check(name: &str, on_disk: &[&str], meant: &str) {
        assert_eq!(aliases().resolve(name, &on_disk), Ok(id(meant)), "{name}");
    }

    #[test]
    fn openai_names_of_transcription_stand_for_the_default_model() {
        for name in [
            "whisper-1",
            "Whisper-1",
            "gpt-transcribe",
            "gpt-live-transcribe",
            "gpt-realtime-whisper",
            "GPT-4o-Mini-Transcribe-2025-12-15",
        ] {
            check(name, &["base", "tiny.en"], "base");
        }
        for name in [
            "whisper-2",
            "gpt-4o",
            "my-gpt-transcribe",
            "transcribe",
            "o/gpt-whisper",
        ] {
            check(name, &["base"], name);
        }
    }

    #[test]
    fn aliases_of_the_settings_go_before_openai_names() {
        check("gpt-4o-transcribe", &[], "owner/large");
        check("GPT-4o-transcribe", &[], "owner/large");
        check("fast", &["tiny.en"], "tiny.en");
        check("Fast", &["tiny.en"], "tiny.en");
        let nothing: &[&str] = &[];
        let refused = aliases().resolve("../x", &nothing);
        assert_eq!(refused, Err(InvalidModelId));
    }

    #[test]
    fn a_model_of_exactly_that_name_goes_before_every_alias() {
        for name in ["whisper-1", "gpt-4o-transcribe", "fast", "whisper-small"] {
            check(name, &["base", name, "small"], name);
        }
    }

    #[test]
    fn a_name_in_another_letter_case_is_that_model() {
        check("Tiny.EN", &["tiny.en"], "tiny.en");
        check("owner/Other", &["Owner/other"], "Owner/other");
    }

    #[test]
    fn a_size_means_a_model_on_disk_of_that_size() {
        let repository = "Systran/faster-whisper-small";
        for name in [
            "small",
            "Small",
            "whisper-small",
            "openai/whisper-small",
            "faster-whisper-small",
        ] {
            check(name, &["base", "small", "small.en"], "small");
            check(name, &["base", repository], repository);
            check(
                name,
                &["o/whisper-small-ct2-int8"],
                "o/whisper-small-ct2-int8",
            );
        }
        check(
            "turbo",
            &["o/faster-whisper-large-v3-turbo-ct2"],
            "o/faster-whisper-large-v3-turbo-ct2",
        );
        check(
            "distil-whisper/distil-small.en",
            &["Systran/faster-distil-whisper-small.en"],
            "Systran/faster-distil-whisper-small.en",
        );
        // These are certain models, which are not here.
        check("owner/whisper-small", &["small"], "owner/whisper-small");
        check("small@v1", &["small"], "small@v1");
        check("small", &["whisper-small-turkish"], repository);
    }

    #[test]
    fn a_size_means_the_repository_where_no_model_is_of_that_size() {
        check("base", &[], "Systran/faster-whisper-base");
        check("whisper-base", &[], "Systran/faster-whisper-base");
        check("openai/whisper-base", &[], "openai/whisper-base");
        check("gpt-transcribe", &[], "Systran/faster-whisper-base");
        check("base@v1", &[], "base@v1");
        check("unheard-of", &[], "unheard-of");
        check("owner/other", &[], "owner/other");
        for (name, repositories) in SHORT_NAMES {
            check(name, &[], repositories[0]);
            for repository in repositories {
                check(repository, &[], repository);
            }
        }
    }

    #[test]
    fn a_size_of_two_repositories_means_the_one_on_disk() {
        let &[first, second] = TURBO else {
            panic!("two repositories");
        };
        for name in ["large-v3-turbo", "turbo"] {
            check(name, &[], first);
            check(name, &[second], second);
            check(name, &[second, first], first);
            check(name, &[second, name], name);
        }
    }

    #[test]
    fn the_only_model_on_disk_is_the_default_where_none_is_named() {
        #[track_caller]
        fn check(default: DefaultModel, on_disk: &[&str], meant: &str) {
            let found = aliases_of(default).default_model(&on_disk);
            assert_eq!(found, id(meant), "{on_disk:?}");
        }
        let assumed = || DefaultModel::Assumed(id("base"));
        check(assumed(), &["base", "small"], "base");
        check(assumed(), &["small"], "small");
        check(assumed(), &["small", "tiny"], "Systran/faster-whisper-base");
        check(assumed(), &[], "Systran/faster-whisper-base");
        let named = DefaultModel::Named(id("base"));
        check(named, &["small"], "Systran/faster-whisper-base");
    }

    #[test]
    fn tells_the_other_names_of_a_model() {
        let of = |name: &str, on_disk: &[&str]| aliases().of(&id(name), &on_disk);
        let openai = [
            "gpt-4o-mini-transcribe",
            "gpt-4o-transcribe-diarize",
            "whisper-1",
        ];
        assert_eq!(of("base", &["base"]), openai);
        assert_eq!(of("owner/large", &[]), ["gpt-4o-transcribe"]);
        assert_eq!(
            of("Systran/faster-whisper-base", &[]),
            [&["base"][..], &openai].concat()
        );
        assert_eq!(of("Systran/faster-whisper-base", &["base"]), [""; 0]);
    }
}
