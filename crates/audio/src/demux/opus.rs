//! Reads the identification header of Opus (RFC 7845) and the lengths of its packets (RFC 6716).

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;

/// Sample rate of decoded Opus (RFC 7845, 5.1).
pub const RATE_HZ: u32 = 48_000;

/// Samples of a channel in a packet (RFC 6716, 3.1 and 3.2); 0 if the packet is damaged.
pub fn packet_samples(packet: &[u8]) -> u64 {
    let Some(&first) = packet.first() else {
        return 0;
    };
    let configuration = first >> 3;
    // SILK, hybrid and CELT.
    let frame = match configuration {
        0..12 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..16 => [480, 960][usize::from(configuration & 1)],
        _ => [120, 240, 480, 960][usize::from(configuration & 3)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |byte| byte & 0x3f),
    };
    frame * u64::from(frames)
}

/// The identification header (RFC 7845, 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// The header with a pre-skip of 0: readers trim the pre-skip like any other delay.
    bytes: Vec<u8>,
    /// Samples before the recording.
    pub pre_skip: u64,
}

impl OpusHead {
    /// Parses a header.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[version, channels, low, high] = bytes.strip_prefix(b"OpusHead")?.first_chunk()?;
        // Versions with the same major number are compatible.
        if version >> 4 != 0 || channels == 0 {
            return None;
        }
        let mut bytes = bytes.to_vec();
        bytes[10..12].fill(0);
        Some(Self {
            bytes,
            pre_skip: u16::from_le_bytes([low, high]).into(),
        })
    }

    /// The decoder's parameters.
    pub fn params(self) -> AudioCodecParameters {
        let channels = self.bytes[9];
        let mut params = params(channels.into());
        params.with_extra_data(self.bytes.into());
        params
    }
}

/// The decoder's parameters for a stream without a header.
pub fn params(channels: u16) -> AudioCodecParameters {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_OPUS)
        .with_sample_rate(RATE_HZ)
        .with_channels(Channels::Discrete(channels));
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_length_of_a_packet() {
        let packets: [(&[u8], u64); 8] = [
            (b"\x00", 480),
            (b"\x19", 2 * 2880),
            (b"\x68", 960),
            (b"\xfc\xff\xfe", 960),
            (b"\x82", 2 * 120),
            (b"\xfb\x83", 3 * 960),
            (b"\xfb", 0),
            (b"", 0),
        ];
        for (packet, samples) in packets {
            assert_eq!(packet_samples(packet), samples, "{packet:x?}");
        }
    }

    #[test]
    fn the_decoder_does_not_apply_the_pre_skip() {
        let bytes = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
        let head = OpusHead::parse(bytes).unwrap();
        assert_eq!(head.pre_skip, 312);
        let params = head.params();
        assert_eq!(params.extra_data.unwrap()[10..12], [0, 0]);
        assert_eq!(params.channels, Some(Channels::Discrete(2)));
        assert_eq!(OpusHead::parse(&bytes[..11]), None);
        assert_eq!(OpusHead::parse(b"OpusHead\x10\x02\x38\x01"), None);
    }
}
