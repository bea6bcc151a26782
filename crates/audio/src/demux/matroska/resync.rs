//! Resynchronises after damage: finds the next block, cluster or recording.

use std::io;

use super::blocks::ExpectedBlocks;
use super::ebml::{Element, MAX_HEADER_BYTES, child, id};
use super::is_known;
use crate::demux::lookahead::Lookahead;

/// Maximum size of a recording's header, which has a few small fields.
pub const MAX_EBML_BYTES: usize = 1024;

/// Bytes searched at a time.
const WINDOW_BYTES: usize = 64 * 1024;

/// Searches for valid elements, at a total cost of a few times the length of the file.
pub struct Resync {
    /// Start of the last block, within which the damage may start: a truncated recording followed by
    /// another ends in a block whose length extends into the other's header.
    last_block: Option<u64>,
    /// Number of bytes that may still be read again.
    rereads_left: u64,
}

impl Resync {
    /// For a file of `file_bytes` bytes.
    pub fn new(file_bytes: u64) -> Self {
        Self {
            last_block: None,
            rereads_left: file_bytes,
        }
    }

    /// Records that a block starts at `position`.
    pub fn note_block(&mut self, position: u64) {
        self.last_block = Some(position);
    }

    /// Moves to the next block of the current cluster, the next cluster or the next recording, searching
    /// from the last block on; false if there is none.
    ///
    /// # Errors
    /// Those of the file.
    pub fn find(&mut self, bytes: &mut Lookahead, blocks: &ExpectedBlocks) -> io::Result<bool> {
        let position = bytes.position();
        let start = self.last_block.take().map(|block| block + 1);
        let start = start.unwrap_or(position + 1);
        let rereads = (position + 1).saturating_sub(start);
        match self.rereads_left.checked_sub(rereads) {
            Some(left) => {
                self.rereads_left = left;
                bytes.seek(start)?;
            }
            None => bytes.skip(1)?,
        }
        loop {
            let ahead = bytes.peek(WINDOW_BYTES * 2)?;
            if ahead.is_empty() {
                return Ok(false);
            }
            let searched = ahead.len().min(WINDOW_BYTES);
            let found = (0..searched).find(|at| {
                let ahead = &ahead[*at..];
                match ahead[0] {
                    0x1a => is_recording(ahead),
                    0x1f => is_cluster(ahead),
                    0xa3 => are_blocks(ahead, blocks),
                    _ => false,
                }
            });
            bytes.skip(found.unwrap_or(searched) as u64)?;
            if found.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Whether a recording starts here: a header that names Matroska or WebM.
pub fn is_recording(bytes: &[u8]) -> bool {
    let content = |element: Element| {
        let length = usize::try_from(element.content_bytes?).ok()?;
        bytes.get(element.header_bytes..)?.get(..length)
    };
    Element::parse(bytes)
        .filter(|element| element.id == id::EBML)
        .and_then(content)
        .is_some_and(has_known_doc_type)
}

/// Whether the content of an EBML header names Matroska or WebM.
pub fn has_known_doc_type(content: &[u8]) -> bool {
    child(content, id::DOC_TYPE)
        .is_some_and(|name| name.starts_with(b"matroska") || name.starts_with(b"webm"))
}

/// Whether a cluster starts here, with a known element in it.
fn is_cluster(bytes: &[u8]) -> bool {
    let Some(cluster) = Element::parse(bytes).filter(|element| element.id == id::CLUSTER) else {
        return false;
    };
    let content = bytes.get(cluster.header_bytes..).unwrap_or_default();
    let content = &content[..content.len().min(MAX_HEADER_BYTES)];
    Element::parse(content).is_some_and(|child| is_known(child.id))
}

/// Whether a block of the current cluster starts here, followed by another block or a known element.
fn are_blocks(bytes: &[u8], expected: &ExpectedBlocks) -> bool {
    let block = |bytes: &[u8]| {
        let element = Element::parse(bytes).filter(|element| element.id == id::SIMPLE_BLOCK)?;
        let end = usize::try_from(element.content_bytes?)
            .ok()?
            .checked_add(element.header_bytes)?;
        let is_expected = expected.matches(bytes.get(element.header_bytes..end)?);
        is_expected.then_some(end)
    };
    let Some(next) = block(bytes).map(|end| &bytes[end..]) else {
        return false;
    };
    match Element::parse(next) {
        Some(element) if element.id == id::SIMPLE_BLOCK => block(next).is_some(),
        Some(element) => is_known(element.id),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::element;
    use super::*;

    fn cluster() -> Vec<u8> {
        element(id::CLUSTER, &element(id::TIMESTAMP, &[0]))
    }

    fn blocks() -> ExpectedBlocks {
        ExpectedBlocks {
            tracks: vec![1],
            from: Some(100),
        }
    }

    fn header(doc_type: &[u8]) -> Vec<u8> {
        element(id::EBML, &element(id::DOC_TYPE, doc_type))
    }

    #[track_caller]
    fn check(parts: &[&[u8]], expected: Option<usize>) {
        let mut bytes = Lookahead::new(Box::new(Cursor::new(parts.concat()))).unwrap();
        let mut resync = Resync::new(1_000_000);
        let found = resync.find(&mut bytes, &blocks()).unwrap();
        assert_eq!(found.then_some(bytes.position() as usize), expected);
    }

    #[test]
    fn finds_clusters_and_recordings_but_no_lookalikes() {
        check(&[b"junk", &cluster()], Some(4));
        check(&[b"junk", &header(b"webm")], Some(4));
        check(&[b"junk", &header(b"other"), &cluster()], Some(4 + 19));
        check(&[b"\x1f\x43\xb6\x75\x80junk"], None);
        check(&[b"\x1f\x43\xb6\x75"], None);
        check(&[&vec![0x1a; 200_000], &cluster()], Some(200_000));
        check(
            &[&vec![0x1f; WINDOW_BYTES - 2], &cluster()],
            Some(WINDOW_BYTES - 2),
        );
    }

    #[test]
    fn finds_blocks_of_the_current_cluster() {
        let block = |track: u8, time: u8, flags| {
            element(id::SIMPLE_BLOCK, &[0x80 | track, 0, time, flags, 7])
        };
        let good = block(1, 100, 0x80);
        check(&[b"junk", &good, &block(1, 120, 0)], Some(4));
        check(&[b"junk", &good, &cluster()], Some(4));
        // Not a single block, nor one with another track, an earlier time or invalid flags.
        check(&[b"junk", &good, b"junk"], None);
        for other in [block(2, 100, 0), block(1, 99, 0), block(1, 100, 0x10)] {
            check(&[b"junk", &other, &other, b"junk"], None);
            check(&[b"junk", &good, &other, b"junk"], None);
        }
    }

    #[test]
    fn limits_the_bytes_that_are_read_again() {
        let file = [&[0; 100][..], &cluster()].concat();
        let mut bytes = Lookahead::new(Box::new(Cursor::new(file))).unwrap();
        let mut resync = Resync::new(60);

        bytes.skip(50).unwrap();
        resync.note_block(10);
        assert!(resync.find(&mut bytes, &blocks()).unwrap());
        assert_eq!(resync.rereads_left, 20);

        bytes.seek(90).unwrap();
        resync.note_block(10);
        assert!(resync.find(&mut bytes, &blocks()).unwrap());
        assert_eq!(resync.rereads_left, 20);
    }
}
