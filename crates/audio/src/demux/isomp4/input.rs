//! Reads a file at given positions, within its length.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::errors::Result;
use symphonia::core::io::{
    MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadBytes, SeekBuffered,
};

/// Size of the stream's buffer: jumps within it need no read.
const NEAR_BYTES: u64 = 32 * 1024;

/// Maximum memory allocated for a read in advance.
const MAX_CAPACITY_BYTES: u64 = 64 * 1024;

/// A file of known or unknown length.
pub struct Mp4Input {
    stream: MediaSourceStream<'static>,
    length: u64,
}

impl Mp4Input {
    /// Wraps a seekable file.
    pub fn new(file: Box<dyn MediaSource>) -> Self {
        let length = file.byte_len().unwrap_or(u64::MAX);
        let stream = MediaSourceStream::new(file, MediaSourceStreamOptions::default());
        Self { stream, length }
    }

    /// The length in bytes; [`u64::MAX`] if unknown.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the file.
    pub fn into_source(self) -> Box<dyn MediaSource> {
        Box::new(self.stream)
    }

    /// Reads `bytes` bytes at `position`, or fewer at the end of the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn read_at(&mut self, position: u64, bytes: u64) -> Result<Vec<u8>> {
        let available = self.length.saturating_sub(position).min(bytes);
        if available == 0 {
            return Ok(Vec::new());
        }
        self.go_to(position)?;
        let capacity = usize::try_from(available.min(MAX_CAPACITY_BYTES)).unwrap_or(0);
        let mut content = Vec::with_capacity(capacity);
        (&mut self.stream)
            .take(available)
            .read_to_end(&mut content)?;
        Ok(content)
    }

    /// Reads the `N` bytes at `position`; `None` if fewer are left.
    ///
    /// # Errors
    /// Those of the file.
    pub fn read_array<const N: usize>(&mut self, position: u64) -> Result<Option<[u8; N]>> {
        let end = position.checked_add(N as u64);
        if end.is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        self.go_to(position)?;
        let mut array = [0; N];
        match self.stream.read_exact(&mut array) {
            Ok(()) => Ok(Some(array)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn go_to(&mut self, position: u64) -> Result<()> {
        if position.abs_diff(self.stream.pos()) <= NEAR_BYTES {
            self.stream.seek_buffered(position);
        }
        if self.stream.pos() != position {
            self.stream.seek(SeekFrom::Start(position))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn reads_up_to_the_end_of_the_file() {
        let mut input = Mp4Input::new(Box::new(Cursor::new(b"0123456789".to_vec())));
        assert_eq!(input.read_at(4, 3).unwrap(), b"456");
        assert_eq!(input.read_at(8, u64::MAX).unwrap(), b"89");
        assert_eq!(input.read_at(1, 2).unwrap(), b"12");
        assert_eq!(input.read_at(u64::MAX, 2).unwrap(), b"");
        assert_eq!(input.read_array(8).unwrap(), Some(*b"89"));
        assert_eq!(input.read_array::<3>(8).unwrap(), None);
        assert_eq!(input.read_array::<3>(u64::MAX - 1).unwrap(), None);
    }

    #[test]
    fn reads_any_position_repeatedly() {
        let bytes: Vec<u8> = (0..300_000u32).map(|byte| byte as u8).collect();
        let mut input = Mp4Input::new(Box::new(Cursor::new(bytes.clone())));
        for position in [299_000, 5, 40_000, 39_990, 200_000, 0] {
            let read = input.read_at(position as u64, 700).unwrap();
            assert_eq!(read, bytes[position..position + 700], "{position}");
        }
    }
}
