//! Models on disk: folders of `MODELS_DIR`, and the Hugging Face cache layout.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::ModelId;

/// Files without which a folder is no CTranslate2 Whisper.
const REQUIRED: [&str; 3] = ["model.bin", "config.json", "tokenizer.json"];
/// Either holds the model's tokens.
const VOCABULARIES: [&str; 2] = ["vocabulary.json", "vocabulary.txt"];

/// Where models are looked for.
#[derive(Clone, Debug)]
pub struct Store {
    models_dir: PathBuf,
    hub_cache: PathBuf,
}

/// A whole model on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// Its name.
    pub id: ModelId,
    /// The folder its files are in.
    pub dir: PathBuf,
    /// Size of the weights, in bytes.
    pub size_bytes: u64,
    /// When the weights were written, in seconds since 1970.
    pub created: u64,
}

impl Store {
    /// Looks in the folders of `models_dir` first, then in the cache at `hub_cache`.
    #[must_use]
    pub fn new(models_dir: PathBuf, hub_cache: PathBuf) -> Self {
        Self {
            models_dir,
            hub_cache,
        }
    }

    /// Every whole model, by name; the first place wins where a name is in both. Reads the disk.
    #[must_use]
    pub fn list(&self) -> Vec<StoredModel> {
        let mut models: Vec<StoredModel> = self
            .named_folders()
            .chain(self.cached_snapshots())
            .collect();
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models.dedup_by(|later, first| later.id == first.id);
        models
    }

    /// The model with this name, if it is whole. Reads the disk.
    #[must_use]
    pub fn find(&self, id: &ModelId) -> Option<StoredModel> {
        let folder = self.models_dir.join(id.as_str());
        stored(id.clone(), folder).or_else(|| {
            let repository = format!("models--{}", id.as_str().replace('/', "--"));
            stored(id.clone(), snapshot(&self.hub_cache.join(repository))?)
        })
    }

    /// `name` and `owner/name`.
    fn named_folders(&self) -> impl Iterator<Item = StoredModel> {
        let folders = entries(&self.models_dir)
            .into_iter()
            .flat_map(|(name, dir)| {
                let mut named = Vec::new();
                for (inner, dir) in entries(&dir) {
                    named.push((format!("{name}/{inner}"), dir));
                }
                named.push((name, dir));
                named
            });
        folders.filter_map(|(name, dir)| stored(ModelId::parse(&name).ok()?, dir))
    }

    fn cached_snapshots(&self) -> impl Iterator<Item = StoredModel> {
        entries(&self.hub_cache)
            .into_iter()
            .filter_map(|(name, dir)| {
                let id =
                    ModelId::parse(&name.strip_prefix("models--")?.replacen("--", "/", 1)).ok()?;
                stored(id, snapshot(&dir)?)
            })
    }
}

/// Names and paths of a folder's entries; none where it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

/// The snapshot that a cached repository's `refs/main` names.
fn snapshot(repository: &Path) -> Option<PathBuf> {
    let revision = fs::read_to_string(repository.join("refs/main")).ok()?;
    Some(repository.join("snapshots").join(revision.trim()))
}

fn stored(id: ModelId, dir: PathBuf) -> Option<StoredModel> {
    let has = |name: &&str| dir.join(name).is_file();
    if !(REQUIRED.iter().all(has) && VOCABULARIES.iter().any(has)) {
        return None;
    }
    let weights = fs::metadata(dir.join("model.bin")).ok()?;
    let written = weights.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(StoredModel {
        id,
        dir,
        size_bytes: weights.len(),
        created: written.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay_out(folder: &Path, files: &[&str]) {
        fs::create_dir_all(folder).unwrap();
        for file in files {
            fs::write(folder.join(file), "x").unwrap();
        }
    }

    fn store(root: &Path) -> Store {
        Store::new(root.join("models"), root.join("hub"))
    }

    #[test]
    fn lists_whole_models_of_both_layouts() {
        let root = tempfile::tempdir().unwrap();
        let whole = [
            "model.bin",
            "config.json",
            "tokenizer.json",
            "vocabulary.txt",
        ];
        lay_out(&root.path().join("models/base"), &whole);
        lay_out(&root.path().join("models/owner/small"), &whole);
        lay_out(&root.path().join("models/half"), &whole[..2]);
        let repository = root.path().join("hub/models--owner--turbo");
        lay_out(&repository.join("snapshots/abc"), &whole);
        lay_out(&repository.join("refs"), &[]);
        fs::write(repository.join("refs/main"), "abc\n").unwrap();

        let names: Vec<_> = store(root.path())
            .list()
            .into_iter()
            .map(|model| model.id.to_string())
            .collect();

        assert_eq!(names, ["base", "owner/small", "owner/turbo"]);
    }

    #[test]
    fn finds_by_name_only_what_is_whole() {
        let root = tempfile::tempdir().unwrap();
        lay_out(&root.path().join("models/half"), &["model.bin"]);

        let id = ModelId::parse("half").unwrap();
        assert_eq!(store(root.path()).find(&id), None);
        assert_eq!(store(root.path()).list(), []);
    }
}
