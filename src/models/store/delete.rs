//! Deletes exactly a model's files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ModelLocation, Store, StoredModel, StoredSpeakerModel, refs};
use crate::models::files;

/// Why some or all of a model's files could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system did not remove a file.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// They are behind a link that does not belong to this model alone.
    #[error("{} is or leads through a link, and files behind it are not removed", path.display())]
    BehindLink {
        /// The link, or the folder behind it.
        path: PathBuf,
    },
}

impl StoreError {
    pub(in crate::models) fn new(path: &Path, source: io::Error) -> Self {
        Self::Remove {
            path: path.to_owned(),
            source,
        }
    }

    fn behind_link(path: &Path) -> Self {
        Self::BehindLink {
            path: path.to_owned(),
        }
    }
}

impl Store {
    /// Deletes a model's files. Other files in its folder, files shared with another revision and the
    /// targets of links are kept: of a folder that is a link, only the link is removed.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be removed (the remaining files are not a model), or when the
    /// files are behind a link to more than this model (nothing is removed).
    pub fn delete(&self, model: &StoredModel) -> Result<(), StoreError> {
        let names: Vec<_> = files::names().collect();
        delete_files(&model.dir, model.id.owner(), &model.location, &names)
    }

    /// Deletes the networks of speaker diarization, as [`delete`](Self::delete) does a model.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub fn delete_speaker_model(&self, model: &StoredSpeakerModel) -> Result<(), StoreError> {
        let (owner, names) = (model.id.owner(), &files::SPEAKER_FILES);
        delete_files(&model.dir, owner, &model.location, names)
    }
}

fn delete_files(
    folder: &Path,
    owner: Option<&str>,
    location: &ModelLocation,
    names: &[&str],
) -> Result<(), StoreError> {
    match location {
        ModelLocation::Folder => {
            let parent = folder.parent();
            delete_folder(folder, parent.filter(|_| owner.is_some()), names)
        }
        ModelLocation::Cache(repository) => delete_snapshot(repository, folder, names),
    }
}

/// `owner` is the folder of all models of the owner, if the name has one.
fn delete_folder(folder: &Path, owner: Option<&Path>, names: &[&str]) -> Result<(), StoreError> {
    if let Some(owner) = owner.filter(|owner| owner.is_symlink()) {
        return Err(StoreError::behind_link(owner));
    }
    if folder.is_symlink() {
        remove(folder)?;
    } else {
        for file in names {
            remove(&folder.join(file))?;
        }
        remove_empty(folder);
    }
    owner.into_iter().for_each(remove_empty);
    Ok(())
}

fn delete_snapshot(repository: &Path, snapshot: &Path, names: &[&str]) -> Result<(), StoreError> {
    let canonical = |path: &Path| fs::canonicalize(path).map_err(|e| StoreError::new(path, e));
    let canonical_repository = canonical(repository)?;
    if !canonical(snapshot)?.starts_with(&canonical_repository) {
        return Err(StoreError::behind_link(snapshot));
    }
    let blobs = canonical_repository.join("blobs");
    let links: Vec<_> = names.iter().map(|file| snapshot.join(file)).collect();
    // Removes nothing until all links are known: an unreadable folder may link to the same blobs.
    let others = linked_blobs(&repository.join("snapshots"), &links, &blobs)?;
    for link in &links {
        let blob = linked_blob(link, &blobs);
        remove(link)?;
        if let Some(blob) = blob.filter(|blob| !others.contains(blob)) {
            remove(&blob)?;
        }
    }
    remove_empty(snapshot);
    if !snapshot.exists() {
        let commit = snapshot.file_name().unwrap_or_default();
        for (name, target) in
            refs(repository).map_err(|error| StoreError::new(repository, error))?
        {
            if *commit == *target {
                let path = repository.join("refs").join(name);
                remove(&path)?;
                let folders = path.ancestors().skip(1);
                folders
                    .take_while(|folder| *folder != repository)
                    .for_each(remove_empty);
            }
        }
    }
    for folder in ["snapshots", "blobs", "refs"] {
        remove_empty(&repository.join(folder));
    }
    remove_empty(repository);
    Ok(())
}

/// The blobs that links anywhere below a folder point to, except the links in `except`.
fn linked_blobs(
    folder: &Path,
    except: &[PathBuf],
    blobs: &Path,
) -> Result<BTreeSet<PathBuf>, StoreError> {
    let mut linked = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| StoreError::new(&folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if !except.contains(&path) {
                linked.extend(linked_blob(&path, blobs));
            }
        }
    }
    Ok(linked)
}

/// The blob that a link points to; none for anything else, in particular for files outside `blobs`.
fn linked_blob(link: &Path, blobs: &Path) -> Option<PathBuf> {
    if !link.is_symlink() {
        return None;
    }
    let target = fs::canonicalize(link).ok()?;
    (target.parent()? == blobs).then_some(target)
}

/// Removes a file or a link, if it exists.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::new(path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder if it is empty; a link to one is kept.
fn remove_empty(folder: &Path) {
    let _others_stay = fs::remove_dir(folder);
}
