//! Skips tags before a container.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use super::lookahead::Lookahead;
use super::tags;

/// Hides the tags before a container, so that it starts at position 0 and the positions that it states
/// are correct. Readers of streams without a container skip tags themselves, also between frames.
///
/// # Errors
/// Those of the file.
pub fn skip_leading_tags(file: Box<dyn MediaSource>) -> io::Result<Box<dyn MediaSource>> {
    if !file.is_seekable() {
        return Ok(file);
    }
    let mut bytes = Lookahead::new(file)?;
    let is_container = tags::is_container(tags::peek_after_tags(&mut bytes)?);
    let start = bytes.position();
    let source = bytes.into_file();
    if start == 0 || !is_container {
        return Ok(source);
    }
    let mut source = OffsetSource { source, start };
    source.rewind()?;
    Ok(Box::new(source))
}

/// A source whose position 0 is at `start`.
struct OffsetSource {
    source: Box<dyn MediaSource>,
    start: u64,
}

impl Read for OffsetSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer)
    }
}

impl Seek for OffsetSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(position) => {
                let position = position.checked_add(self.start);
                SeekFrom::Start(position.ok_or(ErrorKind::InvalidInput)?)
            }
            to => to,
        };
        let position = self.source.seek(to)?;
        position
            .checked_sub(self.start)
            .ok_or_else(|| ErrorKind::InvalidInput.into())
    }
}

impl MediaSource for OffsetSource {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.source.byte_len()?.saturating_sub(self.start))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use symphonia::core::io::ReadOnlySource;

    use super::*;

    fn open(file: &[u8]) -> Box<dyn MediaSource> {
        skip_leading_tags(Box::new(Cursor::new(file.to_vec()))).unwrap()
    }

    #[track_caller]
    fn check(file: &[u8], expected: &[u8]) {
        let mut source = open(file);
        let mut read = Vec::new();
        source.read_to_end(&mut read).unwrap();
        assert_eq!(read, expected);
        assert_eq!(source.byte_len(), Some(expected.len() as u64));
    }

    #[test]
    fn tags_before_containers_are_skipped() {
        let tag = b"ID3\x04\0\0\0\0\0\x04RIFF";
        for file in [&b"RIFF1234WAVE"[..], b"1234ftypM4A ", b"OggS", b"fLaC"] {
            check(file, file);
            check(&[tag, file].concat(), file);
            check(&[&tag[..], tag, file].concat(), file);
        }
        // No container, or a tag longer than the file.
        for file in [&b"\xff\xfb\x90\0"[..], b"", b"ID3\x04\0\0\0\0\x7f\x7fRIFF"] {
            let file = [&tag[..], file].concat();
            check(&file, &file);
        }
    }

    #[test]
    fn positions_are_relative_to_the_container() {
        let mut source = open(b"ID3\x04\0\0\0\0\0\0RIFF5678");
        let mut byte = [0];
        for (to, position) in [
            (SeekFrom::Start(4), 4),
            (SeekFrom::Current(1), 6),
            (SeekFrom::End(-2), 6),
        ] {
            assert_eq!(source.seek(to).unwrap(), position);
            source.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], b"RIFF5678"[position as usize]);
        }
        assert!(source.seek(SeekFrom::Current(-9)).is_err());
        assert!(source.seek(SeekFrom::Start(u64::MAX)).is_err());
    }

    #[test]
    fn a_pipe_is_unchanged() {
        let file = b"ID3\x04\0\0\0\0\0\0RIFF";
        let pipe = ReadOnlySource::new(Cursor::new(file.to_vec()));
        let mut source = skip_leading_tags(Box::new(pipe)).unwrap();
        let mut read = Vec::new();
        source.read_to_end(&mut read).unwrap();
        assert_eq!(read, file);
    }
}
