//! Lets symphonia read files it would refuse, by putting another header in front of the same
//! samples: RF64 becomes RIFF WAVE, Sun AU becomes CAF, and a CAF or WAV that misstates its length
//! is told the true one.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use super::signature::{array, riff_chunks};

/// CAF counts this word in front of the samples as a part of them.
const CAF_EDIT_COUNT_BYTES: u64 = 4;

/// A header to read instead of the first bytes of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    /// How many bytes of the file it stands for.
    replaces: u64,
}

/// The header under which symphonia reads this file of `file_bytes`, where it needs another than
/// its own.
pub fn header(head: &[u8], file_bytes: u64) -> Option<Header> {
    match head.get(..4)? {
        b"RF64" | b"BW64" => rf64_as_wav(head),
        b".snd" => au_as_caf(head, file_bytes),
        b"caff" => caf_of_true_length(head, file_bytes),
        b"RIFF" => riff_of_true_length(head, file_bytes),
        _ => None,
    }
}

/// RF64 (EBU Tech 3306) is WAVE with 64-bit lengths in a chunk of their own, all ones standing in
/// the old places. All ones is also how a streamed WAV says "to the end of the file".
fn rf64_as_wav(head: &[u8]) -> Option<Header> {
    let (_, lengths, _) = riff_chunks(head).find(|(name, ..)| *name == b"ds64")?;
    let (_, samples, _) = riff_chunks(head).find(|(name, ..)| *name == b"data")?;
    let length = u64::from_le_bytes(array(head, lengths + 8)?);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut bytes = head.get(..samples)?.to_vec();
    bytes[..4].copy_from_slice(b"RIFF");
    bytes[samples - 4..].copy_from_slice(&length.to_le_bytes());
    Some(Header {
        bytes,
        replaces: samples as u64,
    })
}

/// Some writers state a length for the whole file that ends before its samples do.
fn riff_of_true_length(head: &[u8], file_bytes: u64) -> Option<Header> {
    const CHUNK_HEADER_BYTES: u64 = 8;
    let stated = u64::from(u32::from_le_bytes(array(head, 4)?)) + CHUNK_HEADER_BYTES;
    let (_, samples, length) = riff_chunks(head).find(|(name, ..)| *name == b"data")?;
    // All ones says "to the end of the file", which symphonia knows.
    if length == u32::MAX || stated >= samples as u64 + u64::from(length) {
        return None;
    }
    let length = u32::try_from(file_bytes.checked_sub(CHUNK_HEADER_BYTES)?).unwrap_or(u32::MAX);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(length.to_le_bytes());
    Some(Header {
        bytes,
        replaces: CHUNK_HEADER_BYTES,
    })
}

/// Sun's header is six big-endian words: `.snd`, where the samples begin, their length in bytes
/// (all ones if unknown), encoding, rate, channels.
fn au_as_caf(head: &[u8], file_bytes: u64) -> Option<Header> {
    const FLOAT: u32 = 1;
    let word = |index: usize| Some(u32::from_be_bytes(array(head, index * 4)?));
    let (samples, length) = (u64::from(word(1)?), u64::from(word(2)?));
    let (encoding, rate_hz, channels) = (word(3)?, word(4)?, word(5)?);
    let (format, flags, sample_bytes) = match encoding {
        1 => (b"ulaw", 0, 1),
        3 => (b"lpcm", 0, 2),
        4 => (b"lpcm", 0, 3),
        5 => (b"lpcm", 0, 4),
        6 => (b"lpcm", FLOAT, 4),
        7 => (b"lpcm", FLOAT, 8),
        27 => (b"alaw", 0, 1),
        _ => return None,
    };
    let length = length.min(file_bytes.checked_sub(samples)?);
    let mut bytes = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20".to_vec();
    bytes.extend(f64::from(rate_hz).to_be_bytes());
    bytes.extend(format);
    let frame_bytes = channels.checked_mul(sample_bytes)?;
    for word in [flags, frame_bytes, 1, channels, sample_bytes * 8] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(b"data");
    bytes.extend((length + CAF_EDIT_COUNT_BYTES).to_be_bytes());
    bytes.extend([0; CAF_EDIT_COUNT_BYTES as usize]);
    Some(Header {
        bytes,
        replaces: samples,
    })
}

