//! The files of a CTranslate2 Whisper model, and of the networks of speaker diarization.

use std::fmt;

use halkspeech_whisper::TOKENIZER_FILE;

/// The weights; a folder without them is not a model.
pub const WEIGHTS: &str = "model.bin";

/// The folder of the networks of speaker diarization, which is their name.
pub const SPEAKER_MODEL: &str = "speaker-diarization";

/// The command that installs it, in the project's folder.
pub const SPEAKER_COMMAND: &str = "scripts/fetch_models.sh speaker-diarization";

/// The networks of speaker diarization.
pub(super) const SPEAKER_NETWORKS: [&str; 2] =
    ["segmentation.safetensors", "embedding.safetensors"];

/// Every file in their folder.
pub(super) const SPEAKER_FILES: [&str; 3] = [
    "segmentation.safetensors",
    "embedding.safetensors",
    "LICENSES",
];

/// The list of tokens.
pub(super) const VOCABULARY: ModelFile = ModelFile {
    names: &["vocabulary.json", "vocabulary.txt"],
    is_required: true,
};

/// Every file that a model may have; other files in its folder are ignored.
const ALL: [ModelFile; 5] = [
    ModelFile {
        names: &[WEIGHTS],
        is_required: true,
    },
    ModelFile {
        names: &["config.json"],
        is_required: true,
    },
    ModelFile {
        names: &["preprocessor_config.json"],
        is_required: false,
    },
    ModelFile {
        names: &[TOKENIZER_FILE],
        is_required: true,
    },
    VOCABULARY,
];

/// A file of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelFile {
    /// Its names; a model has it under one of them.
    names: &'static [&'static str],
    /// Whether every model has it.
    is_required: bool,
}

impl ModelFile {
    /// The first of its names that `has` accepts.
    pub fn find(self, has: impl Fn(&str) -> bool) -> Option<&'static str> {
        self.names.iter().copied().find(|name| has(name))
    }
}

/// Formats the names: `a or b`.
impl fmt::Display for ModelFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(" or "))
    }
}

/// The files that every model has, the weights first.
pub(super) fn required() -> impl Iterator<Item = ModelFile> {
    ALL.into_iter().filter(|file| file.is_required)
}

/// All names of all files, the weights first: a deletion in this order leaves no model if it is
/// interrupted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().flat_map(|file| file.names.iter().copied())
}

/// The files that every model has, in words: `a, b and c or d`.
#[must_use]
pub fn required_in_words() -> String {
    let files: Vec<String> = required().map(|file| file.to_string()).collect();
    match files.as_slice() {
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::models::test_files::{Fixture, lay_out};

    #[test]
    fn the_fixture_has_the_required_files_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path(), &Fixture::default());

        let entries = fs::read_dir(folder.path()).unwrap();
        let mut found: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();

        let has = |name: &str| found.iter().any(|found| found == name);
        let mut expected: Vec<_> = required().map(|file| file.find(has).unwrap()).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_documentation_lists_the_required_files() {
        for document in ["docs/models.md", "docs/tr/modeller.md"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
            let text = fs::read_to_string(path).unwrap();
            let mut lines = text.lines();
            let line = lines.find(|line| line.contains(&format!("`{WEIGHTS}`, `")));
            let named: Vec<_> = line.unwrap().split('`').skip(1).step_by(2).collect();
            let files: Vec<_> = required().flat_map(|file| file.names).copied().collect();
            assert_eq!(named[named.len() - files.len()..], files, "{document}");
        }
    }
}
