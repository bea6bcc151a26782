//! Finds the samples among the chunks of a file, and their end.

use std::io;

use super::container::{Chunk, ChunkRole, Container, MAGIC_BYTES};
use super::input::PcmInput;
use super::{DataFormat, HeaderError, aiff, au, caf, wave};

/// Maximum number of chunks. Real files have a few dozen; a forged file could have millions of empty ones.
const MAX_CHUNKS: u32 = 16_384;

/// How far after a wrong length the next chunk is searched.
const SEARCHED_BYTES: usize = 65_536;

/// Maximum bytes read of a format chunk.
const MAX_FORMAT_BYTES: u64 = 256;

/// The first bytes of tags that are appended to files of any kind.
const APPENDED_TAGS: [&[u8]; 4] = [b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN"];

/// Number of bytes after the samples to examine.
const TAIL_BYTES: usize = 64;

/// Contiguous samples. The input is at their start.
pub struct SampleRange {
    /// Their format.
    pub format: DataFormat,
    /// Position of their end; [`u64::MAX`] for the end of the stream.
    pub end: u64,
}

/// Why no (further) samples were found.
#[derive(Debug)]
pub enum ChunkError {
    /// Compressed audio, for another reader.
    Compressed,
    /// More than [`MAX_CHUNKS`] chunks.
    TooMany,
    /// The header is invalid or not supported.
    Header(HeaderError),
    /// The source failed.
    Read(io::Error),
}

impl From<HeaderError> for ChunkError {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<io::Error> for ChunkError {
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
    /// Start of the current file, from which the alignment of its chunks counts.
    start: u64,
    /// Stated end of the current file.
    file_end: Option<u64>,
    /// Stated end of the last chunk, without padding.
    end: u64,
    chunks_read: u32,
    format: Option<DataFormat>,
    /// Length of the samples according to an RF64 file's chunk of 64-bit lengths.
    length_64: Option<u64>,
    /// A chunk of samples before the format chunk.
    pending_samples: Option<Chunk>,
    /// Whether samples were found.
    has_samples: bool,
}

impl Chunks {
    /// Recognises the container by the first bytes of the input.
    pub fn find(input: &mut PcmInput) -> io::Result<Option<Self>> {
        let head = input.read_at(0, MAGIC_BYTES)?;
        Ok(Container::of(&head).map(|(container, header_bytes)| Self {
            container,
            start: 0,
            file_end: container.file_bytes(&head),
            end: header_bytes,
            chunks_read: 0,
            format: None,
            length_64: None,
            pending_samples: None,
            has_samples: false,
        }))
    }

    /// The container's name, for messages.
    pub fn name(&self) -> &'static str {
        self.container.name()
    }

    /// Moves to the next samples; `None` at the end. Their format may differ from the previous one in
    /// concatenated files.
    ///
    /// # Errors
    /// See [`ChunkError`].
    pub fn next_samples(
        &mut self,
        input: &mut PcmInput,
    ) -> Result<Option<SampleRange>, ChunkError> {
        if self.container == Container::Au {
            return self.next_au_samples(input);
        }
        while let Some(chunk) = self.next_chunk(input)? {
            match chunk.role {
                ChunkRole::Format => {
                    let format = self.read_format(input, chunk)?;
                    self.format = Some(format.clone());
                    if let Some(samples) = self.pending_samples.take() {
                        return self.samples(input, samples, format).map(Some);
                    }
                }
                ChunkRole::Samples => match self.format.clone() {
                    Some(format) => return self.samples(input, chunk, format).map(Some),
                    None => self.pending_samples = self.pending_samples.or(Some(chunk)),
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
        if self.chunks_read > MAX_CHUNKS && !self.has_samples {
            return Err(ChunkError::TooMany);
        }
        match self.pending_samples.take() {
            Some(_) => Err(HeaderError::Malformed("it does not state its format").into()),
            None => Ok(None),
        }
    }

    fn next_au_samples(&mut self, input: &mut PcmInput) -> Result<Option<SampleRange>, ChunkError> {
        if self.has_samples {
            return Ok(None);
        }
        let header = au::read(&input.read_at(self.start, au::HEADER_BYTES)?)?;
        let start = self.start.saturating_add(u64::from(header.offset));
        let length = header.length.map_or(u64::MAX, u64::from);
        self.go_to_samples(input, start, start.saturating_add(length), header.format)
            .map(Some)
    }

    fn read_format(&self, input: &mut PcmInput, chunk: Chunk) -> Result<DataFormat, ChunkError> {
        let length = chunk.length.min(MAX_FORMAT_BYTES);
        let bytes = input.read_at(chunk.content, length as usize)?;
        let format = match self.container {
            Container::Aiff => aiff::format(&bytes).map(Some),
            Container::Caf => caf::format(&bytes),
            Container::Wave | Container::Wave64 | Container::Au => wave::format(&bytes),
        };
        format?.ok_or(ChunkError::Compressed)
    }

    fn samples(
        &mut self,
        input: &mut PcmInput,
        chunk: Chunk,
        format: DataFormat,
    ) -> Result<SampleRange, ChunkError> {
        let skipped = match self.container {
            Container::Aiff => {
                // The offset of the first sample after this header, then the block size, which is 0 in
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
        self.go_to_samples(input, start, chunk.content.saturating_add(length), format)
    }

    /// Moves to samples with this start and stated end.
    fn go_to_samples(
        &mut self,
        input: &mut PcmInput,
        start: u64,
        stated_end: u64,
        format: DataFormat,
    ) -> Result<SampleRange, ChunkError> {
        let end = self.end_of_samples(input, start, stated_end.max(start))?;
        self.end = end;
        self.has_samples = true;
        input.go_to(start)?;
        Ok(SampleRange { format, end })
    }

    /// Determines the end of samples.
    ///
    /// The stated length may be 0, 36, -1, the maximum of its field, or from an earlier state of the
    /// file. So it is used only if the stated length of the file agrees, or if the file ends or
    /// something else follows there.
    fn end_of_samples(&self, input: &mut PcmInput, start: u64, stated_end: u64) -> io::Result<u64> {
        let Some(file_end) = input.length() else {
            let is_unknown = stated_end == start || stated_end - start >= 0x7fff_ffff;
            return Ok(if is_unknown { u64::MAX } else { stated_end });
        };
        if stated_end > file_end {
            return Ok(file_end);
        }
        // The remainder may be padding, but is too short for a chunk.
        if file_end - stated_end < 8 || self.is_last(start, stated_end) {
            return Ok(stated_end);
        }
        let tail = input.read_at(stated_end, TAIL_BYTES)?;
        let is_text = tail
            .iter()
            .all(|byte| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n'));
        let is_tag = APPENDED_TAGS.iter().any(|tag| tail.starts_with(tag));
        let is_chunk = self.chunk_after(input, stated_end)?.is_some();
        Ok(if is_text || is_tag || is_chunk {
            stated_end
        } else {
            file_end
        })
    }

    /// Whether samples extend to the stated end of their file. Headers written before the recording
    /// consistently state an empty file.
    fn is_last(&self, start: u64, stated_end: u64) -> bool {
        let bytes_after = self.file_end.and_then(|end| end.checked_sub(stated_end));
        stated_end > start && bytes_after.is_some_and(|bytes| bytes < self.container.alignment())
    }

    fn next_chunk(&mut self, input: &mut PcmInput) -> io::Result<Option<Chunk>> {
        self.chunks_read += 1;
        if self.chunks_read > MAX_CHUNKS {
            return Ok(None);
        }
        let mut chunk = self.chunk_after(input, self.end)?;
        if chunk.is_none() && !self.has_samples {
            // The previous chunk's length may be wrong.
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
    fn chunk_after(&self, input: &mut PcmInput, end: u64) -> io::Result<Option<Chunk>> {
        if self.container == Container::Au {
            return Ok(None);
        }
        let padding = end.saturating_sub(self.start).wrapping_neg() % self.container.alignment();
        if padding > 0 {
            // Some writers omit the padding. Only known chunks are accepted there.
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

    /// Searches for the format or the samples after a wrong length.
    fn search(&self, input: &mut PcmInput) -> io::Result<Option<Chunk>> {
        if input.length().is_none() || self.container.alignment() != 2 {
            return Ok(None);
        }
        // A length that is too large by one hides the first byte.
        let start = self.end.saturating_sub(1);
        let bytes = input.read_at(start, SEARCHED_BYTES)?;
        let index = bytes.windows(4).position(|name| {
            matches!(
                self.container.role(name),
                ChunkRole::Format | ChunkRole::Samples
            )
        });
        match index {
            Some(offset) => self.read_header(input, start + offset as u64),
            None => Ok(None),
        }
    }

    fn read_header(&self, input: &mut PcmInput, at: u64) -> io::Result<Option<Chunk>> {
        let header = input.read_at(at, self.container.header_bytes())?;
        Ok(self.container.chunk(&header, at))
    }
}