/// CAF, Apple's Core Audio Format, gives the length of a recording in progress as -1.
fn caf_of_true_length(head: &[u8], file_bytes: u64) -> Option<Header> {
    let mut chunk = 8;
    while !head.get(chunk..)?.starts_with(b"data") {
        let length = u64::from_be_bytes(array(head, chunk + 4)?);
        chunk = chunk
            .checked_add(12)?
            .checked_add(usize::try_from(length).ok()?)?;
    }
    let content = chunk + 12;
    let length = u64::from_be_bytes(array(head, chunk + 4)?);
    let available = file_bytes.checked_sub(content as u64)?;
    if length <= available {
        return None;
    }
    let mut bytes = head.get(..content)?.to_vec();
    bytes[chunk + 4..].copy_from_slice(&available.to_be_bytes());
    Some(Header {
        bytes,
        replaces: content as u64,
    })
}

/// A file read under another header.
pub struct Rewrapped {
    header: Header,
    file: Box<dyn MediaSource>,
    position: u64,
}

impl Rewrapped {
    /// Puts `header` in front of `file`.
    pub fn new(header: Header, file: Box<dyn MediaSource>) -> Self {
        Self {
            header,
            file,
            position: 0,
        }
    }

    fn header_bytes(&self) -> u64 {
        self.header.bytes.len() as u64
    }
}

impl Read for Rewrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.position.checked_sub(self.header_bytes()) {
            Some(offset) => {
                let position = self.header.replaces.saturating_add(offset);
                self.file.seek(SeekFrom::Start(position))?;
                self.file.read(buffer)?
            }
            None => (&self.header.bytes[self.position as usize..]).read(buffer)?,
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Rewrapped {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self
                .byte_len()
                .and_then(|length| length.checked_add_signed(offset)),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Rewrapped {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        let samples = self.file.byte_len()?.saturating_sub(self.header.replaces);
        Some(self.header_bytes() + samples)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn reads_the_samples_after_the_new_header() {
        let header = Header {
            bytes: b"new".to_vec(),
            replaces: 6,
        };
        let file = Box::new(Cursor::new(b"header0123".to_vec()));
        let mut rewrapped = Rewrapped::new(header, file);
        let mut all = String::new();

        rewrapped.read_to_string(&mut all).unwrap();
        assert_eq!(all, "new0123");
        assert_eq!(rewrapped.byte_len(), Some(7));

        all.clear();
        rewrapped.seek(SeekFrom::End(-5)).unwrap();
        rewrapped.read_to_string(&mut all).unwrap();
        assert_eq!(all, "w0123");
        assert!(rewrapped.seek(SeekFrom::Current(-8)).is_err());
    }

    #[test]
    fn states_the_true_length_of_a_wav_that_ends_before_its_samples() {
        let wav = |stated: u8| {
            let mut head = b"RIFF____WAVEdata\x08\0\0\0".to_vec();
            head[4..8].copy_from_slice(&u32::from(stated).to_le_bytes());
            head
        };

        let corrected = Header {
            bytes: b"RIFF\x14\0\0\0".to_vec(),
            replaces: 8,
        };
        assert_eq!(header(&wav(16), 28), Some(corrected));
        assert_eq!(header(&wav(20), 28), None);
    }

    #[test]
    fn leaves_other_and_broken_headers_alone() {
        for head in [
            &b""[..],
            b"RIFF\0\0\0\0WAVE",
            b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0",
            b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\x17\0\0\x3e\x80\0\0\0\x01",
            b".snd\0\0\0\x18",
            b"caff\0\x01\0\0data\0\0\0\0\0\0\x01\0",
            b"caff\0\x01\0\0free\xff\xff\xff\xff\xff\xff\xff\xff",
            b"caff\0\x01\0\0free\xff\xff\xff\xff\xff\xff\xff\xea",
        ] {
            assert_eq!(header(head, 1_000), None);
        }
    }
}
