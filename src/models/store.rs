//! Finds models on disk: folders of `MODELS_DIR`, and the Hugging Face cache in its tools' layout.
//!
//! The cache has one folder per repository, `models--owner--name`: `refs` contains the commit of each
//! branch or tag, `snapshots` a folder of links per commit, `blobs` the files they point to. A folder of
//! models that is mounted as the cache is read like `MODELS_DIR`.

mod delete;
mod speakers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::files::{self, ModelFile, VOCABULARY, WEIGHTS};
use super::{ModelId, ModelShape};
use crate::telemetry::error_chain;
use halkspeech_whisper::Language;

pub use delete::StoreError;
pub use speakers::StoredSpeakerModel;

/// Prefixes of the cache's repository folders.
const REPOSITORY_PREFIXES: [&str; 3] = ["models--", "datasets--", "spaces--"];
/// The branch of a name without a revision.
const MAIN: &str = "main";

/// The folders that contain models.
#[derive(Clone, Debug)]
pub struct Store {
    models_dir: PathBuf,
    hub_cache: PathBuf,
    /// The last warning about each unusable folder, so that it is logged once.
    warned: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

/// A complete model on disk.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// Its name.
    pub id: ModelId,
    /// The folder of its files.
    pub dir: PathBuf,
    /// Size of its files, in bytes.
    pub size_bytes: u64,
    /// When the weights were written, in seconds since 1970.
    pub created: u64,
    /// Its sizes.
    pub shape: ModelShape,
    /// The codes of its languages, in the order of its tokens.
    pub languages: Arc<[String]>,
    location: ModelLocation,
    files: Files,
}

/// The existing files of a model, by name.
type Files = BTreeMap<&'static str, FileStamp>;

/// Where a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ModelLocation {
    /// In a folder of their own.
    Folder,
    /// In a repository of the cache, with this folder.
    Cache(PathBuf),
}

/// Identifies a file's content without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    bytes: u64,
    modified: SystemTime,
}

/// A folder that may contain a model of this name.
struct Candidate {
    id: ModelId,
    dir: PathBuf,
    location: ModelLocation,
}

impl Store {
    /// Searches the folders of `models_dir` first, then plain folders in `hub_cache`, then its
    /// repositories.
    #[must_use]
    pub fn new(models_dir: PathBuf, hub_cache: PathBuf) -> Self {
        Self {
            models_dir,
            hub_cache,
            warned: Arc::default(),
        }
    }

    /// Every complete model, sorted by name; of duplicates the first found is kept. Reads the disk,
    /// except for the files of models in `known` that have not changed.
    ///
    /// # Errors
    /// The operating system's, if an existing folder cannot be read now, for example because no file
    /// descriptor is left. A folder without read permission is skipped.
    pub fn list(&self, known: &[Arc<StoredModel>]) -> io::Result<Vec<Arc<StoredModel>>> {
        for folder in [&self.models_dir, &self.hub_cache] {
            if let Err(error) = fs::read_dir(folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                self.warn(folder, &format!("cannot be read: {error}"));
            }
        }
        let read = |candidate: Candidate| {
            let model = candidate.read(known);
            model.unwrap_or_else(|problem| {
                self.warn(&candidate.dir, &problem);
                None
            })
        };
        let mut models: Vec<_> = self.named_folders()?.into_iter().filter_map(read).collect();
        let taken = models.iter().map(|model| model.id.clone()).collect();
        models.extend(self.snapshots(&taken)?.into_iter().filter_map(read));
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models.dedup_by(|later, first| later.id == first.id);
        Ok(models)
    }

    /// Logs why nothing in this folder can be served, once per reason.
    fn warn(&self, folder: &Path, flaw: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.get(folder).is_none_or(|last| last != flaw) {
            tracing::warn!(folder = %folder.display(), flaw, "no model can be served from here");
            warned.insert(folder.to_owned(), flaw.to_owned());
        }
    }

