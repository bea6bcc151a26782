//! Finds the frames of a stream without a container: ADTS and MPEG audio.
//!
//! A sync word of eleven or twelve bits occurs in any long file by chance. A frame is accepted if it is
//! followed by another frame of the same format, a tag or the end of the file, or if it starts where the
//! last accepted frame ended.

use std::io;

use super::lookahead::Lookahead;
use super::tags;

/// Number of consecutive frames that confirm a format.
const CONFIRMING_FRAMES: usize = 3;

/// How far into a file the first frame may start, not counting tags.
const MAX_JUNK_BYTES: u64 = 64 * 1024;

/// The same after a tag, whose length may be wrong and which may contain a picture.
const MAX_TAG_BYTES: u64 = 16 << 20;

/// The header of a frame.
pub trait FrameHeader: Copy {
    /// The fields that are equal in all frames of one recording.
    type Format: Copy + PartialEq;

    /// Maximum frame length, in bytes.
    const MAX_FRAME_BYTES: usize;

    /// Parses the header at the start of `bytes`, if it is valid.
    fn parse(bytes: &[u8]) -> Option<Self>;

    /// The fields that must be equal in all frames.
    fn format(&self) -> Self::Format;

    /// Length of the frame including its header, in bytes; never 0.
    fn frame_bytes(&self) -> usize;
}

/// Iterates over the frames of a file, skipping anything between them.
pub struct Frames<H: FrameHeader> {
    bytes: Lookahead,
    /// The format of the last frame, if the next frame is expected at the current position.
    expected: Option<H::Format>,
}

impl<H: FrameHeader> Frames<H> {
    /// Frames from the current position of the file.
    pub fn new(bytes: Lookahead) -> Self {
        Self {
            bytes,
            expected: None,
        }
    }

    /// The next frame with its header, found within `max_junk_bytes`, not counting tags.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next_within(&mut self, max_junk_bytes: u64) -> io::Result<Option<(H, Vec<u8>)>> {
        let mut junk_left = max_junk_bytes;
        loop {
            if tags::skip(&mut self.bytes)? {
                continue;
            }
            let ahead = self.bytes.peek(CONFIRMING_FRAMES * H::MAX_FRAME_BYTES)?;
            if ahead.is_empty() {
                return Ok(None);
            }
            let header = H::parse(ahead).filter(|header| {
                let is_whole = ahead.len() >= header.frame_bytes();
                is_whole && (self.expected == Some(header.format()) || is_confirmed(header, ahead))
            });
            if let Some(header) = header
                && let Some(frame) = self.bytes.take(header.frame_bytes())?
            {
                self.expected = Some(header.format());
                return Ok(Some((header, frame)));
            }
            self.expected = None;
            let Some(left) = junk_left.checked_sub(1) else {
                return Ok(None);
            };
            junk_left = left;
            self.bytes.skip(1)?;
        }
    }

    /// Like [`next_within`](Self::next_within), without a limit.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next(&mut self) -> io::Result<Option<(H, Vec<u8>)>> {
        self.next_within(u64::MAX)
    }

    /// Returns the file.
    pub fn into_bytes(self) -> Lookahead {
        self.bytes
    }
}

/// The frames of an opened file, and the first of them.
pub type OpenedFrames<H> = (Frames<H>, (H, Vec<u8>));

/// Maximum number of leading zero bytes to skip: a recorder or a file system may leave the beginning of a
/// file unwritten.
const MAX_ZEROS: u64 = 16 << 20;

/// Searches for frames from the current position, allowing for some junk unless a container starts there.
/// Returns the file as `Err` if there are none.
///
/// # Errors
/// Those of the file.
pub fn open<H: FrameHeader>(
    mut bytes: Lookahead,
) -> io::Result<Result<OpenedFrames<H>, Lookahead>> {
    let start = bytes.position();
    let head = tags::peek_after_tags(&mut bytes)?;
    let is_container = tags::is_container(head);
    let has_tag = bytes.position() > start;
    if !is_container {
        skip_zeros(&mut bytes)?;
    }
    let head = tags::peek_after_tags(&mut bytes)?;
    let max_junk_bytes = if tags::is_container(head) {
        0
    } else if has_tag || head.starts_with(b"ID3") {
        MAX_TAG_BYTES
    } else {
        MAX_JUNK_BYTES
    };
    let mut frames = Frames::new(bytes);
    Ok(match frames.next_within(max_junk_bytes)? {
        Some(first) => Ok((frames, first)),
        None => Err(frames.into_bytes()),
    })
}

fn skip_zeros(bytes: &mut Lookahead) -> io::Result<()> {
    let end = bytes.position() + MAX_ZEROS;
    while bytes.position() < end {
        let ahead = bytes.peek(1)?;
        let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
        bytes.skip(zeros as u64)?;
    }
    Ok(())
}

