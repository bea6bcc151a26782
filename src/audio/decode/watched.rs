//! Notes where a source is being read, and ends reading that has become too costly.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

use crate::audio::effort::Effort;

/// A source that notes where its last read ended. Once too much processor time was used it cannot be read.
pub struct Watched {
    source: Box<dyn MediaSource>,
    position: u64,
    last_read: LastRead,
    effort: Effort,
}

/// The end of the last read, in bytes from the beginning of the source.
///
/// It is not the furthest one: the index of an MP4 file may stand at its end, and is read first.
#[derive(Clone, Debug, Default)]
pub struct LastRead(Arc<AtomicU64>);

impl LastRead {
    /// The end of the last read until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Watched {
    /// Watches a source from its beginning.
    pub fn new(source: Box<dyn MediaSource>, effort: Effort) -> (Self, LastRead) {
        let last_read = LastRead::default();
        let watched = Self {
            source,
            position: 0,
            last_read: last_read.clone(),
            effort,
        };
        (watched, last_read)
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.effort.is_exceeded() {
            return Err(io::Error::other("reading it takes too much processor time"));
        }
        let read = self.source.read(buffer)?;
        self.position += read as u64;
        self.last_read.0.store(self.position, Ordering::Relaxed);
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
    use std::cell::Cell;
    use std::io::Cursor;
    use std::time::Duration;

    use super::*;

    thread_local! {
        static USED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[test]
    fn the_last_read_counts_and_no_seek_does() {
        let effort = Effort::new(|| USED.get(), 100);
        let (mut watched, last_read) = Watched::new(Box::new(Cursor::new(vec![0; 100])), effort);
        let mut buffer = [0; 10];
        watched.seek(SeekFrom::Start(50)).unwrap();
        assert_eq!(last_read.get(), 0);
        watched.read_exact(&mut buffer).unwrap();
        assert_eq!(last_read.get(), 60);
        watched.seek(SeekFrom::Start(0)).unwrap();
        watched.read_exact(&mut buffer).unwrap();
        assert_eq!(last_read.get(), 10);
    }

    #[test]
    fn nothing_is_read_once_it_is_too_costly() {
        let effort = Effort::new(|| USED.get(), 100);
        let (mut watched, _) = Watched::new(Box::new(Cursor::new(vec![0; 100])), effort);
        let mut buffer = [0; 10];
        watched.read_exact(&mut buffer).unwrap();
        USED.set(Duration::from_secs(60));
        assert!(watched.read(&mut buffer).is_err());
    }
}
