//! Reads a stream by position, even if its source is not seekable.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::{
    MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadBytes, SeekBuffered,
};

/// A file with a buffer.
pub struct PcmInput {
    stream: MediaSourceStream<'static>,
    /// Length in bytes, if known and the source is seekable.
    length: Option<u64>,
}

impl PcmInput {
    /// Wraps a file at its beginning.
    pub fn new(file: Box<dyn MediaSource>) -> Self {
        let stream = MediaSourceStream::new(file, MediaSourceStreamOptions::default());
        let length = stream.byte_len().filter(|_| stream.is_seekable());
        Self { stream, length }
    }

    /// The length in bytes; `None` for a source that is not seekable.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The current position.
    pub fn position(&self) -> u64 {
        self.stream.pos()
    }

    /// Moves to a position. Moving back needs a seekable source or a position in the buffer (32 KiB).
    ///
    /// # Errors
    /// Those of the source, and [`io::ErrorKind::UnexpectedEof`] if it ends before `position`.
    pub fn go_to(&mut self, position: u64) -> io::Result<()> {
        // Symphonia's stream panics if a distance does not fit into 63 bits.
        if i64::try_from(position).is_err() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.stream.seek_buffered(position) == position {
            return Ok(());
        }
        if self.length.is_some() {
            return self.stream.seek(SeekFrom::Start(position)).map(drop);
        }
        match position.checked_sub(self.stream.pos()) {
            Some(ahead) => self.stream.ignore_bytes(ahead),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Reads `length` bytes, or fewer at the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_up_to(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        self.stream
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Like [`read_up_to`](Self::read_up_to), at another position. Returns nothing for a position past
    /// the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_at(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        match self.go_to(position) {
            Ok(()) => self.read_up_to(length),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the file, at the current position.
    pub fn into_source(self) -> Box<dyn MediaSource> {
        Box::new(self.stream)
    }
}
