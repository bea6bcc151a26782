//! Notes how far a source has been read.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

/// A source that notes the furthest byte that was read.
pub struct Watched {
    source: Box<dyn MediaSource>,
    position: u64,
    furthest: Furthest,
}

/// The end of what was read, in bytes from the beginning of the source.
#[derive(Clone, Debug, Default)]
pub struct Furthest(Arc<AtomicU64>);

impl Furthest {
    /// The end of what was read until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Watched {
    /// Watches a source from its beginning.
    pub fn new(source: Box<dyn MediaSource>) -> (Self, Furthest) {
        let furthest = Furthest::default();
        let watched = Self {
            source,
            position: 0,
            furthest: furthest.clone(),
        };
        (watched, furthest)
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.position += read as u64;
        self.furthest.0.fetch_max(self.position, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}

impl MediaSource for Watched {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_furthest_byte_is_kept_when_the_source_is_rewound() {
        let (mut watched, furthest) = Watched::new(Box::new(Cursor::new(vec![0; 100])));
        let mut buffer = [0; 10];
        watched.seek(SeekFrom::Start(50)).unwrap();
        watched.read_exact(&mut buffer).unwrap();
        watched.seek(SeekFrom::Start(0)).unwrap();
        watched.read_exact(&mut buffer).unwrap();
        assert_eq!(furthest.get(), 60);
    }
}
