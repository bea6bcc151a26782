//! The cache's layout on disk, which is that of `huggingface_hub`: what either of us has fetched the
//! other finds, and both heed the same locks.
//!
//! ```text
//! models--owner--name/blobs/<etag>                the contents; `.incomplete` while on their way
//! models--owner--name/snapshots/<commit>/<file>   links to them
//! models--owner--name/refs/<revision>             the commit that a branch or tag stands for
//! .locks/models--owner--name/<etag>.lock          held by whoever fetches that blob
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::HubError;
use super::listing::{Listing, RemoteFile, is_hash};

/// Stays free beside what is fetched, in bytes: links, refs, and whoever else writes there.
const RESERVE: u64 = 64 << 20;
/// How often a lock that another process holds is tried. Waiting for it in the system instead
/// could not be broken off when the server stops.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// One repository's part of the cache.
#[derive(Clone, Debug)]
pub(super) struct CachedRepository {
    cache: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
}

impl CachedRepository {
    /// The part of `owner/name`, or of `name` where it has no owner.
    pub fn new(cache: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self {
            cache: cache.to_owned(),
            folder: cache.join(&name),
            locks: cache.join(".locks").join(&name),
        }
    }

    /// Where the whole contents are.
    pub fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.folder.join("blobs").join(file.etag())
    }

    /// Where the contents are while they are on their way.
    pub fn partial(&self, file: &RemoteFile) -> PathBuf {
        let name = format!("{}.incomplete", file.etag());
        self.folder.join("blobs").join(name)
    }

    /// Whether the file has been fetched. Reads the disk.
    pub fn is_whole(&self, file: &RemoteFile) -> bool {
        fs::metadata(self.blob(file)).is_ok_and(|blob| blob.is_file() && blob.len() == file.size)
    }

    /// As [`is_whole`](Self::is_whole); what an earlier download left of it is of no use then, and
    /// is removed. Only for who holds the file's lock.
    pub fn settle(&self, file: &RemoteFile) -> Result<bool, HubError> {
        if !self.is_whole(file) {
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

    /// How much of the file is there, in bytes. Reads the disk.
    pub fn has(&self, file: &RemoteFile) -> u64 {
        if self.is_whole(file) {
            return file.size;
        }
        let partial = fs::metadata(self.partial(file)).map_or(0, |partial| partial.len());
        // Longer ones are begun anew.
        if partial > file.size { 0 } else { partial }
    }

    /// Makes the folders. Writes to the disk.
    pub fn prepare(&self) -> Result<(), HubError> {
        for folder in [&self.folder.join("blobs"), &self.locks] {
            fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        Ok(())
    }

    /// Refuses what the disk has no room for. Reads the disk.
    pub fn check_space(&self, missing: u64) -> Result<(), HubError> {
        let disk = rustix::fs::statvfs(&self.cache);
        let disk = disk.map_err(|error| HubError::io(&self.cache)(error.into()))?;
        check_space(missing, disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Waits until no other download of this file is under way; the lock is held until the file
    /// returned is closed.
    pub async fn lock(&self, file: &RemoteFile) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", file.etag()));
        let mut told = false;
        loop {
            let tried = path.clone();
            if let Some(lock) = super::blocking(move || try_lock(&tried)).await? {
                return Ok(lock);
            }
            if !told {
                told = true;
                let file = file.name;
                tracing::info!(file, "somebody else is downloading this file, waiting");
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// Makes the model visible: every blob must be whole. Whoever looks for `model.bin` finds it
    /// when all else is there, and whoever asks for the revision finds the commit when it is
    /// whole. Writes to the disk.
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
        // A commit stands for itself.
        if is_hash(revision, 40) {
            return Ok(());
        }
        let named = self.folder.join("refs").join(revision);
        let parent = named.parent().unwrap_or(&named);
        fs::create_dir_all(parent).map_err(HubError::io(parent))?;
        self.replace(&named, |path| fs::write(path, &listing.commit))
    }

    /// Puts what `make` makes in the place of whatever is at `path`, in one step.
    fn replace(
        &self,
        path: &Path,
        make: impl FnMut(&Path) -> io::Result<()>,
    ) -> Result<(), HubError> {
        // Made where huggingface_hub looks for nothing.
        let made = tempfile::Builder::new().make_in(&self.folder, make);
        let made = made.map_err(HubError::io(&self.folder))?.into_temp_path();
        made.persist(path)
            .map_err(|error| HubError::io(path)(error.error))
    }
}

fn check_space(missing: u64, free: u64) -> Result<(), HubError> {
    let needed = missing.saturating_add(RESERVE);
    // Nothing is refused that is here already.
    if missing > 0 && free < needed {
        return Err(HubError::NoSpace { needed, free });
    }
    Ok(())
}

/// Takes the lock unless somebody holds it; the same `flock` that Python's filelock takes.
fn try_lock(path: &Path) -> Result<Option<File>, HubError> {
    let io = || HubError::io(path);
    let mut open = File::options();
    open.read(true).write(true).create(true).truncate(false);
    let file = open.open(path).map_err(io())?;
    match file.try_lock() {
        // Whoever held it before may have removed the file: then it locks nobody else out.
        Ok(()) => {
            let links = file.metadata().map_err(io())?.nlink();
            Ok((links > 0).then_some(file))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some network file systems have no locks; there the hash alone must do.
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
    fn refuses_what_the_disk_has_no_room_for() {
        assert!(check_space(0, 0).is_ok());
        assert!(check_space(1, RESERVE + 1).is_ok());
        let Err(HubError::NoSpace { needed, free }) = check_space(2, RESERVE + 1) else {
            panic!("there is no room");
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
