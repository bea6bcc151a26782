//! The containers and the layout of their chunks.
//!
//! Specifications: IBM and Microsoft, "Multimedia Programming Interface and Data Specifications
//! 1.0" (RIFF), ITU-R BS.2088 (RF64 and BW64), EBU Tech 3306 (RF64), Sony "Wave64", Apple "Audio
//! Interchange File Format" (AIFF and AIFC) and "Apple Core Audio Format Specification 1.0" (CAF).

/// Number of bytes that [`Container::of`] examines.
pub const MAGIC_BYTES: usize = 40;

/// Magic bytes of Wave64 in place of `RIFF`. Its other chunks have their RIFF name, followed by constant
/// bytes.
const WAVE64_RIFF: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0";

/// The containers of uncompressed audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// WAV, RF64 and BW64.
    Wave,
    /// Sony's WAV of 64-bit lengths.
    Wave64,
    /// AIFF and AIFC.
    Aiff,
    /// Apple's Core Audio Format.
    Caf,
    /// Sun's AU, which has no chunks but a header and the samples.
    Au,
}

/// Purpose of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkRole {
    /// States the format.
    Format,
    /// Holds samples.
    Samples,
    /// Holds the 64-bit lengths of RF64.
    Lengths,
    /// Contains another file, appended to this one.
    File,
    /// Another known chunk.
    Known,
    /// An unknown chunk.
    Unknown,
}

/// A chunk of a file.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// Purpose.
    pub role: ChunkRole,
    /// Whether its name is printable, as in all real chunks.
    pub has_name: bool,
    /// Position of its content.
    pub content: u64,
    /// The length of its content; [`u64::MAX`] for "to the end of the file".
    pub length: u64,
}

impl Container {
    /// Recognises a container by its first bytes; also returns the position of the first chunk.
    pub fn of(head: &[u8]) -> Option<(Self, u64)> {
        let form = head.get(8..12)?;
        match head.get(..4)? {
            b"RIFF" | b"RF64" | b"BW64" if form == b"WAVE" => Some((Self::Wave, 12)),
            b"FORM" if form == b"AIFF" || form == b"AIFC" => Some((Self::Aiff, 12)),
            b"caff" => Some((Self::Caf, 8)),
            b".snd" => Some((Self::Au, 0)),
            _ if head.starts_with(WAVE64_RIFF) && head.get(24..28) == Some(b"wave") => {
                Some((Self::Wave64, 40))
            }
            _ => None,
        }
    }

    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wave => "WAV",
            Self::Wave64 => "Wave64",
            Self::Aiff => "AIFF",
            Self::Caf => "CAF",
            Self::Au => "AU",
        }
    }

    /// Alignment of chunks relative to the start of their file, in bytes.
    pub fn alignment(self) -> u64 {
        match self {
            Self::Wave | Self::Aiff => 2,
            Self::Wave64 => 8,
            Self::Caf | Self::Au => 1,
        }
    }

    /// The length of the file stated in its first bytes, if any.
    pub fn file_bytes(self, head: &[u8]) -> Option<u64> {
        let word = || head.get(4..)?.first_chunk::<4>().copied();
        match self {
            Self::Wave => Some(u64::from(u32::from_le_bytes(word()?)) + 8),
            Self::Aiff => Some(u64::from(u32::from_be_bytes(word()?)) + 8),
            Self::Wave64 => Some(u64::from_le_bytes(*head.get(16..)?.first_chunk()?)),
            Self::Caf | Self::Au => None,
        }
    }

    /// The length of a chunk's header.
    pub fn header_bytes(self) -> usize {
        match self {
            Self::Wave64 => 24,
            Self::Caf => 12,
            Self::Wave | Self::Aiff | Self::Au => 8,
        }
    }

    /// Parses the header of a chunk at position `at`.
    pub fn chunk(self, header: &[u8], at: u64) -> Option<Chunk> {
        let (name, rest) = header.split_first_chunk::<4>()?;
        let length = match self {
            Self::Wave64 => {
                let length = u64::from_le_bytes(*rest.get(12..)?.first_chunk()?);
                // It includes the header.
                length.checked_sub(24).unwrap_or(u64::MAX)
            }
            Self::Caf => u64::from_be_bytes(*rest.first_chunk()?),
            Self::Aiff => u64::from(u32::from_be_bytes(*rest.first_chunk()?)),
            Self::Wave | Self::Au => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
        };
        Some(Chunk {
            role: self.role(name),
            has_name: name.iter().all(|byte| matches!(byte, 0x20..=0x7e)),
            content: at.checked_add(self.header_bytes() as u64)?,
            length,
        })
    }

    /// The purpose of a chunk with this name.
    pub fn role(self, name: &[u8]) -> ChunkRole {
        match (self, name) {
            (Self::Wave | Self::Wave64, b"fmt ") | (Self::Aiff, b"COMM") | (Self::Caf, b"desc") => {
                ChunkRole::Format
            }
            (Self::Wave | Self::Wave64 | Self::Caf, b"data") | (Self::Aiff, b"SSND") => {
                ChunkRole::Samples
            }
            (Self::Wave, b"ds64") => ChunkRole::Lengths,
            (Self::Wave, b"RIFF" | b"RF64" | b"BW64") | (Self::Aiff, b"FORM") => ChunkRole::File,
            (Self::Wave, b"LIST" | b"fact" | b"JUNK" | b"bext" | b"id3 ")
            | (Self::Aiff, b"FVER" | b"ID3 ")
            | (Self::Caf, b"pakt" | b"free") => ChunkRole::Known,
            _ => ChunkRole::Unknown,
        }
    }
}