/// Whether enough consecutive frames of one format follow, starting with `first`.
fn is_confirmed<H: FrameHeader>(first: &H, ahead: &[u8]) -> bool {
    let mut at = 0;
    let mut header = *first;
    for index in 1..CONFIRMING_FRAMES {
        at += header.frame_bytes();
        // The file ends with a whole frame, or is truncated within a frame after confirmed ones.
        if at >= ahead.len() {
            return at == ahead.len() || index > 1;
        }
        let rest = &ahead[at..];
        if tags::tag_bytes(rest).is_some() {
            return true;
        }
        match H::parse(rest) {
            Some(next) if next.format() == first.format() => header = next,
            // The file ends within a header.
            None if index > 1 && rest.len() < tags::HEADER_BYTES => return true,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// `#`, a format and the length.
    #[derive(Clone, Copy)]
    struct Header(u8, u8);

    impl FrameHeader for Header {
        type Format = u8;

        const MAX_FRAME_BYTES: usize = 255;

        fn parse(bytes: &[u8]) -> Option<Self> {
            match bytes {
                [b'#', format, length, ..] if *length >= 3 => Some(Self(*format, *length)),
                _ => None,
            }
        }

        fn format(&self) -> u8 {
            self.0
        }

        fn frame_bytes(&self) -> usize {
            self.1.into()
        }
    }

    #[track_caller]
    fn check(file: &[u8], expected: &[&[u8]]) {
        let bytes = Lookahead::new(Box::new(Cursor::new(file.to_vec()))).unwrap();
        let mut frames = Frames::<Header>::new(bytes);
        let found: Vec<Vec<u8>> =
            std::iter::from_fn(|| frames.next().unwrap().map(|(_, frame)| frame)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn accepts_a_frame_before_others_or_the_end_of_the_file() {
        check(
            b"#a\x04.#a\x03#a\x05..",
            &[b"#a\x04.", b"#a\x03", b"#a\x05.."],
        );
        check(b"#a\x04.", &[b"#a\x04."]);
        check(b"#a\x04.junk", &[]);
        check(b"", &[]);
    }

    #[test]
    fn rejects_a_sync_word_by_chance() {
        check(
            b"x#a\x05#a\x04.#a\x04.#a\x04.",
            &[b"#a\x04.", b"#a\x04.", b"#a\x04."],
        );
        // Also within a frame.
        check(
            b"#a\x08#b\x03..#a\x04.#a\x03",
            &[b"#a\x08#b\x03..", b"#a\x04.", b"#a\x03"],
        );
    }

    #[test]
    fn finds_frames_after_junk_and_in_another_format() {
        check(
            b"#a\x03#a\x03#a\x03junk#a\x03#a\x03#a\x03#b\x04.#b\x03#b\x03",
            &[
                b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#b\x04.",
                b"#b\x03", b"#b\x03",
            ],
        );
    }

    #[test]
    fn leading_zeros_do_not_count_as_junk() {
        let frames = b"#a\x04.#a\x03#a\x03";
        let is_found = |front: &[u8]| {
            let file = [front, frames].concat();
            let bytes = Lookahead::new(Box::new(Cursor::new(file))).unwrap();
            match open::<Header>(bytes).unwrap() {
                Ok((_, (_, first))) => {
                    assert_eq!(first, b"#a\x04.");
                    true
                }
                Err(_) => false,
            }
        };
        let tag = b"ID3\x04\0\0\0\0\0\x01\0";
        assert!(is_found(&vec![0; 300_000]));
        assert!(is_found(&[tag, &vec![0; 300_000][..], tag].concat()));
        assert!(is_found(&vec![1; 60_000]));
        assert!(!is_found(&vec![1; 300_000]));
        assert!(!is_found(&vec![0; 20 << 20]));
        // Zeros of a container's first length.
        assert!(!is_found(b"\0\0\0\x18ftyp"));
    }

    #[test]
    fn reads_the_frames_before_a_truncated_frame() {
        check(b"#a\x03#a\x03#a\x09..", &[b"#a\x03", b"#a\x03"]);
        check(b"#a\x03#a\x03#", &[b"#a\x03", b"#a\x03"]);
    }

    #[test]
    fn skips_tags_that_contain_frame_like_bytes() {
        let id3 = b"ID3\x04\0\0\0\0\0\x09#a\x03#a\x03#a\x03";
        let ape = |flags| {
            let mut tag = b"APETAGEX\xd0\x07\0\0\x29\0\0\0\x01\0\0\0\0\0\0".to_vec();
            tag.push(flags);
            tag.resize(32, 0);
            tag
        };
        let ape = [&ape(0xa0)[..], b"#a\x03#a\x03#a\x03", &ape(0x80)].concat();
        let mut file = [&id3[..], b"#a\x04.", id3, b"#a\x04.#a\x04,", &ape, b"TAG"].concat();
        file.extend(b"#a\x05..".repeat(25));
        check(&file, &[b"#a\x04.", b"#a\x04.", b"#a\x04,"]);
    }

    #[test]
    fn a_tag_longer_than_the_file_hides_no_frames() {
        check(
            b"ID3\x04\0\0\x7f\x7f\x7f\x7f#a\x03#a\x03#a\x03",
            &[b"#a\x03", b"#a\x03", b"#a\x03"],
        );
    }
}
