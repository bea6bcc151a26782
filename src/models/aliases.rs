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

    /// The model that `name` means: what an alias stands for, or the model of that name.
    ///
    /// # Errors
    /// [`InvalidModelId`] when it is neither.
    pub fn resolve(&self, name: &str) -> Result<ModelId, InvalidModelId> {
        match self.names.get(name) {
            Some(id) => Ok(id.clone()),
            None => ModelId::parse(name),
        }
    }

    /// Every alias with its model, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ModelId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::parse(name).unwrap()
    }

    #[test]
    fn resolves_openai_names_own_aliases_and_plain_names() {
        let more = [
            ("fast".to_owned(), id("tiny.en")),
            ("whisper-1".to_owned(), id("large")),
        ];
        let aliases = Aliases::new(id("base"), more);

        assert_eq!(aliases.resolve("gpt-4o-transcribe"), Ok(id("base")));
        assert_eq!(aliases.resolve("whisper-1"), Ok(id("large")));
        assert_eq!(aliases.resolve("fast"), Ok(id("tiny.en")));
        assert_eq!(aliases.resolve("owner/other"), Ok(id("owner/other")));
        assert_eq!(aliases.resolve("../x"), Err(InvalidModelId));
    }
}
