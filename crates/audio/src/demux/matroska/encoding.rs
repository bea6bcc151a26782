//! Reverses the content encodings of a track: compression and header stripping (RFC 9559, 5.1.4.1.31).

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::ebml::{child, children, id, unsigned};

/// Maximum size of a decompressed frame or of a codec's private data.
const MAX_FRAME_BYTES: u64 = 1 << 20;

/// Writers compress once and strip a few bytes.
const MAX_STEPS: usize = 4;
const MAX_STRIPPED_BYTES: usize = 4096;

/// Scopes of an encoding (RFC 9559, 5.1.4.1.31.3).
const SCOPE_FRAMES: u64 = 1;
const SCOPE_PRIVATE: u64 = 2;

/// One decoding step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DecodingStep {
    /// Prepends bytes that were stripped.
    Prepend(Vec<u8>),
    /// Decompresses zlib data (RFC 1950).
    Inflate,
}

/// All steps with their scopes, in the order of decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentEncodings {
    steps: Vec<(u64, DecodingStep)>,
}

impl ContentEncodings {
    /// Parses the `ContentEncodings` of a track; the error names the unsupported encoding.
    pub fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let mut encodings: Vec<&[u8]> = children(content)
            .filter_map(|(found, content)| (found == id::CONTENT_ENCODING).then_some(content))
            .collect();
        if encodings.len() > MAX_STEPS {
            return Err("compressed");
        }
        // The last encoding is reversed first.
        encodings.sort_by_key(|encoding| {
            let order = child(encoding, id::CONTENT_ENCODING_ORDER).map_or(0, unsigned);
            std::cmp::Reverse(order)
        });
        let steps = encodings.into_iter().map(step).collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// A frame as written by its codec; `None` if it is damaged.
    pub fn frame(&self, frame: &[u8]) -> Option<Vec<u8>> {
        self.decode(SCOPE_FRAMES, frame)
    }

    /// Private data as written by its codec; `None` if it is damaged.
    pub fn private(&self, private: &[u8]) -> Option<Vec<u8>> {
        self.decode(SCOPE_PRIVATE, private)
    }

    fn decode(&self, scope: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        for (_, step) in self.steps.iter().filter(|(of, _)| of & scope != 0) {
            bytes = match step {
                DecodingStep::Prepend(front) => [&front[..], &bytes].concat(),
                DecodingStep::Inflate => inflate(&bytes)?,
            };
        }
        Some(bytes)
    }
}

fn step(encoding: &[u8]) -> Result<(u64, DecodingStep), &'static str> {
    let scope = child(encoding, id::CONTENT_ENCODING_SCOPE).map_or(SCOPE_FRAMES, unsigned);
    if child(encoding, id::CONTENT_ENCODING_TYPE).map_or(0, unsigned) != 0 {
        return Err("encrypted");
    }
    let compression = child(encoding, id::CONTENT_COMPRESSION).unwrap_or_default();
    let settings = child(compression, id::CONTENT_COMP_SETTINGS).unwrap_or_default();
    match child(compression, id::CONTENT_COMP_ALGO).map_or(0, unsigned) {
        0 => Ok((scope, DecodingStep::Inflate)),
        1 => Err("bzlib-compressed"),
        2 => Err("lzo-compressed"),
        3 if settings.len() <= MAX_STRIPPED_BYTES => {
            Ok((scope, DecodingStep::Prepend(settings.to_vec())))
        }
        _ => Err("compressed"),
    }
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(bytes)
        .take(MAX_FRAME_BYTES + 1)
        .read_to_end(&mut inflated)
        .ok()?;
    (read as u64 <= MAX_FRAME_BYTES).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn element(id: u32, content: &[u8]) -> Vec<u8> {
        super::super::tests::element(id, content)
    }

    fn encoding(order: u8, scope: u8, algorithm: u8, settings: &[u8]) -> Vec<u8> {
        let compression = [
            element(id::CONTENT_COMP_ALGO, &[algorithm]),
            element(id::CONTENT_COMP_SETTINGS, settings),
        ];
        let content = [
            element(id::CONTENT_ENCODING_ORDER, &[order]),
            element(id::CONTENT_ENCODING_SCOPE, &[scope]),
            element(id::CONTENT_COMPRESSION, &compression.concat()),
        ];
        element(id::CONTENT_ENCODING, &content.concat())
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn decodes_in_reverse_order_and_within_scope() {
        let content = [encoding(0, 1, 3, b"head"), encoding(1, 3, 0, b"")].concat();
        let encodings = ContentEncodings::parse(&content).unwrap();
        let stored = deflate(b"tail");
        assert_eq!(encodings.frame(&stored).unwrap(), b"headtail");
        assert_eq!(encodings.private(&stored).unwrap(), b"tail");
        assert_eq!(encodings.frame(b"damaged"), None);
    }

    #[test]
    fn refuses_a_frame_that_decompresses_to_too_much() {
        let encodings = ContentEncodings::parse(&encoding(0, 1, 0, b"")).unwrap();
        let limit = MAX_FRAME_BYTES as usize;
        assert_eq!(
            encodings.frame(&deflate(&vec![0; limit])).unwrap().len(),
            limit
        );
        assert_eq!(encodings.frame(&deflate(&vec![0; limit + 1])), None);
    }

    #[test]
    fn names_unsupported_encodings() {
        for (algorithm, name) in [
            (1, "bzlib-compressed"),
            (2, "lzo-compressed"),
            (9, "compressed"),
        ] {
            assert_eq!(
                ContentEncodings::parse(&encoding(0, 1, algorithm, b"")),
                Err(name)
            );
        }
        let encrypted = element(
            id::CONTENT_ENCODING,
            &element(id::CONTENT_ENCODING_TYPE, &[1]),
        );
        assert_eq!(ContentEncodings::parse(&encrypted), Err("encrypted"));
        assert_eq!(
            ContentEncodings::parse(b"")
                .unwrap()
                .frame(b"as it is")
                .unwrap(),
            b"as it is"
        );
    }
}
