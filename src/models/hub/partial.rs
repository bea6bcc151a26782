//! A partially downloaded file in the cache, written and hashed incrementally.
//!
//! Reading, writing and hashing run on tokio's blocking threads, in blocks of a few hundred kibibytes:
//! large enough that the hand-over cost is negligible, small enough that little is lost when the
//! download is interrupted.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::blocking;
use super::digest::Digest;
use super::error::HubError;
use super::listing::RemoteFile;

/// Block size for reading a file found on disk, in bytes.
const READ_BLOCK_BYTES: usize = 1 << 20;

/// A partially downloaded file.
pub(super) struct PartialFile {
    inner: Arc<Mutex<Inner>>,
    len: u64,
    is_joined: bool,
}

struct Inner {
    path: PathBuf,
    file: File,
    expected: RemoteFile,
    digest: Digest,
    /// Held here, so that no other process writes while a last block is still being written after the
    /// download was cancelled.
    _lock: File,
}

impl PartialFile {
    /// Opens the file at `path` to resume it, and hashes its contents; empties it if it is too long.
    pub async fn open(path: PathBuf, lock: File, expected: RemoteFile) -> Result<Self, HubError> {
        let (inner, len) = blocking(move || Inner::open(path, lock, expected)).await?;
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            len,
            is_joined: false,
        })
    }

    /// Bytes on disk.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it was joined from several responses, so that an earlier part may be the corrupt one.
    pub fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// Begins another response; returns the offset that it must start at, in bytes.
    pub fn resume_offset(&mut self) -> u64 {
        self.is_joined |= self.len > 0;
        self.len
    }

    /// Adds bytes at the end.
    pub async fn append(&mut self, bytes: Vec<u8>) -> Result<(), HubError> {
        let added = bytes.len() as u64;
        self.on_disk(move |inner| inner.append(&bytes)).await?;
        self.len += added;
        Ok(())
    }

    /// Empties the file.
    pub async fn restart(&mut self) -> Result<(), HubError> {
        self.on_disk(Inner::restart).await?;
        self.len = 0;
        self.is_joined = false;
        Ok(())
    }

    /// Compares the digest of the contents with the listed one.
    pub async fn check(&self) -> Result<(), HubError> {
        self.on_disk(|inner| {
            let found = inner.digest.hexadecimal();
            if found == inner.expected.etag() {
                return Ok(());
            }
            Err(HubError::Corrupt {
                file: inner.expected.name.to_owned(),
                problem: format!("its digest is {found}"),
            })
        })
        .await
    }

    /// Moves the complete file to `target`.
    pub async fn finish(self, target: PathBuf) -> Result<(), HubError> {
        self.on_disk(move |inner| {
            // Synced before the rename: after a power failure an incomplete model must not look complete.
            inner.file.sync_all().map_err(HubError::io(&inner.path))?;
            fs::rename(&inner.path, &target).map_err(HubError::io(&target))
        })
        .await
    }

    /// Deletes the file.
    pub async fn discard(self) -> Result<(), HubError> {
        self.on_disk(|inner| fs::remove_file(&inner.path).map_err(HubError::io(&inner.path)))
            .await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, HubError> + Send + 'static,
    ) -> Result<T, HubError> {
        let inner = Arc::clone(&self.inner);
        // Uncontended; a panic in here ends the download.
        blocking(move || work(&mut inner.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl Inner {
    fn open(path: PathBuf, lock: File, expected: RemoteFile) -> Result<(Self, u64), HubError> {
        let mut open = File::options();
        open.read(true).write(true).create(true).truncate(false);
        let file = open.open(&path).map_err(HubError::io(&path))?;
        let mut inner = Self {
            path,
            file,
            digest: Digest::new(&expected),
            expected,
            _lock: lock,
        };
        let found = inner.file.metadata().map_err(inner.io())?.len();
        if found > inner.expected.size {
            inner.restart()?;
            return Ok((inner, 0));
        }
        let hashed = inner.hash().map_err(inner.io())?;
        Ok((inner, hashed))
    }

    /// Hashes the contents up to their end; returns their length.
    fn hash(&mut self) -> std::io::Result<u64> {
        let mut block = vec![0; READ_BLOCK_BYTES];
        let mut hashed = 0;
        loop {
            let read = self.file.read(&mut block)?;
            if read == 0 {
                return Ok(hashed);
            }
            self.digest.update(&block[..read]);
            hashed += read as u64;
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(self.io())?;
        self.digest.update(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(self.io())?;
        self.file.seek(SeekFrom::Start(0)).map_err(self.io())?;
        self.digest = Digest::new(&self.expected);
        Ok(())
    }

    fn io(&self) -> impl FnOnce(std::io::Error) -> HubError + use<> {
        HubError::io(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::listing::Object;
    use super::*;

    fn hello() -> RemoteFile {
        let sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        RemoteFile {
            name: "model.bin",
            size: 11,
            object: Object::Large(sha256.to_owned()),
        }
    }

    async fn open(folder: &Path) -> PartialFile {
        let lock = File::create(folder.join("lock")).unwrap();
        PartialFile::open(folder.join("part"), lock, hello())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn resumes_a_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path()).await;
        assert_eq!(partial.resume_offset(), 0);
        partial.append(b"hello ".to_vec()).await.unwrap();
        assert!(!partial.is_joined());
        drop(partial);

        let mut partial = open(folder.path()).await;
        assert_eq!(partial.resume_offset(), 6);
        assert!(partial.is_joined());
        assert!(partial.check().await.is_err());
        partial.append(b"world".to_vec()).await.unwrap();
        partial.check().await.unwrap();
        let target = folder.path().join("complete");
        partial.finish(target.clone()).await.unwrap();
        assert_eq!(fs::read(target).unwrap(), b"hello world");
    }

    #[tokio::test]
    async fn restarts_a_partial_file_that_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("part"), b"hello world and more").unwrap();
        let mut partial = open(folder.path()).await;
        assert_eq!(partial.len(), 0);
        partial.append(b"hello world".to_vec()).await.unwrap();
        partial.check().await.unwrap();
        partial.discard().await.unwrap();
        assert!(!folder.path().join("part").exists());
    }
}
