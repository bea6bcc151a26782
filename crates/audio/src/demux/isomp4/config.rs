//! Converts the configurations of ALAC, FLAC and Opus in MP4 to those of their decoders.

use super::boxes::Fields;

/// Size of FLAC's STREAMINFO (RFC 9639, 8.2).
const STREAM_INFO_BYTES: usize = 34;

/// The magic cookie of ALAC: the 24 bytes of `ALACSpecificConfig`, without an optional channel layout.
pub fn alac(content: &[u8]) -> Option<Box<[u8]>> {
    const COOKIE_BYTES: usize = 24;
    let mut fields = Fields(content);
    fields.version_and_flags()?;
    fields.0.get(..COOKIE_BYTES).map(Into::into)
}

/// STREAMINFO, the first metadata block of a `dfLa` box ("Encapsulation of FLAC in ISO BMFF", 3.3.2).
pub fn flac(content: &[u8]) -> Option<Box<[u8]>> {
    const BLOCK_TYPE: u8 = 0x7f;
    let mut fields = Fields(content);
    fields.version_and_flags()?;
    let [kind, _, _, _] = fields.take()?;
    let info = fields.0.get(..STREAM_INFO_BYTES)?;
    (kind & BLOCK_TYPE == 0).then(|| info.into())
}

/// Content of a `dOps` box.
#[derive(Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// The number of channels.
    pub channels: u8,
    /// Frames at 48 kHz to trim from the start of the decoded audio.
    pub pre_skip_frames: u16,
    /// The equivalent identification header (RFC 7845, 5.1) with a pre-skip of 0, because the edit
    /// list trims the start.
    pub header: Box<[u8]>,
}

/// Reads a `dOps` box ("Encapsulation of Opus in ISO BMFF", 4.3.2), whose fields are big-endian.
pub fn opus(content: &[u8]) -> Option<OpusConfig> {
    let mut fields = Fields(content);
    let _version = fields.u8()?;
    let channels = fields.u8()?;
    let pre_skip_frames = fields.u16()?;
    let rate_hz = fields.u32()?;
    let gain = fields.u16()?;
    // Channel mapping family and table.
    let mapping = fields.0;
    let mut header = b"OpusHead\x01".to_vec();
    header.push(channels);
    header.extend(0u16.to_le_bytes());
    header.extend(rate_hz.to_le_bytes());
    header.extend(gain.to_le_bytes());
    header.extend(mapping);
    Some(OpusConfig {
        channels,
        pre_skip_frames,
        header: header.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_the_opus_configuration_without_pre_skip() {
        let config = opus(b"\0\x02\x01\x38\0\0\xbb\x80\xff\xfe\0").unwrap();
        assert_eq!((config.channels, config.pre_skip_frames), (2, 312));
        assert_eq!(
            &*config.header,
            b"OpusHead\x01\x02\0\0\x80\xbb\0\0\xfe\xff\0"
        );
        assert_eq!(opus(b"\0\x02\x01"), None);
    }

    #[test]
    fn extracts_the_headers_of_flac_and_alac() {
        let dfla = [&[0, 0, 0, 0, 0x80, 0, 0, 34], &[7; 40][..]].concat();
        assert_eq!(flac(&dfla).as_deref(), Some(&[7; 34][..]));
        let comment_first = [&[0, 0, 0, 0, 0x84, 0, 0, 34], &[7; 40][..]].concat();
        assert_eq!(flac(&comment_first), None);
        let with_layout = [&[0; 4], &[7; 48][..]].concat();
        assert_eq!(alac(&with_layout).as_deref(), Some(&[7; 24][..]));
        assert_eq!(alac(&[0; 20]), None);
    }
}
