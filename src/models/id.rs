//! The name of a model.

use std::fmt;

/// Longest name taken, in bytes; the hub allows 96 for each of the two parts.
const MAX_BYTES: usize = 200;

/// A model's name: `name` or `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(String);

/// A text that cannot name a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model is named `name` or `owner/name`, of letters, digits, `-`, `_` and `.`, \
     at most {MAX_BYTES} characters, no part starting with a dot"
)]
pub struct InvalidModelId;

impl ModelId {
    /// Reads a name.
    ///
    /// # Errors
    /// [`InvalidModelId`] for anything that could step out of a folder or surprise a reader.
    pub fn parse(text: &str) -> Result<Self, InvalidModelId> {
        let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let part =
            |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(character);
        let fits = text.len() <= MAX_BYTES && text.split('/').count() <= 2;
        if fits && text.split('/').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidModelId)
        }
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash, if there is one.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.0.split_once('/').map(|(owner, _)| owner)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(ModelId::parse(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn takes_names_and_nothing_that_leaves_a_folder() {
        check("base", true);
        check("tiny.en", true);
        check("deepdml/faster-whisper-large-v3-turbo-ct2", true);
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
        check(&"x".repeat(10_000), false);
    }
}
