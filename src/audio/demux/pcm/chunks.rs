//! Walks the chunks of a file to its samples, and decides where these end.

use std::io;

use super::container::{Chunk, Container, MAGIC_BYTES, ChunkRole};
use super::input::PcmInput;
use super::{DataFormat, HeaderError, aiff, au, caf, wave};

/// Real files have a few dozen chunks; a forged one could have millions of empty ones.
const MAX_CHUNKS: u32 = 16_384;

/// How far after a wrong length the next chunk is searched.
const SEARCHED_BYTES: usize = 65_536;

/// A chunk with the format is not longer; what is behind these bytes is not read.
const MAX_FORMAT_BYTES: u64 = 256;

/// The first bytes of tags that are appended to files of any kind.
const APPENDED_TAGS: [&[u8]; 4] = [b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN"];

/// How much of what follows the samples is looked at.
const TAIL_BYTES: usize = 64;

/// A run of samples. The input is at its beginning.
pub struct SampleRange {
    /// How they are read.
    pub format: DataFormat,
    /// Where they end; [`u64::MAX`] where only the end of the stream will tell.
    pub end: u64,
}

/// Why there are no (further) samples.
#[derive(Debug)]
pub enum Error {
    /// Compressed audio that other readers know how to read.
    Compressed,
    /// There are more chunks than any recording has.
    TooMany,
    /// The header is of no use.
    Header(HeaderError),
    /// The source failed.
    Read(io::Error),
}

impl From<HeaderError> for Error {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                HeaderError::Malformed("it ends within its header").into()
            }
            _ => Self::Read(error),
        }
    }
}

/// The chunks of one file.
pub struct Chunks {
    container: Container,
    /// Where the file begins that the chunks belong to; their padding is counted from there.
    start: u64,
    /// Where that file ends by its length.
    file_end: Option<u64>,
    /// Where the last chunk ends by its length, padding not counted.
    end: u64,
    visited: u32,
    format: Option<DataFormat>,
    /// The length of the samples from an RF64 file's own chunk of 64-bit lengths.
    length_64: Option<u64>,
    /// A chunk of samples that stands in front of the one with the format.
    waiting: Option<Chunk>,
    /// Whether samples were found already.
    has_samples: bool,
}

impl Chunks {
    /// Recognises a container by the first bytes of the input.
    pub fn find(input: &mut PcmInput) -> io::Result<Option<Self>> {
        let head = input.read_at(0, MAGIC_BYTES)?;
        Ok(Container::of(&head).map(|(container, header_bytes)| Self {
            container,
            start: 0,
            file_end: container.file_bytes(&head),
            end: header_bytes,
            visited: 0,
            format: None,
            length_64: None,
            waiting: None,
            has_samples: false,
        }))
    }

