//! Walks the chunks of a file to its samples.
//!
//! Specifications: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications
//! 1.0" (RIFF), ITU-R BS.2088 (RF64 and BW64), EBU Tech 3306 (RF64), Sony "Wave64", Apple "Audio
//! Interchange File Format" (AIFF and AIFC) and "Apple Core Audio Format Specification 1.0" (CAF).

use std::io;

use super::input::Input;
use super::{Format, HeaderError, aiff, au, caf, wave};

/// Real files have a few dozen chunks; a forged one could have millions of empty ones.
const MAX_CHUNKS: u32 = 16_384;

/// How far after a wrong length the next chunk is searched.
const SEARCHED_BYTES: usize = 65_536;

/// A chunk with the format is not longer; what is behind these bytes is not read.
const FORMAT_BYTES: usize = 256;

/// An ID3v2 tag in front of the file, which some players and recorders write.
const ID3_HEADER_BYTES: usize = 10;

/// The first bytes of tags that are appended to a file of any kind.
const APPENDED_TAGS: [&[u8]; 4] = [b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN"];

/// What stands in front of `riff` chunks in Wave64; every other identifier ends alike.
const WAVE64_RIFF: &[u8; 16] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";

/// Samples that begin at the current position of the input.
pub struct Sound {
    /// How they are read.
    pub format: Format,
    /// Where they end; [`u64::MAX`] where only the end of the stream will tell.
    pub end: u64,
}

/// Why there are no (further) samples.
#[derive(Debug)]
pub enum Error {
    /// A CAF file of packets that differ in length, which symphonia reads.
    Packets,
    /// The header is of no use.
    Header(HeaderError),
    /// The source failed.
    Read(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Self::Header(HeaderError::Malformed("it ends within its header"))
            }
            _ => Self::Read(error),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Wave,
    Wave64,
    Aiff,
    Caf,
    /// No chunks: one header, then the samples.
    Au,
}

/// The chunks of one file.
pub struct Chunks {
    container: Container,
    /// Where the file begins that the chunks belong to; their padding is counted from there.
    start: u64,
    /// Where the last chunk ends by its length, padding not counted.
    end: u64,
    visited: u32,
    format: Option<Format>,
    /// The length of the samples from an RF64 file's own chunk of 64-bit lengths.
    length_64: Option<u64>,
    /// A chunk of samples that stands in front of the one with the format.
    waiting: Option<Chunk>,
    sounds: u32,
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    id: [u8; 4],
    content: u64,
    /// [`u64::MAX`] for "to the end of the file".
    length: u64,
}

impl Chunks {
    /// Recognises a container by the first bytes of the input.
    pub fn find(input: &mut Input) -> io::Result<Option<Self>> {
        let mut start = 0;
        let mut head = input.read_at(start, 40)?;
        // Two tags in a row have been seen, more never. In a pipe there is no way back from one.
        for _ in 0..2 {
            let tag_bytes = id3_bytes(&head).filter(|_| input.length().is_some());
            let Some(tag_bytes) = tag_bytes else { break };
            start += tag_bytes;
            head = input.read_at(start, 40)?;
        }
        let form = head.get(8..12).unwrap_or_default();
        let (container, header_bytes) = match head.get(..4).unwrap_or_default() {
            b"RIFF" | b"RF64" | b"BW64" if form == b"WAVE" => (Container::Wave, 12),
            b"FORM" if form == b"AIFF" || form == b"AIFC" => (Container::Aiff, 12),
            b"caff" => (Container::Caf, 8),
            b".snd" => (Container::Au, 0),
            _ if head.starts_with(WAVE64_RIFF) && head.get(24..28) == Some(b"wave") => {
                (Container::Wave64, 40)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self {
            container,
            start,
            end: start + header_bytes,
            visited: 0,
            format: None,
            length_64: None,
            waiting: None,
            sounds: 0,
        }))
    }

    /// The container's name in messages.
    pub fn name(&self) -> &'static str {
        match self.container {
            Container::Wave => "WAV",
            Container::Wave64 => "Wave64",
            Container::Aiff => "AIFF",
            Container::Caf => "CAF",
            Container::Au => "AU",
        }
    }

    /// Goes on to the next samples; `None` where there are none. They may be of another format than
    /// those before, for files are put together with `cat`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn next_sound(&mut self, input: &mut Input) -> Result<Option<Sound>, Error> {
        if self.container == Container::Au {
            return self.au_sound(input);
        }
        while let Some(chunk) = self.next_chunk(input)? {
            match &chunk.id {
                b"fmt " | b"COMM" | b"desc" => {
                    self.format = Some(self.read_format(input, chunk)?);
                    if let Some(samples) = self.waiting.take() {
                        return self.sound(input, samples);
                    }
                }
                b"data" | b"SSND" if self.format.is_some() => return self.sound(input, chunk),
                b"data" | b"SSND" => self.waiting = self.waiting.or(Some(chunk)),
                b"ds64" => {
                    // The length of the whole file comes first.
                    let lengths = input.read_at(chunk.content + 8, 8)?;
                    self.length_64 = lengths.first_chunk().copied().map(u64::from_le_bytes);
                }
                // Another file follows this one; its chunks are inside.
                b"RIFF" | b"RF64" | b"BW64" | b"FORM" => {
                    self.start = chunk.content - 8;
                    self.end = chunk.content + 4;
                }
                _ => {}
            }
        }
        match self.waiting.take() {
            Some(_) => Err(Error::Header(HeaderError::Malformed("it does not state its format"))),
            None => Ok(None),
        }
    }

    fn au_sound(&mut self, input: &mut Input) -> Result<Option<Sound>, Error> {
        if self.sounds > 0 {
            return Ok(None);
        }
        let start = self.end;
        let header = au::read(&input.read_at(start, au::HEADER_BYTES)?).map_err(Error::Header)?;
        self.format = Some(header.format);
        self.sound(input, Chunk {
            id: *b".snd",
            content: start + u64::from(header.offset),
            length: header.length.map_or(u64::MAX, u64::from),
        })
    }

    fn read_format(&self, input: &mut Input, chunk: Chunk) -> Result<Format, Error> {
        let length = usize::try_from(chunk.length).map_or(FORMAT_BYTES, |length| length.min(FORMAT_BYTES));
        let bytes = input.read_at(chunk.content, length)?;
        match self.container {
            Container::Aiff => aiff::format(&bytes).map_err(Error::Header),
            Container::Caf => caf::format(&bytes)?.ok_or(Error::Packets),
            _ => wave::format(&bytes).map_err(Error::Header),
        }
    }

    /// Goes to the samples of a chunk and decides where they end.
    fn sound(&mut self, input: &mut Input, chunk: Chunk) -> Result<Option<Sound>, Error> {
        let Some(format) = self.format.clone() else {
            return Ok(None);
        };
        let skipped = match &chunk.id {
            b"SSND" => {
                let offset = input.read_at(chunk.content, 4)?;
                // The offset of the first sample, then the size of blocks, which is 0 in practice.
                8 + offset.first_chunk().copied().map_or(0, u32::from_be_bytes)
            }
            // CAF counts edits in front of the samples.
            b"data" if self.container == Container::Caf => 4,
            _ => 0,
        };
        let stated = match self.length_64.filter(|_| chunk.length == u64::from(u32::MAX)) {
            Some(length) => length,
            None => chunk.length,
        };
        let start = chunk.content.saturating_add(u64::from(skipped));
        let end = self.end_of_samples(input, start, chunk.content.saturating_add(stated))?;
        self.end = end;
        self.sounds += 1;
        input.go_to(start)?;
        Ok(Some(Sound { format, end }))
    }

    /// Where samples end that end at `stated` by their length.
    ///
    /// A length may be 0, 36, -1, the greatest that the field holds, or that of an earlier state of
    /// the file. So it counts only where the file ends there or goes on with something else.
    fn end_of_samples(&self, input: &mut Input, start: u64, stated: u64) -> io::Result<u64> {
        let stated = stated.max(start);
        let Some(file_end) = input.length() else {
            let unknown = [0, u64::from(u32::MAX), u64::from(i32::MAX.unsigned_abs())];
            return Ok(match stated - start {
                length if unknown.contains(&length) => u64::MAX,
                _ => stated,
            });
        };
        if stated > file_end {
            return Ok(file_end);
        }
        // At most the padding has room there, and no chunk.
        if stated.saturating_add(8) > file_end {
            return Ok(stated);
        }
        let tail = input.read_at(stated, 64)?;
        let is_text = tail.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n'));
        let is_tag = APPENDED_TAGS.iter().any(|tag| tail.starts_with(tag));
        let is_chunk = self.header_at(input, stated)?.is_some();
        Ok(if is_text || is_tag || is_chunk { stated } else { file_end })
    }

    fn next_chunk(&mut self, input: &mut Input) -> io::Result<Option<Chunk>> {
        self.visited += 1;
        if self.visited > MAX_CHUNKS {
            return Ok(None);
        }
        let chunk = match self.header_at(input, self.end)? {
            Some(chunk) => chunk,
            // Where a length is wrong, so is the place of all that follows.
            None if self.sounds == 0 => match self.search(input)? {
                Some(chunk) => chunk,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let end = chunk.content.saturating_add(chunk.length);
        self.end = match input.length() {
            Some(file_end) if end > file_end => chunk.content,
            _ => end,
        };
        Ok(Some(chunk))
    }

    /// Reads a header behind a chunk that ends at `end`: there, or behind its padding.
    fn header_at(&self, input: &mut Input, end: u64) -> io::Result<Option<Chunk>> {
        let alignment = match self.container {
            Container::Wave | Container::Aiff => 2,
            Container::Wave64 => 8,
            Container::Caf => 1,
            Container::Au => return Ok(None),
        };
        let padding = (end - self.start).wrapping_neg() % alignment;
        let padded = end.saturating_add(padding);
        if padded != end {
            // Some writers leave the padding out. It is only believed of chunks that are known.
            let chunk = self.read_header(input, end)?;
            if let Some(chunk) = chunk.filter(|chunk| self.is_known(chunk.id)) {
                return Ok(Some(chunk));
            }
        }
        let chunk = self.read_header(input, padded)?;
        Ok(chunk.filter(|chunk| {
            let fits = match input.length() {
                Some(length) => chunk.content.saturating_add(chunk.length) <= length,
                None => true,
            };
            let is_name = chunk.id.iter().all(|byte| matches!(byte, 0x20..=0x7e));
            self.is_known(chunk.id) || (is_name && fits)
        }))
    }

    fn search(&self, input: &mut Input) -> io::Result<Option<Chunk>> {
        let ids: [&[u8; 4]; 2] = match self.container {
            Container::Wave => [b"fmt ", b"data"],
            Container::Aiff => [b"COMM", b"SSND"],
            _ => return Ok(None),
        };
        if input.length().is_none() {
            return Ok(None);
        }
        // A length that is one too great hides the first byte.
        let start = self.end.saturating_sub(1);
        let bytes = input.read_at(start, SEARCHED_BYTES)?;
        match bytes.windows(4).position(|at| ids.iter().any(|id| at == *id)) {
            Some(offset) => self.read_header(input, start + offset as u64),
            None => Ok(None),
        }
    }

    fn read_header(&self, input: &mut Input, at: u64) -> io::Result<Option<Chunk>> {
        let length = match self.container {
            Container::Wave64 => 24,
            Container::Caf => 12,
            _ => 8,
        };
        let header = input.read_at(at, length)?;
        Ok(self.parse_header(&header).map(|(id, content_bytes)| Chunk {
            id,
            content: at.saturating_add(length as u64),
            length: content_bytes,
        }))
    }

    /// The name and the length of the content.
    fn parse_header(&self, header: &[u8]) -> Option<([u8; 4], u64)> {
        let (id, rest) = header.split_first_chunk::<4>()?;
        let length = match self.container {
            Container::Wave64 => {
                // The length includes the header.
                let length = rest.get(12..).and_then(<[u8]>::first_chunk)?;
                u64::from_le_bytes(*length).checked_sub(24).unwrap_or(u64::MAX)
            }
            Container::Caf => u64::from_be_bytes(*rest.first_chunk()?),
            Container::Aiff => u64::from(u32::from_be_bytes(*rest.first_chunk()?)),
            Container::Wave | Container::Au => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
        };
        Some((*id, length))
    }

    fn is_known(&self, id: [u8; 4]) -> bool {
        match self.container {
            Container::Wave => matches!(
                &id,
                b"fmt " | b"data" | b"LIST" | b"fact" | b"ds64" | b"JUNK" | b"bext" | b"id3 " | b"RIFF"
            ),
            Container::Aiff => matches!(&id, b"COMM" | b"SSND" | b"FVER" | b"FORM" | b"ID3 "),
            Container::Wave64 => matches!(&id, b"fmt " | b"data"),
            Container::Caf => matches!(&id, b"desc" | b"data" | b"pakt" | b"free"),
            Container::Au => false,
        }
    }
}

/// The length of an ID3v2 tag (id3.org, "ID3v2.4 structure", 3.1): seven bits a byte.
fn id3_bytes(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(b"ID3")?;
    let length = rest.get(3..7)?;
    let length = length.iter().try_fold(0_u64, |sum, byte| {
        (byte & 0x80 == 0).then_some(sum << 7 | u64::from(*byte))
    })?;
    Some(length + ID3_HEADER_BYTES as u64)
}
