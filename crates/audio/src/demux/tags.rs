//! Recognises tags and the magic bytes of containers.

use std::io;

use super::lookahead::Lookahead;

/// Skips the tag at the current position, if there is one.
///
/// # Errors
/// Those of the file.
pub fn skip(bytes: &mut Lookahead) -> io::Result<bool> {
    let Some(length) = tag_bytes(bytes.peek(HEADER_BYTES)?) else {
        return Ok(false);
    };
    // A length beyond the end is damage; frames may follow.
    let end = bytes.position().checked_add(length);
    if end.is_none_or(|end| end > bytes.file_bytes().unwrap_or(u64::MAX)) {
        return Ok(false);
    }
    bytes.skip(length)?;
    Ok(true)
}

/// Skips the tags at the current position and returns the bytes that follow.
///
/// # Errors
/// Those of the file.
pub fn peek_after_tags(bytes: &mut Lookahead) -> io::Result<&[u8]> {
    while skip(bytes)? {}
    bytes.peek(MAX_HEAD_BYTES)
}

/// Number of bytes of a tag that contain its length.
pub const HEADER_BYTES: usize = 32;

/// The length of the tag that starts with `bytes`: `ID3v2` (id3.org, 3.1), `ID3v1` or `APEv2`.
pub fn tag_bytes(bytes: &[u8]) -> Option<u64> {
    if let Some(&[version, _, flags, a, b, c, d]) =
        bytes.strip_prefix(b"ID3").and_then(<[u8]>::first_chunk)
    {
        let is_valid = version < 0xff && [a, b, c, d].iter().all(|byte| *byte < 0x80);
        let has_footer = flags & 0x10 != 0;
        let length = [a, b, c, d]
            .iter()
            .fold(0, |length, byte| length << 7 | u64::from(*byte));
        return is_valid.then_some(10 + length + if has_footer { 10 } else { 0 });
    }
    if bytes.starts_with(b"TAG+") {
        return Some(227);
    }
    if bytes.starts_with(b"TAG") {
        return Some(128);
    }
    let fields = bytes.strip_prefix(b"APETAGEX")?;
    let length = u32::from_le_bytes(*fields.get(4..)?.first_chunk()?);
    let flags = u32::from_le_bytes(*fields.get(12..)?.first_chunk()?);
    // Bit 29 is set in the header, which is followed by the items, but not in the footer, which ends the tag.
    let is_header = flags & 1 << 29 != 0;
    Some(32 + if is_header { u64::from(length) } else { 0 })
}

/// Magic bytes of containers, with their offsets.
const CONTAINERS: [(usize, &[u8]); 21] = [
    (0, b"RIFF"),
    (0, b"RF64"),
    (0, b"BW64"),
    (0, b"RIFX"),
    (0, b"FORM"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (0, b"caff"),
    (0, b".snd"),
    (0, b"\x1a\x45\xdf\xa3"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"moof"),
    (4, b"styp"),
    (4, b"sidx"),
    (4, b"uuid"),
    (4, b"pnot"),
    (4, b"free"),
    (4, b"skip"),
    (4, b"wide"),
];
/// Bytes needed to recognise a container, or the free bit rate of MPEG audio.
const MAX_HEAD_BYTES: usize = 9_000;

/// Whether `head` is the beginning of a container.
pub fn is_container(head: &[u8]) -> bool {
    // Packets of a transport stream (ISO/IEC 13818-1, 2.4.3.2), also with a time stamp of four bytes each.
    let is_transport_stream = [(0, 188), (4, 192)].iter().any(|(at, length)| {
        [*at, at + length]
            .iter()
            .all(|at| head.get(*at) == Some(&0x47))
    });
    is_transport_stream
        || CONTAINERS
            .iter()
            .any(|(at, magic)| head.get(*at..).is_some_and(|head| head.starts_with(magic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_length_of_a_tag() {
        let ape = |flags: u8| {
            let mut tag = b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0".to_vec();
            tag.push(flags);
            tag_bytes(&tag)
        };
        assert_eq!(ape(0xa0), Some(32 + 64));
        assert_eq!(ape(0x80), Some(32));
        assert_eq!(tag_bytes(b"ID3\x04\0\0\0\0\x01\x02"), Some(10 + 130));
        assert_eq!(tag_bytes(b"ID3\x04\0\x10\0\0\0\0"), Some(20));
        assert_eq!(tag_bytes(b"ID3\x04\0\0\0\0\x01\x80"), None);
        assert_eq!(tag_bytes(b"TAG"), Some(128));
        assert_eq!(tag_bytes(b"TAG+"), Some(227));
        assert_eq!(tag_bytes(b"APETAGEX"), None);
        assert_eq!(tag_bytes(b""), None);
    }

    #[test]
    fn distinguishes_containers_from_streams() {
        let mut packets = vec![0; 200];
        packets[4] = 0x47;
        packets[196] = 0x47;
        for head in [&b"RIFF"[..], b"\0\0\0\x18ftypM4A ", &packets] {
            assert!(is_container(head));
        }
        for head in [&b""[..], b"\xff\xfb\x90\0", b"\x47\0", b"ftyp"] {
            assert!(!is_container(head));
        }
    }
}