    /// The folders `name` and `owner/name`.
    fn named_folders(&self) -> io::Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        let mut add = |name: &str, dir: PathBuf| {
            // A folder's name has no revision.
            let id = ModelId::parse(name)
                .ok()
                .filter(|id| id.revision().is_none());
            candidates.extend(id.map(|id| Candidate {
                id,
                dir,
                location: ModelLocation::Folder,
            }));
        };
        let is_repository = |name: &str| {
            let mut prefixes = REPOSITORY_PREFIXES.iter();
            prefixes.any(|prefix| name.starts_with(prefix))
        };
        let in_cache = entries(&self.hub_cache)?.into_iter();
        let in_cache = in_cache.filter(|(name, _)| !is_repository(name));
        for (name, dir) in entries(&self.models_dir)?.into_iter().chain(in_cache) {
            for (inner, dir) in entries(&dir)? {
                add(&format!("{name}/{inner}"), dir);
            }
            add(&name, dir);
        }
        Ok(candidates)
    }

    /// The snapshots of the cache, under each of their names that is not `taken`; one without a name is
    /// named by its commit.
    fn snapshots(&self, taken: &BTreeSet<ModelId>) -> io::Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for (folder, repository) in entries(&self.hub_cache)? {
            let name = folder
                .strip_prefix("models--")
                .map(|name| name.replace("--", "/"));
            let Some(name) = name.filter(|name| ModelId::parse(name).is_ok()) else {
                continue;
            };
            let id = |revision: &str| {
                let id = if revision == MAIN {
                    name.clone()
                } else {
                    format!("{name}@{revision}")
                };
                let id = ModelId::parse(&id).ok();
                id.filter(|id| !taken.contains(id))
            };
            let refs = refs(&repository)?;
            for (commit, dir) in entries(&repository.join("snapshots"))? {
                let matching = refs.iter().filter(|(_, target)| *target == commit);
                let mut ids: Vec<_> = matching.filter_map(|(name, _)| id(name)).collect();
                if ids.is_empty() {
                    ids.extend(id(&commit));
                }
                candidates.extend(ids.into_iter().map(|id| Candidate {
                    id,
                    dir: dir.clone(),
                    location: ModelLocation::Cache(repository.clone()),
                }));
            }
        }
        Ok(candidates)
    }
}

impl Candidate {
    /// The model, if there is one. The error is why it cannot be served.
    fn read(&self, known: &[Arc<StoredModel>]) -> Result<Option<Arc<StoredModel>>, String> {
        let Self { id, dir, location } = self;
        let stamp = |name| Some((name, FileStamp::of(&dir.join(name))?));
        let files: Files = files::names().filter_map(stamp).collect();
        let Some(weights) = files.get(WEIGHTS) else {
            return Ok(None);
        };
        let has = |name: &str| files.contains_key(name);
        let find = |file: ModelFile| file.find(has).ok_or_else(|| format!("there is no {file}"));
        for file in files::required() {
            find(file)?;
        }
        let vocabulary = find(VOCABULARY)?;
        let unchanged = |model: &&Arc<StoredModel>| {
            model.id == *id && model.dir == *dir && model.files == files
        };
        if let Some(model) = known.iter().find(unchanged) {
            return Ok(Some(Arc::clone(model)));
        }
        let shape = File::open(dir.join(WEIGHTS))
            .map_err(Into::into)
            .and_then(ModelShape::read);
        let shape = shape.map_err(|error| format!("{WEIGHTS}: {}", error_chain(&error)))?;
        let languages = languages(&dir.join(vocabulary), &shape);
        let languages = languages.map_err(|error| format!("{vocabulary}: {error}"))?;
        let created = weights.modified.duration_since(UNIX_EPOCH);
        Ok(Some(Arc::new(StoredModel {
            size_bytes: files.values().map(|file| file.bytes).sum(),
            created: created.unwrap_or_default().as_secs(),
            languages,
            id: id.clone(),
            dir: dir.clone(),
            shape,
            location: location.clone(),
            files,
        })))
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            bytes: file.len(),
            modified: file.modified().ok()?,
        })
    }
}

/// The languages that the vocabulary has a token for; only English for English-only models, whose
/// vocabularies contain language tokens that they were not trained on.
fn languages(vocabulary: &Path, shape: &ModelShape) -> io::Result<Arc<[String]>> {
    if !shape.is_multilingual() {
        return Ok(Arc::new([Language::ENGLISH.code().to_owned()]));
    }
    let text = fs::read_to_string(vocabulary)?;
    let tokens: Vec<String> = if vocabulary.extension().is_some_and(|ext| ext == "json") {
        serde_json::from_str(&text)?
    } else {
        text.lines().map(str::to_owned).collect()
    };
    let code = |token: &String| {
        let code = token.strip_prefix("<|")?.strip_suffix("|>")?;
        Language::parse(code).filter(|language| language.code() == code)?;
        Some(code.to_owned())
    };
    Ok(tokens.iter().filter_map(code).collect())
}

/// Names and paths of a folder's entries, without hidden ones; none if it is not a folder, or there is
/// no read permission.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten(),
        Err(error) if is_folder_specific(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let entries = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'));
    Ok(entries.collect())
}

/// Whether the error is specific to the folder, rather than to the process or the disk.
fn is_folder_specific(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// The branches and tags of a repository, whose names may contain slashes, and their commits. Links are
/// not followed, since they may form a cycle or leave the repository.
fn refs(repository: &Path) -> io::Result<Vec<(String, String)>> {
    let mut refs = Vec::new();
    let mut folders = vec![(String::new(), repository.join("refs"))];
    while let Some((prefix, folder)) = folders.pop() {
        if folder.is_symlink() {
            continue;
        }
        for (name, path) in entries(&folder)? {
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                folders.push((format!("{name}/"), path));
            } else if let Ok(commit) = fs::read_to_string(&path) {
                refs.push((name, commit.trim().to_owned()));
            }
        }
    }
    Ok(refs)
}
