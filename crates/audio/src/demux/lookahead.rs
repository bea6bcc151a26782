//! Reads a file sequentially with lookahead.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// Minimum size of a read, to save system calls.
const CHUNK_BYTES: usize = 32 * 1024;

/// A file, the current position in it, and a buffer of the bytes from there on.
///
/// The buffer never exceeds what the file really contains.
pub struct Lookahead {
    file: Box<dyn MediaSource>,
    /// The byte at `position` is at index `start`.
    buffer: Vec<u8>,
    start: usize,
    position: u64,
    is_at_end: bool,
}

impl Lookahead {
    /// Reads a seekable file from its beginning.
    ///
    /// # Errors
    /// Those of the file.
    pub fn new(mut file: Box<dyn MediaSource>) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            file,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            is_at_end: false,
        })
    }

    /// The current position in the file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The length of the file, if known.
    pub fn file_bytes(&self) -> Option<u64> {
        self.file.byte_len()
    }

    /// The next bytes: at least `count`, or fewer at the end of the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < count && !self.is_at_end {
            self.buffer.drain(..self.start);
            self.start = 0;
            let missing = count - self.buffer.len();
            let read = self
                .file
                .by_ref()
                .take(missing.max(CHUNK_BYTES) as u64)
                .read_to_end(&mut self.buffer)?;
            self.is_at_end = read < missing;
        }
        Ok(&self.buffer[self.start..])
    }

    /// Consumes the next `count` bytes; `None` if fewer are left.
    ///
    /// # Errors
    /// Those of the file.
    pub fn take(&mut self, count: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(bytes) = self.peek(count)?.get(..count) else {
            return Ok(None);
        };
        let bytes = bytes.to_vec();
        self.skip(count as u64)?;
        Ok(Some(bytes))
    }

    /// Skips bytes, at most to the end.
    ///
    /// # Errors
    /// Those of the file.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let buffered = (self.buffer.len() - self.start) as u64;
        if bytes <= buffered {
            self.start += bytes as usize;
            self.position += bytes;
            return Ok(());
        }
        let target = self
            .position
            .checked_add(bytes)
            .ok_or(ErrorKind::InvalidInput)?;
        self.seek(target)
    }

    /// Moves to a position in the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        // The length may be unknown.
        let position = position.min(self.file_bytes().unwrap_or(position));
        // Short jumps stay within the buffer.
        let buffered_from = self.position - self.start as u64;
        if let Some(offset) = position.checked_sub(buffered_from)
            && offset <= self.buffer.len() as u64
        {
            self.start = offset as usize;
            self.position = position;
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(position))?;
        self.buffer.clear();
        self.start = 0;
        self.position = position;
        self.is_at_end = false;
        Ok(())
    }

    /// Returns the file, at its beginning.
    pub fn into_file(mut self) -> Box<dyn MediaSource> {
        // The next read reports a failure.
        let _ = self.file.rewind();
        self.file
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn lookahead(bytes: usize) -> Lookahead {
        let file: Vec<u8> = (0..bytes).map(|index| index as u8).collect();
        Lookahead::new(Box::new(Cursor::new(file))).unwrap()
    }

    #[test]
    fn peeks_without_moving_and_skips_beyond_the_buffer() {
        let mut bytes = lookahead(200_000);
        assert_eq!(bytes.peek(3).unwrap()[..3], [0, 1, 2]);
        assert!(bytes.peek(100_000).unwrap().len() >= 100_000);
        bytes.skip(5).unwrap();
        assert_eq!(bytes.take(2).unwrap(), Some(vec![5, 6]));
        bytes.skip(150_000).unwrap();
        assert_eq!(bytes.position(), 150_007);
        assert_eq!(bytes.peek(1).unwrap()[0], (150_007 % 256) as u8);
    }

    #[test]
    fn returns_the_remaining_bytes_at_the_end() {
        let mut bytes = lookahead(10);
        bytes.skip(8).unwrap();
        assert_eq!(bytes.peek(100).unwrap(), [8, 9]);
        assert_eq!(bytes.take(3).unwrap(), None);
        bytes.skip(1_000).unwrap();
        assert_eq!(bytes.position(), 10);
        assert!(bytes.peek(1).unwrap().is_empty());
        bytes.seek(4).unwrap();
        assert_eq!(bytes.peek(1).unwrap()[0], 4);
    }

    #[test]
    fn seeks_within_and_outside_the_buffer() {
        let mut bytes = lookahead(200_000);
        bytes.skip(40_000).unwrap();
        bytes.peek(10).unwrap();
        for position in [
            40_005, 40_001, 39_999, 3, 150_000, 150_100, 149_990, 200_000,
        ] {
            bytes.seek(position).unwrap();
            assert_eq!(bytes.position(), position);
            let next = bytes.peek(1).unwrap().first().copied();
            assert_eq!(next, (position < 200_000).then_some(position as u8));
        }
    }
}
