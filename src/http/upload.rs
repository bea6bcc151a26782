//! Keeps an upload: a small one in memory, a large one in a temporary file.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use halkspeech_audio::Source;

/// Bytes buffered before a write; each write switches to another thread.
const WRITE_BYTES: usize = 256 * 1024;

/// The bytes of an upload received so far.
pub struct Upload {
    memory_limit: u64,
    store: Store,
}

enum Store {
    Memory(BytesMut),
    /// An unlinked file, which is deleted when it is closed.
    File(BufWriter<File>),
}

impl Upload {
    /// An empty upload that stays in memory up to `memory_limit` bytes; `expected` is the length
    /// in bytes, if it is known.
    pub fn new(memory_limit: u64, expected: Option<u64>) -> Self {
        // One allocation of the announced length: growing would copy, and hold two buffers.
        let capacity = expected.filter(|&bytes| bytes <= memory_limit).unwrap_or(0);
        let capacity = usize::try_from(capacity).unwrap_or(0);
        Self {
            memory_limit,
            store: Store::Memory(BytesMut::with_capacity(capacity)),
        }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub async fn push(&mut self, chunk: &Bytes) -> io::Result<()> {
        if let Store::Memory(bytes) = &mut self.store {
            if (bytes.len() + chunk.len()) as u64 <= self.memory_limit {
                bytes.extend_from_slice(chunk);
                return Ok(());
            }
            let mut file = temporary_file().await?;
            file.write_all(bytes).await?;
            self.store = Store::File(file);
        }
        if let Store::File(file) = &mut self.store {
            file.write_all(chunk).await?;
        }
        Ok(())
    }

    /// The whole upload; none if it is empty.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub async fn finish(self) -> io::Result<Option<Source>> {
        match self.store {
            Store::Memory(bytes) if bytes.is_empty() => Ok(None),
            Store::Memory(bytes) => Ok(Some(Source::Memory(bytes.freeze()))),
            Store::File(mut file) => {
                file.flush().await?;
                Ok(Some(Source::File(file.into_inner().into_std().await)))
            }
        }
    }
}

async fn temporary_file() -> io::Result<BufWriter<File>> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(io::Error::other)?;
    Ok(BufWriter::with_capacity(WRITE_BYTES, File::from_std(file?)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    async fn upload(memory_limit: u64, expected: Option<u64>, chunks: &[&'static str]) -> Upload {
        let mut upload = Upload::new(memory_limit, expected);
        for chunk in chunks {
            upload
                .push(&Bytes::from_static(chunk.as_bytes()))
                .await
                .unwrap();
        }
        upload
    }

    #[tokio::test]
    async fn keeps_small_uploads_in_memory() {
        for expected in [None, Some(0), Some(6), Some(u64::MAX)] {
            let upload = upload(6, expected, &["abc", "def"]).await;
            let Some(Source::Memory(bytes)) = upload.finish().await.unwrap() else {
                panic!("not in memory");
            };
            assert_eq!(bytes, "abcdef");
        }
    }

    #[tokio::test]
    async fn writes_large_uploads_to_a_file() {
        for memory_limit in 0..6 {
            let upload = upload(memory_limit, Some(6), &["abc", "", "def"]).await;
            let Some(Source::File(mut file)) = upload.finish().await.unwrap() else {
                panic!("not in a file");
            };
            file.rewind().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "abcdef");
        }
    }

    #[tokio::test]
    async fn an_empty_upload_is_none() {
        assert!(
            upload(6, None, &[""])
                .await
                .finish()
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            upload(0, Some(3), &[])
                .await
                .finish()
                .await
                .unwrap()
                .is_none()
        );
    }
}
