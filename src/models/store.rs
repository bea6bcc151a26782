//! Models on disk: folders of `MODELS_DIR`, and the Hugging Face cache as its tools lay it out.
//!
//! The cache has a folder a repository, `models--owner--name`: `refs` holds the commit that each
//! branch or tag is at, `snapshots` a folder of links a commit, `blobs` the files they lead to.
//! A folder of models that is mounted in the place of the cache is read as `MODELS_DIR` is.

mod delete;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{ModelId, ModelShape};
use crate::telemetry::reasons;
use crate::tokens::Language;

pub use delete::StoreError;

/// The weights; a folder without them is no model.
const WEIGHTS: &str = "model.bin";
/// Files without which a folder is no CTranslate2 Whisper, beside its weights.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
/// Either holds the model's tokens.
const VOCABULARIES: [&str; 2] = ["vocabulary.json", "vocabulary.txt"];
/// What a model may have beside them.
const OPTIONAL: [&str; 1] = ["preprocessor_config.json"];
/// What the folders of the cache begin with that hold repositories.
const REPOSITORIES: [&str; 3] = ["models--", "datasets--", "spaces--"];
/// The branch that a name without a revision means.
const MAIN: &str = "main";

/// Where models are looked for.
#[derive(Clone, Debug)]
pub struct Store {
    models_dir: PathBuf,
    hub_cache: PathBuf,
    /// What was said of each folder that is of no use, so that it is said once.
    warned: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

/// A whole model on disk.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// Its name.
    pub id: ModelId,
    /// The folder its files are in.
    pub dir: PathBuf,
    /// Size of its files, in bytes.
    pub size_bytes: u64,
    /// When the weights were written, in seconds since 1970.
    pub created: u64,
    /// What its weights say of themselves.
    pub shape: ModelShape,
    /// The codes of the languages it knows, in the order of its tokens.
    pub languages: Arc<[String]>,
    place: ModelLocation,
    files: Files,
}

/// The files of a model that are there, by name.
type Files = BTreeMap<&'static str, FileStamp>;

/// What a model's files belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ModelLocation {
    /// A folder of its own.
    Folder,
    /// A repository of the cache, in this folder.
    Cache(PathBuf),
}

/// Tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    bytes: u64,
    written: SystemTime,
}

/// A folder that may hold a model of this name.
struct Candidate {
    id: ModelId,
    dir: PathBuf,
    place: ModelLocation,
}

impl Store {
    /// Looks in the folders of `models_dir` first, then in those of the same kind at `hub_cache`, then
    /// in the repositories there.
    #[must_use]
    pub fn new(models_dir: PathBuf, hub_cache: PathBuf) -> Self {
        Self {
            models_dir,
            hub_cache,
            warned: Arc::default(),
        }
    }

    /// Every whole model, by name; the first place wins where a name is in both. Reads the disk,
    /// though not the files of those in `known` that have not changed.
    ///
    /// # Errors
    /// The operating system's, if an existing folder cannot be read now, for example because no file
    /// descriptor is left. A folder without read permission is passed over.
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
            model.unwrap_or_else(|flaw| {
                self.warn(&candidate.dir, &flaw);
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

    /// Says why nothing in this folder can be served.
    fn warn(&self, folder: &Path, flaw: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.get(folder).is_none_or(|said| said != flaw) {
            tracing::warn!(folder = %folder.display(), flaw, "no model can be served from here");
            warned.insert(folder.to_owned(), flaw.to_owned());
        }
    }

    /// `name` and `owner/name`.
    fn named_folders(&self) -> io::Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        let mut add = |name: &str, dir: PathBuf| {
            // A revision has no place here.
            let id = ModelId::parse(name)
                .ok()
                .filter(|id| id.revision().is_none());
            candidates.extend(id.map(|id| Candidate {
                id,
                dir,
                place: ModelLocation::Folder,
            }));
        };
        let is_repository = |name: &str| REPOSITORIES.iter().any(|kind| name.starts_with(kind));
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

    /// The snapshots of the cache, under each name they have beside those that are `taken`; one
    /// that has none is named by its commit.
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
                let here = refs.iter().filter(|(_, at)| *at == commit);
                let mut ids: Vec<_> = here.filter_map(|(name, _)| id(name)).collect();
                if ids.is_empty() {
                    ids.extend(id(&commit));
                }
                candidates.extend(ids.into_iter().map(|id| Candidate {
                    id,
                    dir: dir.clone(),
                    place: ModelLocation::Cache(repository.clone()),
                }));
            }
        }
        Ok(candidates)
    }
}

impl Candidate {
    /// The model, if there is one. The error is what is wrong with it.
    fn read(&self, known: &[Arc<StoredModel>]) -> Result<Option<Arc<StoredModel>>, String> {
        let Self { id, dir, place } = self;
        let version = |name| Some((name, FileStamp::of(&dir.join(name))?));
        let files: Files = files().filter_map(version).collect();
        let Some(weights) = files.get(WEIGHTS) else {
            return Ok(None);
        };
        let has = |name: &&str| files.contains_key(*name);
        if let Some(missing) = REQUIRED.iter().find(|name| !has(name)) {
            return Err(format!("there is no {missing}"));
        }
        let Some(vocabulary) = VOCABULARIES.into_iter().find(has) else {
            return Err(format!("there is no {}", VOCABULARIES.join(" or ")));
        };
        let unchanged = |model: &&Arc<StoredModel>| {
            model.id == *id && model.dir == *dir && model.files == files
        };
        if let Some(model) = known.iter().find(unchanged) {
            return Ok(Some(Arc::clone(model)));
        }
        let shape = File::open(dir.join(WEIGHTS))
            .map_err(Into::into)
            .and_then(ModelShape::read);
        let shape = shape.map_err(|error| format!("{WEIGHTS}: {}", reasons(&error)))?;
        let languages = languages(&dir.join(vocabulary), &shape);
        let languages = languages.map_err(|error| format!("{vocabulary}: {error}"))?;
        let created = weights.written.duration_since(UNIX_EPOCH);
        Ok(Some(Arc::new(StoredModel {
            size_bytes: files.values().map(|file| file.bytes).sum(),
            created: created.unwrap_or_default().as_secs(),
            languages,
            id: id.clone(),
            dir: dir.clone(),
            shape,
            place: place.clone(),
            files,
        })))
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            bytes: file.len(),
            written: file.modified().ok()?,
        })
    }
}

/// The files of a model; the weights come first, so that what is left of a broken deletion is no
/// model.
fn files() -> impl Iterator<Item = &'static str> {
    let rest = [&REQUIRED[..], &VOCABULARIES, &OPTIONAL].concat();
    std::iter::once(WEIGHTS).chain(rest)
}

/// The languages that the vocabulary has a token for; English-only ones list tokens that they were
/// never trained on.
fn languages(vocabulary: &Path, shape: &ModelShape) -> io::Result<Arc<[String]>> {
    if !shape.is_multilingual() {
        return Ok(Arc::new([Language::ENGLISH.code().to_owned()]));
    }
    let text = fs::read_to_string(vocabulary)?;
    let tokens: Vec<String> = if vocabulary.extension().is_some_and(|kind| kind == "json") {
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

/// Names and paths of a folder's entries, without hidden ones; none where it is no folder, or may not
/// be read.
fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten(),
        Err(error) if is_of_the_folder(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let entries = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'));
    Ok(entries.collect())
}

/// Whether a folder cannot be read for a reason of its own, and not of the process or the disk.
fn is_of_the_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// The branches and tags of a repository, whose names may have slashes, and their commits. No link
/// is followed, as it may lead back or out of the repository.
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
