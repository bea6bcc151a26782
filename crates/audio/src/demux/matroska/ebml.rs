//! Reads the elements of EBML (RFC 8794): an identifier, a length, and content.

/// Identifiers of RFC 8794 and RFC 9559, with their marker bits.
pub mod id {
    pub const EBML: u32 = 0x1a45_dfa3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const VOID: u32 = 0xec;
    pub const CRC_32: u32 = 0xbf;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const SEEK_HEAD: u32 = 0x114d_9b74;
    pub const INFO: u32 = 0x1549_a966;
    pub const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub const CUES: u32 = 0x1c53_bb6b;
    pub const TAGS: u32 = 0x1254_c367;
    pub const CHAPTERS: u32 = 0x1043_a770;
    pub const ATTACHMENTS: u32 = 0x1941_a469;
    pub const CLUSTER: u32 = 0x1f43_b675;
    pub const TIMESTAMP: u32 = 0xe7;
    pub const SILENT_TRACKS: u32 = 0x5854;
    pub const POSITION: u32 = 0xa7;
    pub const PREV_SIZE: u32 = 0xab;
    pub const ENCRYPTED_BLOCK: u32 = 0xaf;
    pub const SIMPLE_BLOCK: u32 = 0xa3;
    pub const BLOCK_GROUP: u32 = 0xa0;
    pub const BLOCK: u32 = 0xa1;
    pub const BLOCK_DURATION: u32 = 0x9b;
    pub const DISCARD_PADDING: u32 = 0x75a2;
    pub const TRACKS: u32 = 0x1654_ae6b;
    pub const TRACK_ENTRY: u32 = 0xae;
    pub const TRACK_NUMBER: u32 = 0xd7;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const FLAG_ENABLED: u32 = 0xb9;
    pub const FLAG_DEFAULT: u32 = 0x88;
    pub const DEFAULT_DURATION: u32 = 0x23_e383;
    pub const CODEC_ID: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63a2;
    pub const CODEC_DELAY: u32 = 0x56aa;
    pub const AUDIO: u32 = 0xe1;
    pub const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub const CHANNELS: u32 = 0x9f;
    pub const BIT_DEPTH: u32 = 0x6264;
    pub const CONTENT_ENCODINGS: u32 = 0x6d80;
    pub const CONTENT_ENCODING: u32 = 0x6240;
    pub const CONTENT_ENCODING_ORDER: u32 = 0x5031;
    pub const CONTENT_ENCODING_SCOPE: u32 = 0x5032;
    pub const CONTENT_ENCODING_TYPE: u32 = 0x5033;
    pub const CONTENT_COMPRESSION: u32 = 0x5034;
    pub const CONTENT_COMP_ALGO: u32 = 0x4254;
    pub const CONTENT_COMP_SETTINGS: u32 = 0x4255;
}

/// Maximum size of an identifier (4) and a length (8).
pub const MAX_HEADER_BYTES: usize = 12;

/// The header of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Identifier, including its marker bits.
    pub id: u32,
    /// Size of identifier and length.
    pub header_bytes: usize,
    /// Length of the content; `None` if it ends at the next element of the parent's level.
    pub content_bytes: Option<u64>,
}

impl Element {
    /// Parses the header at the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let id_bytes = bytes.first()?.leading_zeros() as usize + 1;
        if id_bytes > 4 {
            return None;
        }
        let id = big_endian(bytes.get(..id_bytes)?) as u32;
        let (length, length_bytes) = variable_size(&bytes[id_bytes..])?;
        let is_unknown = length == (1 << (7 * length_bytes)) - 1;
        Some(Self {
            id,
            header_bytes: id_bytes + length_bytes,
            content_bytes: (!is_unknown).then_some(length),
        })
    }
}

/// A variable-size integer (RFC 8794, 4) and its length in bytes.
pub fn variable_size(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let value = big_endian(bytes.get(..length)?);
    Some((value & ((1 << (7 * length)) - 1), length))
}

/// The child elements in `content`: identifier and content. Stops at a damaged one.
pub fn children(mut content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = Element::parse(content)?;
        let length = usize::try_from(element.content_bytes?).ok()?;
        let rest = content.get(element.header_bytes..)?;
        let (child, next) = rest.split_at_checked(length)?;
        content = next;
        Some((element.id, child))
    })
}

/// The first child with this identifier.
pub fn child(content: &[u8], id: u32) -> Option<&[u8]> {
    children(content).find_map(|(found, content)| (found == id).then_some(content))
}

/// Decodes an unsigned integer; 0 if it is too long.
pub fn unsigned(content: &[u8]) -> u64 {
    if content.len() > 8 {
        0
    } else {
        big_endian(content)
    }
}

/// Decodes a signed integer; 0 if it is too long.
pub fn signed(content: &[u8]) -> i64 {
    let bits = content.len() as u32 * 8;
    match bits {
        0 | 72.. => 0,
        _ => unsigned(content).cast_signed() << (64 - bits) >> (64 - bits),
    }
}

/// Decodes a floating point number; 0 if its length is invalid.
pub fn float(content: &[u8]) -> f64 {
    if let Ok(bytes) = content.try_into() {
        return f64::from_be_bytes(bytes);
    }
    content
        .try_into()
        .map_or(0.0, |bytes| f64::from(f32::from_be_bytes(bytes)))
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers_of_known_and_unknown_length() {
        let element = |id, header_bytes, content_bytes| {
            Some(Element {
                id,
                header_bytes,
                content_bytes,
            })
        };
        assert_eq!(Element::parse(b"\xa3\x85"), element(0xa3, 2, Some(5)));
        assert_eq!(
            Element::parse(b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff"),
            element(id::CLUSTER, 12, None)
        );
        assert_eq!(Element::parse(b"\x42\x82\xff"), element(0x4282, 3, None));
        assert_eq!(Element::parse(b"\xec\x40\x7f"), element(0xec, 3, Some(127)));
        for damaged in [&b""[..], b"\xa3", b"\x08\0\0\0\x81", b"\xa3\0", b"\xa3\x40"] {
            assert_eq!(Element::parse(damaged), None);
        }
    }

    #[test]
    fn reads_the_complete_children() {
        let content = b"\xd7\x81\x07\x86\x83abc\xec\x84x";
        let found: Vec<_> = children(content).collect();
        assert_eq!(found, [(0xd7, &b"\x07"[..]), (0x86, b"abc")]);
        assert_eq!(child(content, 0x86), Some(&b"abc"[..]));
        assert_eq!(child(content, 0xec), None);
    }

    #[test]
    fn reads_numbers() {
        assert_eq!(unsigned(b"\x01\x02"), 258);
        assert_eq!(unsigned(b""), 0);
        assert_eq!(unsigned(&[0xff; 9]), 0);
        assert_eq!(signed(b"\xff\xfe"), -2);
        assert_eq!(signed(b"\x7f"), 127);
        assert_eq!(signed(&[0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN);
        assert_eq!(signed(b""), 0);
        assert_eq!(signed(&[1; 9]), 0);
        assert!((float(&44_100f32.to_be_bytes()) - 44_100.0).abs() < 1e-9);
        assert!((float(&0.5f64.to_be_bytes()) - 0.5).abs() < 1e-9);
        assert!(float(b"abc").abs() < 1e-9);
    }
}
