//! Finds the frames of a stream without a container: ADTS and MPEG audio.
//!
//! A sync word of eleven or twelve bits stands in any long file by chance. A frame counts if another of
//! the same format follows where it ends, or a tag, or the end of the file; once that is proved, it
//! counts if it stands where the last one ended.

use std::io;

use super::lookahead::Lookahead;
use super::tags;

/// The number of consecutive frames that proves a format.
const PROOF_FRAMES: usize = 3;

/// How far into a file the first frame may begin, tags excluded.
const MAX_JUNK_BYTES: u64 = 64 * 1024;

/// The same behind a tag, whose length may be wrong and which may hold a picture.
const MAX_TAG_BYTES: u64 = 16 << 20;

/// The header of a frame.
pub trait FrameHeader: Copy {
    /// What stays the same from frame to frame of one recording.
    type Format: Copy + PartialEq;

    /// The longest frame, in bytes.
    const MAX_FRAME_BYTES: usize;

    /// Reads a header from the beginning of these bytes, if there is a valid one.
    fn parse(bytes: &[u8]) -> Option<Self>;

    /// What must stay the same.
    fn format(&self) -> Self::Format;

    /// The length of the frame with its header, in bytes; never 0.
    fn frame_bytes(&self) -> usize;
}

/// The frames of a file, one after the other; what lies between them is left out.
pub struct Frames<H: FrameHeader> {
    bytes: Lookahead,
    /// The format of the last frame, while the next one should begin here.
    expected: Option<H::Format>,
}

impl<H: FrameHeader> Frames<H> {
    /// Goes through a file from where it stands.
    pub fn new(bytes: Lookahead) -> Self {
        Self {
            bytes,
            expected: None,
        }
    }

    /// The next frame with its header. The bytes are looked at within the limit, which tags do not use up.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next_within(&mut self, max_junk_bytes: u64) -> io::Result<Option<(H, Vec<u8>)>> {
        let mut junk_left = max_junk_bytes;
        loop {
            if tags::skip(&mut self.bytes)? {
                continue;
            }
            let ahead = self.bytes.peek(PROOF_FRAMES * H::MAX_FRAME_BYTES)?;
            if ahead.is_empty() {
                return Ok(None);
            }
            let header = H::parse(ahead).filter(|header| {
                let is_whole = ahead.len() >= header.frame_bytes();
                is_whole && (self.expected == Some(header.format()) || is_proved(header, ahead))
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

    /// As [`next_within`](Self::next_within), to the end of the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next(&mut self) -> io::Result<Option<(H, Vec<u8>)>> {
        self.next_within(u64::MAX)
    }

    /// Gives the file back.
    pub fn into_bytes(self) -> Lookahead {
        self.bytes
    }
}

/// A file with the frames of a format, and the first one.
pub type Opened<H> = (Frames<H>, (H, Vec<u8>));

/// As many zeros in front of a stream are stepped over: a recorder or a file system may have left the
/// beginning of a file unwritten.
const MAX_ZEROS: u64 = 16 << 20;

/// Looks for frames from where a file stands: at once, or behind some junk if no container begins there.
/// Otherwise gives the file back.
///
/// # Errors
/// Those of the file.
pub fn open<H: FrameHeader>(mut bytes: Lookahead) -> io::Result<Result<Opened<H>, Lookahead>> {
    let start = bytes.position();
    let head = tags::peek_behind(&mut bytes)?;
    let is_container = tags::is_container(head);
    let has_tag = bytes.position() > start;
    if !is_container {
        skip_zeros(&mut bytes)?;
    }
    let head = tags::peek_behind(&mut bytes)?;
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

/// Whether frames of one format follow one another from here on.
fn is_proved<H: FrameHeader>(first: &H, ahead: &[u8]) -> bool {
    let mut at = 0;
    let mut header = *first;
    for index in 1..PROOF_FRAMES {
        at += header.frame_bytes();
        // The file ends with a whole frame, or it was cut off in one that others prove.
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
    fn a_frame_counts_where_others_follow_or_the_file_ends() {
        check(
            b"#a\x04.#a\x03#a\x05..",
            &[b"#a\x04.", b"#a\x03", b"#a\x05.."],
        );
        check(b"#a\x04.", &[b"#a\x04."]);
        check(b"#a\x04.junk", &[]);
        check(b"", &[]);
    }

    #[test]
    fn a_sync_word_by_chance_is_no_frame() {
        check(
            b"x#a\x05#a\x04.#a\x04.#a\x04.",
            &[b"#a\x04.", b"#a\x04.", b"#a\x04."],
        );
        // Within a frame, too.
        check(
            b"#a\x08#b\x03..#a\x04.#a\x03",
            &[b"#a\x08#b\x03..", b"#a\x04.", b"#a\x03"],
        );
    }

    #[test]
    fn frames_are_found_again_behind_junk_and_in_another_format() {
        check(
            b"#a\x03#a\x03#a\x03junk#a\x03#a\x03#a\x03#b\x04.#b\x03#b\x03",
            &[
                b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#a\x03", b"#b\x04.",
                b"#b\x03", b"#b\x03",
            ],
        );
    }

    #[test]
    fn zeros_in_front_are_no_junk() {
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
        // Those of a container's first length.
        assert!(!is_found(b"\0\0\0\x18ftyp"));
    }

    #[test]
    fn a_file_that_ends_within_a_frame_gives_those_before() {
        check(b"#a\x03#a\x03#a\x09..", &[b"#a\x03", b"#a\x03"]);
        check(b"#a\x03#a\x03#", &[b"#a\x03", b"#a\x03"]);
    }

    #[test]
    fn tags_are_stepped_over_with_what_looks_like_frames_in_them() {
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
    fn a_tag_that_claims_more_than_the_file_has_hides_nothing() {
        check(
            b"ID3\x04\0\0\x7f\x7f\x7f\x7f#a\x03#a\x03#a\x03",
            &[b"#a\x03", b"#a\x03", b"#a\x03"],
        );
    }
}