    /// The container's name in messages.
    pub fn name(&self) -> &'static str {
        self.container.name()
    }

    /// Goes on to the next samples; `None` where there are none. They may be of another format than
    /// those before, for files are put together with `cat`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn next_samples(&mut self, input: &mut PcmInput) -> Result<Option<SampleRange>, Error> {
        if self.container == Container::Au {
            return self.next_of_au(input);
        }
        while let Some(chunk) = self.next_chunk(input)? {
            match chunk.role {
                ChunkRole::Format => {
                    let format = self.read_format(input, chunk)?;
                    self.format = Some(format.clone());
                    if let Some(samples) = self.waiting.take() {
                        return self.samples(input, samples, format).map(Some);
                    }
                }
                ChunkRole::Samples => match self.format.clone() {
                    Some(format) => return self.samples(input, chunk, format).map(Some),
                    None => self.waiting = self.waiting.or(Some(chunk)),
                },
                ChunkRole::Lengths => {
                    // The length of the whole file comes first.
                    let lengths = input.read_at(chunk.content, 16)?;
                    let mut lengths = lengths.as_chunks().0.iter().copied();
                    let file_bytes = lengths.next().map(u64::from_le_bytes);
                    self.file_end = file_bytes.map(|bytes| bytes.saturating_add(self.start + 8));
                    self.length_64 = lengths.next().map(u64::from_le_bytes);
                }
                ChunkRole::File => {
                    self.start = chunk.content.saturating_sub(8);
                    self.file_end = Some(chunk.content.saturating_add(chunk.length));
                    self.end = chunk.content.saturating_add(4);
                    self.length_64 = None;
                }
                ChunkRole::Known | ChunkRole::Unknown => {}
            }
        }
        if self.visited > MAX_CHUNKS && !self.has_samples {
            return Err(Error::TooMany);
        }
        match self.waiting.take() {
            Some(_) => Err(HeaderError::Malformed("it does not state its format").into()),
            None => Ok(None),
        }
    }

    fn next_of_au(&mut self, input: &mut PcmInput) -> Result<Option<SampleRange>, Error> {
        if self.has_samples {
            return Ok(None);
        }
        let header = au::read(&input.read_at(self.start, au::HEADER_BYTES)?)?;
        let start = self.start.saturating_add(u64::from(header.offset));
        let length = header.length.map_or(u64::MAX, u64::from);
        self.begin(input, start, start.saturating_add(length), header.format)
            .map(Some)
    }

    fn read_format(&self, input: &mut PcmInput, chunk: Chunk) -> Result<DataFormat, Error> {
        let length = chunk.length.min(MAX_FORMAT_BYTES);
        let bytes = input.read_at(chunk.content, length as usize)?;
        let format = match self.container {
            Container::Aiff => aiff::format(&bytes).map(Some),
            Container::Caf => caf::format(&bytes),
            Container::Wave | Container::Wave64 | Container::Au => wave::format(&bytes),
        };
        format?.ok_or(Error::Compressed)
    }

    fn samples(
        &mut self,
        input: &mut PcmInput,
        chunk: Chunk,
        format: DataFormat,
    ) -> Result<SampleRange, Error> {
        let skipped = match self.container {
            Container::Aiff => {
                // How far behind here the first sample is, then the size of blocks, which is 0 in
                // practice.
                let offset = input.read_at(chunk.content, 4)?;
                let offset = offset.first_chunk().copied().map(u32::from_be_bytes);
                let offset = offset.map_or(0, u64::from);
                8 + if offset < chunk.length { offset } else { 0 }
            }
            // A count of edits.
            Container::Caf => 4,
            Container::Wave | Container::Wave64 | Container::Au => 0,
        };
        let length = match self.length_64 {
            Some(length) if chunk.length == u64::from(u32::MAX) => length,
            _ => chunk.length,
        };
        let start = chunk.content.saturating_add(skipped);
        self.begin(input, start, chunk.content.saturating_add(length), format)
    }

    /// Goes to samples that end at `stated_end` by their length.
    fn begin(
        &mut self,
        input: &mut PcmInput,
        start: u64,
        stated_end: u64,
        format: DataFormat,
    ) -> Result<SampleRange, Error> {
        let end = self.end_of_samples(input, start, stated_end.max(start))?;
        self.end = end;
        self.has_samples = true;
        input.go_to(start)?;
        Ok(SampleRange { format, end })
    }

    /// Where samples end.
    ///
    /// A length may be 0, 36, -1, the greatest that the field holds, or that of an earlier state of
    /// the file. So it counts only where the length of the whole file says the same, the file ends
    /// there or goes on with something else.
    fn end_of_samples(&self, input: &mut PcmInput, start: u64, stated_end: u64) -> io::Result<u64> {
        let Some(file_end) = input.length() else {
            let is_unknown = stated_end == start || stated_end - start >= 0x7fff_ffff;
            return Ok(if is_unknown { u64::MAX } else { stated_end });
        };
        if stated_end > file_end {
            return Ok(file_end);
        }
        // Padding has room there, but no chunk.
        if file_end - stated_end < 8 || self.is_last(start, stated_end) {
            return Ok(stated_end);
        }
        let tail = input.read_at(stated_end, TAIL_BYTES)?;
        let is_text = tail
            .iter()
            .all(|byte| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n'));
        let is_tag = APPENDED_TAGS.iter().any(|tag| tail.starts_with(tag));
        let is_chunk = self.chunk_behind(input, stated_end)?.is_some();
        Ok(if is_text || is_tag || is_chunk {
            stated_end
        } else {
            file_end
        })
    }

    /// Whether samples fill the rest of their file, by the length of the file. Headers written before
    /// the length was known agree on an empty file.
    fn is_last(&self, start: u64, stated_end: u64) -> bool {
        let behind = self.file_end.and_then(|end| end.checked_sub(stated_end));
        stated_end > start && behind.is_some_and(|behind| behind < self.container.alignment())
    }

    fn next_chunk(&mut self, input: &mut PcmInput) -> io::Result<Option<Chunk>> {
        self.visited += 1;
        if self.visited > MAX_CHUNKS {
            return Ok(None);
        }
        let mut chunk = self.chunk_behind(input, self.end)?;
        if chunk.is_none() && !self.has_samples {
            // Where a length is wrong, so is the place of all that follows.
            chunk = self.search(input)?;
        }
        if let Some(chunk) = chunk {
            let end = chunk.content.saturating_add(chunk.length);
            let is_cut = input.length().is_some_and(|file_end| end > file_end);
            self.end = if is_cut { chunk.content } else { end };
        }
        Ok(chunk)
    }

    /// The chunk that follows one which ends at `end`.
    fn chunk_behind(&self, input: &mut PcmInput, end: u64) -> io::Result<Option<Chunk>> {
        if self.container == Container::Au {
            return Ok(None);
        }
        let padding = end.saturating_sub(self.start).wrapping_neg() % self.container.alignment();
        if padding > 0 {
            // Some writers leave the padding out, which is only believed of chunks that are known.
            let chunk = self.read_header(input, end)?;
            if let Some(chunk) = chunk.filter(|chunk| chunk.role != ChunkRole::Unknown) {
                return Ok(Some(chunk));
            }
        }
        let chunk = self.read_header(input, end.saturating_add(padding))?;
        Ok(chunk.filter(|chunk| {
            let end = chunk.content.saturating_add(chunk.length);
            let fits = input.length().is_none_or(|file_end| end <= file_end);
            chunk.role != ChunkRole::Unknown || (chunk.has_name && fits)
        }))
    }

    /// Looks for the format or the samples behind a length that is wrong.
    fn search(&self, input: &mut PcmInput) -> io::Result<Option<Chunk>> {
        if input.length().is_none() || self.container.alignment() != 2 {
            return Ok(None);
        }
        // A length that is too great by one hides the first byte.
        let start = self.end.saturating_sub(1);
        let bytes = input.read_at(start, SEARCHED_BYTES)?;
        let place = bytes
            .windows(4)
            .position(|name| matches!(self.container.role(name), ChunkRole::Format | ChunkRole::Samples));
        match place {
            Some(offset) => self.read_header(input, start + offset as u64),
            None => Ok(None),
        }
    }

    fn read_header(&self, input: &mut PcmInput, at: u64) -> io::Result<Option<Chunk>> {
        let header = input.read_at(at, self.container.header_bytes())?;
        Ok(self.container.chunk(&header, at))
    }
}
