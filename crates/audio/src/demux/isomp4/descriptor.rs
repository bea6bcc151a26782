//! Reads the elementary stream descriptor of an `esds` box (ISO/IEC 14496-1, 7.2.6).

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;

use super::boxes::Fields;

const ES_DESCRIPTOR: u8 = 3;
const DECODER_CONFIG: u8 = 4;
const DECODER_SPECIFIC_INFO: u8 = 5;

/// Decoder and configuration of an elementary stream.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamDescriptor<'a> {
    /// The `objectTypeIndication`.
    pub object_type: u8,
    /// The decoder's configuration, for AAC an `AudioSpecificConfig`.
    pub config: Option<&'a [u8]>,
}

impl<'a> StreamDescriptor<'a> {
    /// Reads the content of an `esds` box.
    pub fn read(content: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(content);
        fields.version_and_flags()?;
        let mut stream = Fields(find(fields.0, ES_DESCRIPTOR)?);
        skip_stream_header(&mut stream)?;
        let mut decoder = Fields(find(stream.0, DECODER_CONFIG)?);
        let object_type = decoder.u8()?;
        // The stream's type, buffer size, maximal and average bit rate.
        const RATES_BYTES: usize = 12;
        let config = decoder
            .skip(RATES_BYTES)
            .and_then(|()| find(decoder.0, DECODER_SPECIFIC_INFO));
        Some(Self {
            object_type,
            config,
        })
    }

    /// The codec of the stream, if it is a known audio codec (registered at mp4ra.org).
    pub fn codec(&self) -> Option<AudioCodecId> {
        Some(match self.object_type {
            0x40 | 0x66..=0x68 => codec::CODEC_ID_AAC,
            0x69 | 0x6b => codec::CODEC_ID_MP3,
            0xa5 => codec::CODEC_ID_AC3,
            0xa6 => codec::CODEC_ID_EAC3,
            0xa9..=0xac => codec::CODEC_ID_DCA,
            0xad => codec::CODEC_ID_OPUS,
            0xdd => codec::CODEC_ID_VORBIS,
            _ => return None,
        })
    }
}

/// Skips the stream's number, its flags and the optional fields.
fn skip_stream_header(stream: &mut Fields<'_>) -> Option<()> {
    const DEPENDS_ON_ANOTHER: u8 = 0x80;
    const HAS_URL: u8 = 0x40;
    const HAS_CLOCK: u8 = 0x20;
    stream.u16()?;
    let flags = stream.u8()?;
    if flags & DEPENDS_ON_ANOTHER != 0 {
        stream.u16()?;
    }
    if flags & HAS_URL != 0 {
        let length = stream.u8()?;
        stream.skip(usize::from(length))?;
    }
    if flags & HAS_CLOCK != 0 {
        stream.u16()?;
    }
    Some(())
}

/// The content of the first descriptor with this tag, possibly truncated.
fn find(content: &[u8], tag: u8) -> Option<&[u8]> {
    let mut fields = Fields(content);
    loop {
        let found = fields.u8()?;
        let length = length(&mut fields)?.min(fields.0.len());
        if found == tag {
            return fields.0.get(..length);
        }
        fields.skip(length)?;
    }
}

/// A length in at most four bytes of seven bits.
fn length(fields: &mut Fields<'_>) -> Option<usize> {
    let mut length = 0;
    for _ in 0..4 {
        let byte = fields.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut descriptor = vec![tag, 0x80, 0x80, content.len() as u8];
        descriptor.extend(content);
        descriptor
    }

    fn esds(stream_header: &[u8], object_type: u8, config: &[u8]) -> Vec<u8> {
        let rates = [0; 12];
        let config = descriptor(DECODER_SPECIFIC_INFO, config);
        let decoder = [&[object_type], &rates[..], &config].concat();
        let decoder = descriptor(DECODER_CONFIG, &decoder);
        let stream = descriptor(ES_DESCRIPTOR, &[stream_header, &decoder].concat());
        [&[0; 4], &stream[..]].concat()
    }

    #[test]
    fn finds_the_configuration_after_every_kind_of_header() {
        for header in [&[0, 1, 0][..], b"\0\x01\xe0\0\x02\x03url\0\x04"] {
            let content = esds(header, 0x40, b"\x14\x08");
            let found = StreamDescriptor::read(&content).unwrap();
            assert_eq!(found.config, Some(&b"\x14\x08"[..]));
            assert_eq!(found.codec(), Some(codec::CODEC_ID_AAC));
        }
    }

    #[test]
    fn reads_truncated_descriptors() {
        let content = esds(&[0, 1, 0], 0x6b, b"abc");
        let cut = StreamDescriptor::read(&content[..content.len() - 1]).unwrap();
        assert_eq!(cut.config, Some(&b"ab"[..]));
        let cut = StreamDescriptor::read(&content[..content.len() - 10]).unwrap();
        assert_eq!(cut.config, None);
        assert_eq!(cut.codec(), Some(codec::CODEC_ID_MP3));
        for end in 0..16 {
            assert_eq!(StreamDescriptor::read(&content[..end]), None, "{end}");
        }
    }
}
