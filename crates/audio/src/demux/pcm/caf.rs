//! The `desc` chunk of CAF.

use symphonia::core::codecs::audio::well_known as codec;

use super::aiff::IMA4_PACKET;
use super::{DataFormat, HeaderError};

const FLOAT: u32 = 1;
const LITTLE_ENDIAN: u32 = 2;

/// Parses the content of the chunk; `None` for codecs with packets of variable size.
pub fn format(bytes: &[u8]) -> Result<Option<DataFormat>, HeaderError> {
    const TOO_SHORT: HeaderError = HeaderError::Malformed("its desc chunk is too short");
    let word = |at: usize| {
        let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
        word.map(|word| u32::from_be_bytes(*word)).ok_or(TOO_SHORT)
    };
    let rate = bytes.first_chunk().map(|rate| f64::from_be_bytes(*rate));
    let rate_hz = rate_hz(rate.ok_or(TOO_SHORT)?);
    let name = word(8)?.to_be_bytes();
    let (flags, packet_bytes, channels, bits) = (word(12)?, word(16)?, word(24)?, word(28)?);
    let is_float = flags & FLOAT != 0;
    // Samples are stored in the high bits of their bytes.
    let sample_bytes = match packet_bytes.checked_div(channels) {
        None | Some(0) => bits.div_ceil(8),
        Some(bytes) => bytes,
    };
    let codec = match (&name, is_float, flags & LITTLE_ENDIAN != 0, sample_bytes) {
        (b"lpcm", false, _, 1) => codec::CODEC_ID_PCM_S8,
        (b"lpcm", false, false, 2) => codec::CODEC_ID_PCM_S16BE,
        (b"lpcm", false, true, 2) => codec::CODEC_ID_PCM_S16LE,
        (b"lpcm", false, false, 3) => codec::CODEC_ID_PCM_S24BE,
        (b"lpcm", false, true, 3) => codec::CODEC_ID_PCM_S24LE,
        (b"lpcm", false, false, 4) => codec::CODEC_ID_PCM_S32BE,
        (b"lpcm", false, true, 4) => codec::CODEC_ID_PCM_S32LE,
        (b"lpcm", true, false, 4) => codec::CODEC_ID_PCM_F32BE,
        (b"lpcm", true, true, 4) => codec::CODEC_ID_PCM_F32LE,
        (b"lpcm", true, false, 8) => codec::CODEC_ID_PCM_F64BE,
        (b"lpcm", true, true, 8) => codec::CODEC_ID_PCM_F64LE,
        (b"ulaw", ..) => codec::CODEC_ID_PCM_MULAW,
        (b"alaw", ..) => codec::CODEC_ID_PCM_ALAW,
        (b"ima4", ..) if channels <= 2 => {
            let (bytes, frames) = IMA4_PACKET;
            let block = (bytes * channels, frames);
            return DataFormat::blocks(codec::CODEC_ID_ADPCM_IMA_QT, rate_hz, channels, block)
                .map(Some);
        }
        (b"lpcm", ..) => {
            return Err(HeaderError::Codec(format!("PCM of {bits} bits")));
        }
        _ => return Ok(None),
    };
    DataFormat::pcm(codec, rate_hz, channels).map(Some)
}

/// Rounds a sample rate; 0 if it is invalid.
fn rate_hz(rate: f64) -> u32 {
    let rounded = rate.round();
    if (1.0..=f64::from(u32::MAX)).contains(&rounded) {
        rounded as u32
    } else {
        0
    }
}
