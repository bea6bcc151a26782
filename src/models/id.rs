//! The name of a model.

use std::fmt;

/// A model's name: `name` or `owner/name`, optionally followed by `@revision`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(String);

/// The error for a text that is not a valid model name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model name is `name` or `owner/name`, optionally followed by `@revision`, of letters, \
     digits, `-`, `_` and `.`, at most {} characters, no part starting with a dot",
    ModelId::MAX_BYTES
)]
pub struct InvalidModelId;

impl ModelId {
    /// Maximum length of a name, in bytes; the hub allows 96 for each of the two parts.
    pub const MAX_BYTES: usize = 200;

    /// What [`parse`](Self::parse) accepts up to that length, as an ECMAScript regular expression.
    pub const PATTERN: &str = concat!(
        "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?",
        "(@[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$"
    );

    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidModelId`] for anything that could leave the models' folder or mislead a reader.
    pub fn parse(text: &str) -> Result<Self, InvalidModelId> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (text, None),
        };
        let fits = text.len() <= Self::MAX_BYTES && name.split('/').count() <= 2;
        // A branch name may contain any number of slashes.
        let parts = name
            .split('/')
            .chain(revision.into_iter().flat_map(|r| r.split('/')));
        if fits && parts.into_iter().all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidModelId)
        }
    }

    /// The full name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without the revision: the repository.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(name, _)| name)
    }

    /// The branch, tag or commit, if the name has one.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, revision)| revision)
    }

    /// The part before the slash, if there is one.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.repository().split_once('/').map(|(owner, _)| owner)
    }
}

/// Whether `part` may stand between two slashes.
fn is_part(part: &str) -> bool {
    let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(character)
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(ModelId::parse(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn accepts_names_and_nothing_that_leaves_a_folder() {
        check("base", true);
        check("tiny.en", true);
        check("deepdml/faster-whisper-large-v3-turbo-ct2", true);
        check("owner/name@main", true);
        check("owner/name@refs/pr/1", true);
        check("base@0123456789abcdef", true);
        check("", false);
        check("/", false);
        check("a/", false);
        check("a/b/c", false);
        check("..", false);
        check("../base", false);
        check("a/..", false);
        check(".hidden", false);
        check("/etc/passwd", false);
        check("with space", false);
        check("türkçe", false);
        check("nul\0", false);
        check("a\\b", false);
        check("owner/name@", false);
        check("@main", false);
        check("owner/name@..", false);
        check("owner/name@a/../../b", false);
        check("owner/name@a@b", false);
        check(&"x".repeat(10_000), false);
    }

    #[test]
    fn splits_a_name_into_its_parts() {
        let id = ModelId::parse("owner/name@v1.0").unwrap();
        assert_eq!(id.repository(), "owner/name");
        assert_eq!(id.revision(), Some("v1.0"));
        assert_eq!(id.owner(), Some("owner"));

        let id = ModelId::parse("base").unwrap();
        assert_eq!(id.repository(), "base");
        assert_eq!((id.revision(), id.owner()), (None, None));
    }

    proptest! {
        #[test]
        fn an_accepted_name_stays_below_its_folder_and_parses_again(
            text in r"[a-zA-Z0-9@/._ %~\\\x00-]{0,40}|\PC{0,300}"
        ) {
            if let Ok(id) = ModelId::parse(&text) {
                prop_assert_eq!(id.as_str(), text.as_str());
                prop_assert!(text.len() <= ModelId::MAX_BYTES && text.is_ascii());
                let mut depth = Path::new(id.as_str()).components();
                prop_assert!(depth.all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(ModelId::parse(&id.to_string()), Ok(id));
            }
        }
    }
}
