//! Other names for models.

use std::collections::BTreeMap;

use super::{InvalidModelId, ModelId};

/// OpenAI's names for transcription models; clients send them unasked.
const OPENAI_NAMES: [&str; 4] = [
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
];

/// The short names that faster-whisper knows, and the repository on the hub that each stands for.
const SHORT_NAMES: [(&str, &str); 19] = [
    ("tiny", "Systran/faster-whisper-tiny"),
    ("tiny.en", "Systran/faster-whisper-tiny.en"),
    ("base", "Systran/faster-whisper-base"),
    ("base.en", "Systran/faster-whisper-base.en"),
    ("small", "Systran/faster-whisper-small"),
    ("small.en", "Systran/faster-whisper-small.en"),
    ("medium", "Systran/faster-whisper-medium"),
    ("medium.en", "Systran/faster-whisper-medium.en"),
    ("large-v1", "Systran/faster-whisper-large-v1"),
    ("large-v2", "Systran/faster-whisper-large-v2"),
    ("large-v3", "Systran/faster-whisper-large-v3"),
    ("large", "Systran/faster-whisper-large-v3"),
    (
        "large-v3-turbo",
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    ),
    ("turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    ("distil-small.en", "Systran/faster-distil-whisper-small.en"),
    (
        "distil-medium.en",
        "Systran/faster-distil-whisper-medium.en",
    ),
    ("distil-large-v2", "Systran/faster-distil-whisper-large-v2"),
    ("distil-large-v3", "Systran/faster-distil-whisper-large-v3"),
    ("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2"),
];

/// Which model a name in a request means.
#[derive(Clone, Debug)]
pub struct Aliases {
    default: ModelId,
    names: BTreeMap<String, ModelId>,
}

impl Aliases {
    /// OpenAI's names stand for `default`; `more` adds names or redirects OpenAI's.
    #[must_use]
    pub fn new(default: ModelId, more: impl IntoIterator<Item = (String, ModelId)>) -> Self {
        let openai = OPENAI_NAMES.map(|name| (name.to_owned(), default.clone()));
        let names = openai.into_iter().chain(more).collect();
        Self { default, names }
    }

    /// The model that OpenAI's names stand for.
    #[must_use]
    pub fn default_model(&self) -> &ModelId {
        &self.default
    }

    /// The model that `name` means: what an alias stands for, or the model of that name. Where no
    /// model is called so, a short name stands for faster-whisper's repository.
    ///
    /// # Errors
    /// [`InvalidModelId`] when it is neither.
    pub fn resolve(
        &self,
        name: &str,
        on_disk: impl Fn(&ModelId) -> bool,
    ) -> Result<ModelId, InvalidModelId> {
        let id = match self.names.get(name) {
            Some(id) => id.clone(),
            None => ModelId::parse(name)?,
        };
        if on_disk(&id) {
            return Ok(id);
        }
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == id.as_str());
        short.map_or(Ok(id), |(_, repository)| ModelId::parse(repository))
    }

    /// The other names of a model, in order.
    #[must_use]
    pub fn of(&self, id: &ModelId, on_disk: impl Fn(&ModelId) -> bool) -> Vec<String> {
        let short = SHORT_NAMES.iter().map(|(name, _)| *name);
        let names = self.names.keys().map(String::as_str).chain(short);
        let stands_for = |name: &&str| {
            let meant = self.resolve(name, &on_disk);
            *name != id.as_str() && meant.as_ref() == Ok(id)
        };
        names.filter(stands_for).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::parse(name).unwrap()
    }

    fn aliases() -> Aliases {
        let more = [
            ("fast".to_owned(), id("tiny.en")),
            ("whisper-1".to_owned(), id("owner/large")),
        ];
        Aliases::new(id("base"), more)
    }

    #[track_caller]
    fn check(name: &str, on_disk: &[&str], meant: &str) {
        let resolved = aliases().resolve(name, |id| on_disk.contains(&id.as_str()));
        assert_eq!(resolved, Ok(id(meant)), "{name}");
    }

    #[test]
    fn resolves_openai_names_own_aliases_and_plain_names() {
        check("gpt-4o-transcribe", &["base"], "base");
        check("whisper-1", &[], "owner/large");
        check("fast", &["tiny.en"], "tiny.en");
        check("owner/other", &[], "owner/other");
        let refused = aliases().resolve("../x", |_| false);
        assert_eq!(refused, Err(InvalidModelId));
    }

    #[test]
    fn a_short_name_means_the_repository_where_no_model_is_called_so() {
        check("base", &["base"], "base");
        check("base", &[], "Systran/faster-whisper-base");
        check("gpt-4o-transcribe", &[], "Systran/faster-whisper-base");
        check("base@v1", &[], "base@v1");
        check("unheard-of", &[], "unheard-of");
        for (name, repository) in SHORT_NAMES {
            check(name, &[], repository);
        }
    }

    #[test]
    fn tells_the_other_names_of_a_model() {
        let of = |name: &str, on_disk: &[&str]| {
            aliases().of(&id(name), |id| on_disk.contains(&id.as_str()))
        };
        let openai = [
            "gpt-4o-mini-transcribe",
            "gpt-4o-transcribe",
            "gpt-4o-transcribe-diarize",
        ];
        assert_eq!(of("base", &["base"]), openai);
        assert_eq!(of("owner/large", &[]), ["whisper-1"]);
        assert_eq!(
            of("Systran/faster-whisper-base", &[]),
            [&openai[..], &["base"]].concat()
        );
        assert_eq!(of("Systran/faster-whisper-base", &["base"]), [""; 0]);
    }
}
