//! The deletion of exactly a model's files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ModelLocation, Store, StoredModel, files, refs};

/// Why a model's files are still there, or some of them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system does not remove a file.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// They lie elsewhere, behind a link that is not this model's alone.
    #[error("{} is or leads through a link, and what lies behind it is not removed", path.display())]
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
    /// Deletes a model's files. Others in its folder stay, and so do files that another revision
    /// has too, and whatever a link leads to: of a folder that is a link, the link is removed.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be removed, what is left is then no model; or where the files
    /// lie behind a link to more than this model, nothing is removed then.
    pub fn delete(&self, model: &StoredModel) -> Result<(), StoreError> {
        match &model.place {
            ModelLocation::Folder => {
                let owner = model.dir.parent();
                delete_folder(&model.dir, owner.filter(|_| model.id.owner().is_some()))
            }
            ModelLocation::Cache(repository) => delete_snapshot(repository, &model.dir),
        }
    }
}

/// `owner` is the folder of all models of an owner, where the name has one.
fn delete_folder(folder: &Path, owner: Option<&Path>) -> Result<(), StoreError> {
    if let Some(owner) = owner.filter(|owner| owner.is_symlink()) {
        return Err(StoreError::behind_link(owner));
    }
    if folder.is_symlink() {
        remove(folder)?;
    } else {
        for file in files() {
            remove(&folder.join(file))?;
        }
        remove_empty(folder);
    }
    owner.into_iter().for_each(remove_empty);
    Ok(())
}

fn delete_snapshot(repository: &Path, snapshot: &Path) -> Result<(), StoreError> {
    let canonical = |path: &Path| fs::canonicalize(path).map_err(|e| StoreError::new(path, e));
    let inside = canonical(repository)?;
    if !canonical(snapshot)?.starts_with(&inside) {
        return Err(StoreError::behind_link(snapshot));
    }
    let blobs = inside.join("blobs");
    let links: Vec<_> = files().map(|file| snapshot.join(file)).collect();
    // What cannot be read may have links too, so nothing is removed before all is known.
    let others = linked(&repository.join("snapshots"), &links, &blobs)?;
    for link in &links {
        let blob = blob(link, &blobs);
        remove(link)?;
        if let Some(blob) = blob.filter(|blob| !others.contains(blob)) {
            remove(&blob)?;
        }
    }
    remove_empty(snapshot);
    if !snapshot.exists() {
        let commit = snapshot.file_name().unwrap_or_default();
        for (name, at) in refs(repository).map_err(|error| StoreError::new(repository, error))? {
            if *commit == *at {
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

/// The blobs that links below a folder lead to, however deep, without the links in `except`.
fn linked(
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
                linked.extend(blob(&path, blobs));
            }
        }
    }
    Ok(linked)
}

/// The blob a link leads to; none for anything else, above all for what lies elsewhere.
fn blob(link: &Path, blobs: &Path) -> Option<PathBuf> {
    if !link.is_symlink() {
        return None;
    }
    let target = fs::canonicalize(link).ok()?;
    (target.parent()? == blobs).then_some(target)
}

/// Removes a file or a link, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::new(path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder if nothing is in it; a link to one stays.
fn remove_empty(folder: &Path) {
    let _others_stay = fs::remove_dir(folder);
}
