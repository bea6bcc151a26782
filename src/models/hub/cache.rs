//! The cache's layout on disk, identical to that of `huggingface_hub`: both find each other's downloads
//! and use the same locks.
//!
//! ```text
//! models--owner--name/blobs/<etag>                the contents; `.incomplete` during the download
//! models--owner--name/snapshots/<commit>/<file>   links to them
//! models--owner--name/refs/<revision>             the commit of a branch or tag
//! .locks/models--owner--name/<etag>.lock          held by the process that downloads the blob
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::HubError;
use super::listing::{Listing, RemoteFile, is_hash};

/// Disk space kept free in addition to the download, in bytes: for links, refs and other programs.
const RESERVE: u64 = 64 << 20;
/// Interval at which a lock held by another process is tried. A blocking wait could not be cancelled
/// when the server stops.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The folders of one repository in the cache.
#[derive(Clone, Debug)]
pub(super) struct CachedRepository {
    cache: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
}

impl CachedRepository {
    /// The folders of `owner/name`, or of `name` without an owner.
    pub fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self {
            cache: cache.to_owned(),
            folder: cache.join(&name),
            locks: cache.join(".locks").join(&name),
        }
    }

    /// Path of the complete contents.
    pub fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.folder.join("blobs").join(file.etag())
    }

    /// Path of the contents during the download.
    pub fn partial(&self, file: &RemoteFile) -> PathBuf {
        let name = format!("{}.incomplete", file.etag());
        self.folder.join("blobs").join(name)
    }

    /// Whether the file has been downloaded completely. Reads the disk.
    pub fn is_complete(&self, file: &RemoteFile) -> bool {
        fs::metadata(self.blob(file)).is_ok_and(|blob| blob.is_file() && blob.len() == file.size)
    }

    /// As [`is_complete`](Self::is_complete); if so, removes the partial file of an earlier download.
    /// The caller must hold the file's lock.
    pub fn clean_up_if_complete(&self, file: &RemoteFile) -> Result<bool, HubError> {
        if !self.is_complete(file) {
            return Ok(false);
        }
        let partial = self.partial(file);
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HubError::io(&partial)(error))
            }
            _ => Ok(true),
        }
    }

    /// Bytes of the file that are on disk. Reads the disk.
    pub fn bytes_of(&self, file: &RemoteFile) -> u64 {
        if self.is_complete(file) {
            return file.size;
        }
        let partial = fs::metadata(self.partial(file)).map_or(0, |partial| partial.len());
        // A longer one is restarted.
        if partial > file.size { 0 } else { partial }
    }

    /// Creates the folders. Writes to the disk.
    pub fn prepare(&self) -> Result<(), HubError> {
        for folder in [&self.folder.join("blobs"), &self.locks] {
            fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        Ok(())
    }

    /// Fails if the disk has too little space for `missing` bytes. Reads the disk.
    pub fn check_space(&self, missing: u64) -> Result<(), HubError> {
        let disk = rustix::fs::statvfs(&self.cache);
        let disk = disk.map_err(|error| HubError::io(&self.cache)(error.into()))?;
        check_space(missing, disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Waits until no other process downloads this file; the lock is held until the returned file is
    /// closed.
    pub async fn lock(&self, file: &RemoteFile) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", file.etag()));
        let mut logged = false;
        loop {
            let lock_path = path.clone();
            if let Some(lock) = super::blocking(move || try_lock(&lock_path)).await? {
                return Ok(lock);
            }
            if !logged {
                logged = true;
                let file = file.name;
                tracing::info!(file, "waiting: another process is downloading this file");
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Makes the model visible: every blob must be complete. `model.bin` appears after all other files,
    /// and the revision's ref after the commit is complete. Writes to the disk.
    pub fn publish(&self, listing: &Listing, revision: &str) -> Result<(), HubError> {
        let snapshot = self.folder.join("snapshots").join(&listing.commit);
        fs::create_dir_all(&snapshot).map_err(HubError::io(&snapshot))?;
        // The weights come last in a listing.
        for file in &listing.files {
            let target = Path::new("../../blobs").join(file.etag());
            let link = snapshot.join(file.name);
            if fs::read_link(&link).is_ok_and(|found| found == target) {
                continue;
            }
            self.replace(&link, |path| symlink(&target, path))?;
        }
        // A commit has no ref.
        if is_hash(revision, 40) {
            return Ok(());
        }
        let ref_path = self.folder.join("refs").join(revision);
        let parent = ref_path.parent().unwrap_or(&ref_path);
        fs::create_dir_all(parent).map_err(HubError::io(parent))?;
        self.replace(&ref_path, |path| fs::write(path, &listing.commit))
    }

    /// Atomically replaces `path` with the file or link that `make` creates.
    fn replace(
        &self,
        path: &Path,
        make: impl FnMut(&Path) -> io::Result<()>,
    ) -> Result<(), HubError> {
        // Created in a folder that huggingface_hub does not scan.
        let temporary = tempfile::Builder::new().make_in(&self.folder, make);
        let temporary = temporary
            .map_err(HubError::io(&self.folder))?
            .into_temp_path();
        temporary
            .persist(path)
            .map_err(|error| HubError::io(path)(error.error))
    }
}

fn check_space(missing: u64, free: u64) -> Result<(), HubError> {
    let needed = missing.saturating_add(RESERVE);
    // A complete download never fails.
    if missing > 0 && free < needed {
        return Err(HubError::NoSpace { needed, free });
    }
    Ok(())
}

/// Takes the lock unless it is held; the same `flock` that Python's filelock takes.
fn try_lock(path: &Path) -> Result<Option<File>, HubError> {
    let io = || HubError::io(path);
    let mut open = File::options();
    open.read(true).write(true).create(true).truncate(false);
    let file = open.open(path).map_err(io())?;
    match file.try_lock() {
        // The previous holder may have removed the file; a lock on it then excludes no one.
        Ok(()) => {
            let links = file.metadata().map_err(io())?.nlink();
            Ok((links > 0).then_some(file))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems have no locks; there the digest alone protects the file.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Some(file))
        }
        Err(TryLockError::Error(error)) => Err(io()(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_downloads_larger_than_the_free_space() {
        assert!(check_space(0, 0).is_ok());
        assert!(check_space(1, RESERVE + 1).is_ok());
        let Err(HubError::NoSpace { needed, free }) = check_space(2, RESERVE + 1) else {
            panic!("there is too little space");
        };
        assert_eq!((needed, free), (RESERVE + 2, RESERVE + 1));
        assert!(check_space(u64::MAX, u64::MAX - 1).is_err());
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
