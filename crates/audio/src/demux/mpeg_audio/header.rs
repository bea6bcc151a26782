//! The header of an MPEG audio frame (ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3).

use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3};

use crate::demux::frames::FrameHeader;

/// The fields that are equal in all frames of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MpegAudioFormat {
    /// The version as coded in the header: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5.
    version: u8,
    /// 1 to 3.
    layer: u8,
    /// The sample rate.
    pub rate_hz: u32,
    is_mono: bool,
}

/// A frame header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MpegAudioHeader {
    format: MpegAudioFormat,
    frame_bytes: usize,
    has_crc: bool,
}

/// Kilobits per second by index: MPEG 1 with layers I, II and III, then the lower sample rates with
/// layer I, and with II and III.
const BIT_RATES_KBPS: [[u16; 15]; 5] = [
    [
        0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ],
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [
        0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Bit rate index of the free format.
const FREE: u8 = 0;

impl FrameHeader for MpegAudioHeader {
    type Format = MpegAudioFormat;

    /// Layer II at 384 kbit/s and 32 kHz, with its padding: 1729; MPEG 2.5 of layer III at 160 kbit/s
    /// and 8 kHz: 1441; layer II at 160 kbit/s and 8 kHz: 2881.
    const MAX_FRAME_BYTES: usize = 2881;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (format, index, bytes) = fields(bytes)?;
        let is_mpeg1 = format.version == 3;
        let table = match (is_mpeg1, format.layer) {
            (true, layer) => usize::from(layer) - 1,
            (false, 1) => 3,
            (false, _) => 4,
        };
        let bits_per_second = match index {
            FREE => return None,
            index => u32::from(*BIT_RATES_KBPS[table].get(usize::from(index))?) * 1000,
        };
        let is_padded = bytes[2] & 2 != 0;
        let padding = u32::from(is_padded);
        let frame_bytes = match format.layer {
            1 => (12 * bits_per_second / format.rate_hz + padding) * 4,
            _ => format.samples() as u32 / 8 * bits_per_second / format.rate_hz + padding,
        };
        Some(Self {
            format,
            frame_bytes: frame_bytes as usize,
            has_crc: bytes[1] & 1 == 0,
        })
    }

    fn format(&self) -> MpegAudioFormat {
        self.format
    }

    fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }
}

impl MpegAudioHeader {
    /// Length of the header including its check sum.
    pub fn header_bytes(self) -> usize {
        4 + if self.has_crc { 2 } else { 0 }
    }
}

impl MpegAudioFormat {
    /// The codec, which depends on the layer.
    pub fn codec(self) -> AudioCodecId {
        match self.layer {
            1 => CODEC_ID_MP1,
            2 => CODEC_ID_MP2,
            _ => CODEC_ID_MP3,
        }
    }

    /// Samples of a channel in a frame.
    pub fn samples(self) -> u64 {
        match (self.layer, self.version) {
            (1, _) => 384,
            (2, _) | (_, 3) => 1152,
            _ => 576,
        }
    }

    /// Length of layer III's side information (ISO/IEC 11172-3, 2.4.1.7); `None` for other layers.
    pub fn side_info_bytes(self) -> Option<usize> {
        match (self.layer, self.version == 3, self.is_mono) {
            (3, true, false) => Some(32),
            (3, true, true) | (3, false, false) => Some(17),
            (3, false, true) => Some(9),
            _ => None,
        }
    }
}

/// The format of a frame with a free bit rate, whose header does not determine its length.
pub fn free_format(bytes: &[u8]) -> Option<MpegAudioFormat> {
    fields(bytes).and_then(|(format, index, _)| (index == FREE).then_some(format))
}

/// The format, the index of the bit rate and the bytes of a header.
fn fields(bytes: &[u8]) -> Option<(MpegAudioFormat, u8, [u8; 4])> {
    let bytes = *bytes.first_chunk::<4>()?;
    let (version, layer) = (bytes[1] >> 3 & 3, 4 - (bytes[1] >> 1 & 3));
    let index = bytes[2] >> 4;
    if bytes[0] != 0xff || bytes[1] < 0xe0 || version == 1 || layer == 4 || index == 15 {
        return None;
    }
    let rate_hz = [44_100, 48_000, 32_000].get(usize::from(bytes[2] >> 2 & 3))?;
    // MPEG 2 halves the rates, MPEG 2.5 halves them again.
    let rate_hz = match version {
        3 => *rate_hz,
        2 => rate_hz / 2,
        _ => rate_hz / 4,
    };
    let format = MpegAudioFormat {
        version,
        layer,
        rate_hz,
        is_mono: bytes[3] >> 6 == 3,
    };
    Some((format, index, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: [u8; 4], rate_hz: u32, samples: u64, frame_bytes: usize) {
        let header = MpegAudioHeader::parse(&bytes).unwrap();
        assert_eq!(header.format().rate_hz, rate_hz);
        assert_eq!(header.format().samples(), samples);
        assert_eq!(header.frame_bytes(), frame_bytes);
    }

    #[test]
    fn reads_all_versions_and_layers() {
        check([0xff, 0xfb, 0x90, 0x00], 44_100, 1152, 417);
        check([0xff, 0xfb, 0x92, 0x00], 44_100, 1152, 418);
        check([0xff, 0xfa, 0xe8, 0x00], 32_000, 1152, 1440);
        check([0xff, 0xfd, 0xe8, 0x00], 32_000, 1152, 1728);
        check([0xff, 0xff, 0x14, 0x00], 48_000, 384, 32);
        check([0xff, 0xff, 0x12, 0x00], 44_100, 384, 36);
        check([0xff, 0xf3, 0x88, 0xc0], 16_000, 576, 288);
        check([0xff, 0xf5, 0x88, 0xc0], 16_000, 1152, 576);
        check([0xff, 0xe3, 0x48, 0xc0], 8_000, 576, 288);
        check([0xff, 0xe5, 0xea, 0xc0], 8_000, 1152, 2881);
    }

    #[test]
    fn refuses_invalid_headers() {
        for bytes in [
            [0xfe, 0xfb, 0x90, 0x00],
            [0xff, 0xdb, 0x90, 0x00],
            [0xff, 0xeb, 0x90, 0x00],
            [0xff, 0xf9, 0x90, 0x00],
            [0xff, 0xfb, 0xf0, 0x00],
            [0xff, 0xfb, 0x9c, 0x00],
            [0xff, 0xfb, 0x00, 0x00],
            [0xff; 4],
        ] {
            assert_eq!(MpegAudioHeader::parse(&bytes), None, "{bytes:x?}");
        }
        assert_eq!(MpegAudioHeader::parse(&[0xff, 0xfb, 0x90]), None);
        assert!(free_format(&[0xff, 0xfb, 0x00, 0x00]).is_some());
        assert!(free_format(&[0xff, 0xfb, 0x90, 0x00]).is_none());
    }
}
