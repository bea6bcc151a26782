//! Splits a block into frames (RFC 9559, 10).

use super::ebml::variable_size;

/// A `SimpleBlock`, or the `Block` of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Track number.
    pub track: u64,
    /// Time stamp relative to the cluster's, in ticks.
    pub relative_timestamp: i16,
    /// The frames, as stored.
    pub frames: Vec<&'a [u8]>,
}

impl<'a> Block<'a> {
    /// Parses a block. Damaged lacing yields a single frame of all bytes, which decoders reject.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (track, at) = variable_size(bytes)?;
        let (&[high, low, flags], content) = bytes.get(at..)?.split_first_chunk()?;
        let frames = match flags >> 1 & 3 {
            0 => None,
            1 => xiph(content),
            2 => fixed(content),
            _ => ebml(content),
        };
        Some(Self {
            track,
            relative_timestamp: i16::from_be_bytes([high, low]),
            frames: frames.unwrap_or_else(|| vec![content]),
        })
    }
}

/// Lengths coded as in Ogg: bytes of 255 and a smaller last byte. The last frame is the remainder.
fn xiph(content: &[u8]) -> Option<Vec<&[u8]>> {
    let (&others, mut rest) = content.split_first()?;
    let mut lengths = Vec::new();
    for _ in 0..others {
        let full = rest.iter().take_while(|byte| **byte == 255).count();
        lengths.push(full * 255 + usize::from(*rest.get(full)?));
        rest = &rest[full + 1..];
    }
    split(rest, &lengths)
}

/// A length, then differences of lengths. The last frame is the remainder.
fn ebml(content: &[u8]) -> Option<Vec<&[u8]>> {
    let (&others, mut rest) = content.split_first()?;
    let mut lengths = Vec::new();
    let mut length = 0_i64;
    for index in 0..others {
        let (value, bytes) = variable_size(rest)?;
        rest = &rest[bytes..];
        length = match index {
            0 => value.cast_signed(),
            // Differences are stored with a bias of half their range.
            _ => length + value.cast_signed() - ((1 << (7 * bytes - 1)) - 1),
        };
        lengths.push(usize::try_from(length).ok()?);
        // Prevents the sum above from overflowing.
        if length > content.len() as i64 {
            return None;
        }
    }
    split(rest, &lengths)
}

/// Frames of equal length.
fn fixed(content: &[u8]) -> Option<Vec<&[u8]>> {
    let (&others, rest) = content.split_first()?;
    let frames = usize::from(others) + 1;
    if rest.is_empty() || rest.len() % frames != 0 {
        return None;
    }
    Some(rest.chunks(rest.len() / frames).collect())
}

fn split<'a>(mut rest: &'a [u8], lengths: &[usize]) -> Option<Vec<&'a [u8]>> {
    let mut frames = Vec::new();
    for length in lengths {
        let (frame, next) = rest.split_at_checked(*length)?;
        frames.push(frame);
        rest = next;
    }
    frames.push(rest);
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(flags: u8, content: &[u8], expected: &[&[u8]]) {
        let bytes = [&[0x81, 0xff, 0xfe, flags], content].concat();
        let block = Block::parse(&bytes).unwrap();
        assert_eq!((block.track, block.relative_timestamp), (1, -2));
        assert_eq!(block.frames, expected);
    }

    #[test]
    fn reads_all_kinds_of_lacing() {
        check(0x80, b"one", &[b"one"]);
        check(0x82, b"\x02\x01\x02abbccc", &[b"a", b"bb", b"ccc"]);
        check(0x84, b"\x01aabb", &[b"aa", b"bb"]);
        check(0x86, b"\x02\x83\xbeaaabbccc", &[b"aaa", b"bb", b"ccc"]);
        let long = [&b"\x01\xff\x01"[..], &[7; 256], b"rest"].concat();
        check(0x82, &long, &[&[7; 256], b"rest"]);
    }

    #[test]
    fn damaged_lacing_yields_one_frame() {
        for (flags, content) in [
            (2, &b""[..]),
            (2, b"\x01"),
            (2, b"\x01\xff\xff"),
            (2, b"\x02\x09\x09abc"),
            (4, b"\x01abc"),
            (4, b"\x01"),
            (6, b"\x02\x83\x80abc"),
            (6, b"\x02\x01\xff\xff\xff\xff\xff\xff\xff\x80abc"),
        ] {
            check(flags, content, &[content]);
        }
        assert_eq!(Block::parse(b"\x81\0\0"), None);
        assert_eq!(Block::parse(b""), None);
    }
}
