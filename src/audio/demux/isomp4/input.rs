//! Reads a source at given places, within the bytes that it has.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::errors::{Error, Result};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadBytes, SeekBuffered};

/// The stream keeps about this many bytes in memory: a jump within them reads nothing anew.
const NEAR_BYTES: u64 = 32 * 1024;

/// A read claims at most this much memory before the bytes are there.
const MAX_CLAIM_BYTES: u64 = 64 * 1024;

/// A source of known or unknown length.
pub struct Input {
    stream: MediaSourceStream<'static>,
    length: u64,
}

impl Input {
    /// Reads from this stream.
    pub fn new(stream: MediaSourceStream<'static>) -> Self {
        let length = stream.byte_len().unwrap_or(u64::MAX);
        Self { stream, length }
    }

    /// The length in bytes; [`u64::MAX`] where it is not known.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether every place can be read again.
    pub fn is_seekable(&self) -> bool {
        self.stream.is_seekable()
    }

    /// The stream itself.
    pub fn into_stream(self) -> MediaSourceStream<'static> {
        self.stream
    }

    /// The bytes at `position`: as many as `bytes`, or fewer where the source ends.
    ///
    /// # Errors
    /// Those of the source, and [`Error::Unsupported`] where it would have to go back and cannot.
    pub fn read_at(&mut self, position: u64, bytes: u64) -> Result<Vec<u8>> {
        let available = self.length.saturating_sub(position).min(bytes);
        if available == 0 || !self.go_to(position)? {
            return Ok(Vec::new());
        }
        let claim = usize::try_from(available.min(MAX_CLAIM_BYTES)).unwrap_or(0);
        let mut content = Vec::with_capacity(claim);
        (&mut self.stream)
            .take(available)
            .read_to_end(&mut content)?;
        Ok(content)
    }

    /// The `N` bytes at `position`; none where the source ends before.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn read_array<const N: usize>(&mut self, position: u64) -> Result<Option<[u8; N]>> {
        let end = position.checked_add(N as u64);
        if end.is_none_or(|end| end > self.length) || !self.go_to(position)? {
            return Ok(None);
        }
        let mut array = [0; N];
        match self.stream.read_exact(&mut array) {
            Ok(()) => Ok(Some(array)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes to a place; says no where the source ends before.
    fn go_to(&mut self, position: u64) -> Result<bool> {
        let distance = position.abs_diff(self.stream.pos());
        if distance <= NEAR_BYTES {
            self.stream.seek_buffered(position);
        }
        let at = self.stream.pos();
        if at == position {
            return Ok(true);
        }
        if self.stream.is_seekable() {
            self.stream.seek(SeekFrom::Start(position))?;
            return Ok(true);
        }
        match position.checked_sub(at) {
            Some(ahead) => is_there(self.stream.ignore_bytes(ahead)),
            None => Err(Error::Unsupported(
                "isomp4: content out of order in a source that cannot seek",
            )),
        }
    }
}

fn is_there(result: io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use symphonia::core::io::{MediaSourceStreamOptions, ReadOnlySource};

    use super::*;

    fn input(source: Box<dyn MediaSource>) -> Input {
        Input::new(MediaSourceStream::new(
            source,
            MediaSourceStreamOptions::default(),
        ))
    }

    #[test]
    fn reads_what_is_there_and_no_more() {
        let mut input = input(Box::new(Cursor::new(b"0123456789".to_vec())));
        assert_eq!(input.read_at(4, 3).unwrap(), b"456");
        assert_eq!(input.read_at(8, u64::MAX).unwrap(), b"89");
        assert_eq!(input.read_at(1, 2).unwrap(), b"12");
        assert_eq!(input.read_at(u64::MAX, 2).unwrap(), b"");
        assert_eq!(input.read_array(8).unwrap(), Some(*b"89"));
        assert_eq!(input.read_array::<3>(8).unwrap(), None);
        assert_eq!(input.read_array::<3>(u64::MAX - 1).unwrap(), None);
    }

    #[test]
    fn goes_forward_only_where_it_cannot_seek() {
        let mut bytes = vec![0; 300_000];
        bytes.extend(b"end");
        let mut input = input(Box::new(ReadOnlySource::new(Cursor::new(bytes))));
        assert_eq!(input.read_at(300_000, 9).unwrap(), b"end");
        assert!(matches!(input.read_at(0, 1), Err(Error::Unsupported(_))));
        assert_eq!(input.read_at(u64::MAX, 1).unwrap(), b"");
    }
}
