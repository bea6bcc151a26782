//! Reads the pages of an Ogg file (RFC 3533, 6).

use std::io;

use crate::demux::lookahead::Lookahead;

const HEADER_BYTES: usize = 27;

/// Maximum page size: the header, 255 lengths, and 255 times 255 bytes.
const MAX_PAGE_BYTES: usize = HEADER_BYTES + 255 + 255 * 255;

/// Maximum number of wrong check sums before no more are computed: a forged file could claim a long page
/// every few bytes.
const MAX_WRONG_CHECKSUMS: u32 = 1000;

/// A page: its header fields and its packets.
#[derive(Debug)]
pub struct Page {
    /// Whether the first packet started on an earlier page.
    pub is_continued: bool,
    /// Whether it is the first page of a logical stream.
    pub is_first: bool,
    /// Whether it is the last page of a logical stream.
    pub is_last: bool,
    /// End position of the last packet that ends on this page, in units of the codec.
    pub granule: i64,
    /// Serial number of the logical stream.
    pub serial: u32,
    /// Page number within the stream.
    pub sequence: u32,
    lengths: Vec<u8>,
    data: Vec<u8>,
}

/// A packet, or the part of it that is on a page.
#[derive(Debug, PartialEq, Eq)]
pub struct PacketPart<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Whether the packet ends with this part.
    pub is_end: bool,
}

impl Page {
    /// The packets and parts of packets, in order. Of a truncated page, only complete ones.
    pub fn parts(&self) -> Vec<PacketPart<'_>> {
        let mut parts = Vec::new();
        let mut rest = &self.data[..];
        for lengths in self.lengths.split_inclusive(|length| *length < 255) {
            let length = lengths.iter().map(|length| usize::from(*length)).sum();
            let Some((data, next)) = rest.split_at_checked(length) else {
                break;
            };
            rest = next;
            parts.push(PacketPart {
                data,
                is_end: lengths.last() != Some(&255),
            });
        }
        parts
    }
}

/// Iterates over pages, skipping anything between them.
///
/// A page is accepted if it is followed by another page or the end of the file, or if its check sum is
/// correct. Most codecs tolerate a few wrong bits better than the loss of a page.
#[derive(Default)]
pub struct Pages {
    wrong_checksums: u32,
}

impl Pages {
    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next(&mut self, bytes: &mut Lookahead) -> io::Result<Option<Page>> {
        loop {
            let ahead = bytes.peek(MAX_PAGE_BYTES + HEADER_BYTES)?;
            if ahead.is_empty() {
                return Ok(None);
            }
            if let Some((page, length)) = parse(ahead)
                && self.is_valid(ahead, length)
            {
                let length = length.min(ahead.len());
                bytes.skip(length as u64)?;
                return Ok(Some(page));
            }
            let next = ahead[1..].windows(4).position(|bytes| bytes == b"OggS");
            let junk = next.map_or(ahead.len().saturating_sub(3).max(1), |next| next + 1);
            bytes.skip(junk as u64)?;
        }
    }

    fn is_valid(&mut self, ahead: &[u8], length: usize) -> bool {
        if ahead.len() <= length || ahead[length..].starts_with(b"OggS") {
            return true;
        }
        if self.wrong_checksums >= MAX_WRONG_CHECKSUMS {
            return false;
        }
        let is_right = checksum(&ahead[..length]).to_le_bytes() == ahead[22..26];
        self.wrong_checksums += u32::from(!is_right);
        is_right
    }
}

/// Parses the page at the start of `bytes`; also returns its length. It may be truncated at the end of the
/// file.
fn parse(bytes: &[u8]) -> Option<(Page, usize)> {
    let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    // Version 0 and three flags.
    if !header.starts_with(b"OggS\0") || header[5] > 7 {
        return None;
    }
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        u32::from_le_bytes(bytes)
    };
    let granule = u64::from(number(10)) << 32 | u64::from(number(6));
    let start = HEADER_BYTES + usize::from(header[26]);
    let lengths = bytes.get(HEADER_BYTES..start)?.to_vec();
    let length: usize = lengths.iter().map(|length| usize::from(*length)).sum();
    let end = start + length;
    let page = Page {
        is_continued: header[5] & 1 != 0,
        is_first: header[5] & 2 != 0,
        is_last: header[5] & 4 != 0,
        granule: granule.cast_signed(),
        serial: number(14),
        sequence: number(18),
        lengths,
        data: bytes[start..end.min(bytes.len())].to_vec(),
    };
    Some((page, end))
}

/// The check sum of a page, computed with 0 in its own field (polynomial 0x04c11db7, not reflected).
pub fn checksum(page: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for (at, byte) in page.iter().enumerate() {
        let byte = if (22..26).contains(&at) { 0 } else { *byte };
        sum = sum << 8 ^ CRC[usize::from((sum >> 24) as u8 ^ byte)];
    }
    sum
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = value << 1 ^ if value >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::tests::page;
    use super::*;

    /// The first packet of each page.
    fn read(file: &[u8]) -> Vec<String> {
        let mut bytes = Lookahead::new(Box::new(Cursor::new(file.to_vec()))).unwrap();
        let mut pages = Pages::default();
        std::iter::from_fn(|| pages.next(&mut bytes).unwrap())
            .map(|page| {
                let parts = page.parts();
                let first = parts.first().map_or(&b"nothing"[..], |part| part.data);
                String::from_utf8_lossy(first).into_owned()
            })
            .collect()
    }

    #[test]
    fn finds_pages_between_junk() {
        let [a, b, c] = [b"aa", b"bb", b"cc"].map(|packet| page(1, 0, 0, 0, &[packet]));
        let file = [b"junk OggS", &a[..], b"OggS\0junk", &b, &c, b"Ogg"];
        assert_eq!(read(&file.concat()), ["aa", "bb", "cc"]);
        assert_eq!(read(&vec![b'O'; 300_000]), [""; 0]);
    }

    #[test]
    fn accepts_a_wrong_check_sum_before_another_page() {
        let [mut a, b] = [b"aa", b"bb"].map(|packet| page(1, 0, 0, 0, &[packet]));
        a[22] ^= 1;
        assert_eq!(read(&[&a[..], &b].concat()), ["aa", "bb"]);
        assert_eq!(read(&[&a[..], b"x", &b].concat()), ["bb"]);
    }

    #[test]
    fn reads_the_complete_packets_of_a_truncated_page() {
        let mut file = page(1, 0, 0, 0, &[b"aa", b"bb"]);
        file.pop();
        let mut bytes = Lookahead::new(Box::new(Cursor::new(file))).unwrap();
        let page = Pages::default().next(&mut bytes).unwrap().unwrap();
        let parts = page.parts();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].data, b"aa");
    }

    #[test]
    fn distinguishes_packets_from_parts() {
        let mut file = page(1, 0, 0, 7, &[&[7; 510], b"", b"x"]);
        // The last packet continues on the next page.
        file[26] += 1;
        let at = HEADER_BYTES + 5;
        file[at - 1] = 255;
        file.insert(at, 255);
        file.extend([8; 509]);
        let (page, _) = parse(&file).unwrap();
        let parts: Vec<_> = page
            .parts()
            .iter()
            .map(|part| (part.data.len(), part.is_end))
            .collect();
        assert_eq!(parts, [(510, true), (0, true), (510, false)]);
        assert_eq!(page.granule, 7);
    }
}
