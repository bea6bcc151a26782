//! A stream that is read by position, whether or not its source can seek.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::{
    MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadBytes, SeekBuffered,
};

/// A file with a buffer.
pub struct PcmInput {
    stream: MediaSourceStream<'static>,
    /// Its length in bytes, where it is known and any place can be read.
    length: Option<u64>,
}

impl PcmInput {
    /// Takes a file at its beginning.
    pub fn new(file: Box<dyn MediaSource>) -> Self {
        let stream = MediaSourceStream::new(file, MediaSourceStreamOptions::default());
        let length = stream.byte_len().filter(|_| stream.is_seekable());
        Self { stream, length }
    }

    /// The length in bytes; `None` for a source that can only be read from front to back.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Where the next byte is read.
    pub fn position(&self) -> u64 {
        self.stream.pos()
    }

    /// Goes to a place. One in front of the current position can be reached where the source seeks,
    /// or where it is buffered still (32 KiB).
    ///
    /// # Errors
    /// Those of the source, and [`io::ErrorKind::UnexpectedEof`] where it ends before that place.
    pub fn go_to(&mut self, position: u64) -> io::Result<()> {
        // A distance that does not fit into 63 bits breaks symphonia's stream.
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

    /// Reads `length` bytes, fewer only at the end.
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

    /// Reads as [`read_up_to`](Self::read_up_to) does, at another place, and goes there. A place
    /// that does not exist is an empty one.
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

    /// The file, at the current position.
    pub fn into_source(self) -> Box<dyn MediaSource> {
        Box::new(self.stream)
    }
}
