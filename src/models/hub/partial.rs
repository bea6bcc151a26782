//! A file on its way into the cache: written and hashed as its bytes come.
//!
//! Reading, writing and hashing happen on tokio's blocking threads, one piece of a few hundred
//! kibibytes at a time: large enough that the hand-over costs nothing, small enough that little is
//! lost when the download is broken off. The network's own buffers fill meanwhile.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::blocking;
use super::digest::Digest;
use super::error::HubError;
use super::listing::RemoteFile;

/// How much of a file found on disk is read at once, in bytes.
const READ: usize = 1 << 20;

/// A file on its way.
pub(super) struct PartialFile {
    inner: Arc<Mutex<Inner>>,
    len: u64,
    joined: bool,
}

struct Inner {
    path: PathBuf,
    file: File,
    expected: RemoteFile,
    digest: Digest,
    /// Held here, so that nobody else writes while a last piece is still being written after the
    /// download was broken off.
    _lock: File,
}

impl PartialFile {
    /// Goes on with what is at `path`, which is hashed first; with nothing where it is longer than
    /// it may be.
    pub async fn open(path: PathBuf, lock: File, expected: RemoteFile) -> Result<Self, HubError> {
        let (inner, len) = blocking(move || Inner::open(path, lock, expected)).await?;
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            len,
            joined: false,
        })
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it was put together from several answers, so that an earlier part may be what is
    /// wrong with it.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Another answer begins; returns where it has to.
    pub fn go_on(&mut self) -> u64 {
        self.joined |= self.len > 0;
        self.len
    }

    /// Adds bytes at the end.
    pub async fn append(&mut self, bytes: Vec<u8>) -> Result<(), HubError> {
        let added = bytes.len() as u64;
        self.on_disk(move |inner| inner.append(&bytes)).await?;
        self.len += added;
        Ok(())
    }

    /// Begins anew.
    pub async fn restart(&mut self) -> Result<(), HubError> {
        self.on_disk(Inner::restart).await?;
        self.len = 0;
        self.joined = false;
        Ok(())
    }

    /// Compares the contents with what the hub lists.
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

    /// Gives the whole file its place.
    pub async fn finish(self, place: PathBuf) -> Result<(), HubError> {
        self.on_disk(move |inner| {
            // On disk before it has its name: after a power cut half a model must not look whole.
            inner.file.sync_all().map_err(HubError::io(&inner.path))?;
            fs::rename(&inner.path, &place).map_err(HubError::io(&place))
        })
        .await
    }

    /// Removes it.
    pub async fn discard(self) -> Result<(), HubError> {
        self.on_disk(|inner| fs::remove_file(&inner.path).map_err(HubError::io(&inner.path)))
            .await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, HubError> + Send + 'static,
    ) -> Result<T, HubError> {
        let inner = Arc::clone(&self.inner);
        // Nobody else uses it meanwhile; a panic in here ends the download.
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

    /// Hashes what is there and stops at its end.
    fn hash(&mut self) -> std::io::Result<u64> {
        let mut piece = vec![0; READ];
        let mut hashed = 0;
        loop {
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return Ok(hashed);
            }
            self.digest.update(&piece[..read]);
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
    async fn goes_on_with_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut partial = open(folder.path()).await;
        assert_eq!(partial.go_on(), 0);
        partial.append(b"hello ".to_vec()).await.unwrap();
        assert!(!partial.is_joined());
        drop(partial);

        let mut partial = open(folder.path()).await;
        assert_eq!(partial.go_on(), 6);
        assert!(partial.is_joined());
        assert!(partial.check().await.is_err());
        partial.append(b"world".to_vec()).await.unwrap();
        partial.check().await.unwrap();
        let place = folder.path().join("whole");
        partial.finish(place.clone()).await.unwrap();
        assert_eq!(fs::read(place).unwrap(), b"hello world");
    }

    #[tokio::test]
    async fn begins_anew_where_there_is_too_much() {
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
