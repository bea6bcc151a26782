//! The `COMM` chunk of AIFF and AIFC.

use symphonia::core::codecs::audio::well_known as codec;

use super::{DataFormat, HeaderError};

/// Offset of the codec's name in AIFC; AIFF ends there.
const CODEC_OFFSET: usize = 18;

/// Bytes and frames per channel of a packet of Apple's IMA ADPCM.
pub const IMA4_PACKET: (u32, u32) = (34, 64);

/// Parses the content of the chunk.
pub fn format(bytes: &[u8]) -> Result<DataFormat, HeaderError> {
    let word = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    };
    let header = || {
        let rate = bytes.get(8..)?.first_chunk::<10>()?;
        Some((u32::from(word(0)?), word(6)?, rate_hz(*rate)))
    };
    let (channels, bits, rate_hz) =
        header().ok_or(HeaderError::Malformed("its COMM chunk is too short"))?;
    // Samples are stored in the high bits of whole bytes.
    let sample_bytes = bits.div_ceil(8);
    let name: [u8; 4] = match bytes.get(CODEC_OFFSET..).and_then(<[u8]>::first_chunk) {
        Some(name) => *name,
        None => *b"NONE",
    };
    let codec = match (
        &name.map(|letter| letter.to_ascii_lowercase()),
        sample_bytes,
    ) {
        (b"none" | b"twos" | b"sowt", 1) => codec::CODEC_ID_PCM_S8,
        (b"none" | b"twos", 2) => codec::CODEC_ID_PCM_S16BE,
        (b"none" | b"twos", 3) | (b"in24", _) => codec::CODEC_ID_PCM_S24BE,
        (b"none" | b"twos", 4) | (b"in32", _) => codec::CODEC_ID_PCM_S32BE,
        (b"sowt", 2) => codec::CODEC_ID_PCM_S16LE,
        (b"sowt", 3) | (b"42ni", _) => codec::CODEC_ID_PCM_S24LE,
        (b"sowt", 4) | (b"23ni", _) => codec::CODEC_ID_PCM_S32LE,
        (b"raw ", 1) => codec::CODEC_ID_PCM_U8,
        (b"fl32", _) => codec::CODEC_ID_PCM_F32BE,
        (b"fl64", _) => codec::CODEC_ID_PCM_F64BE,
        (b"ulaw", _) => codec::CODEC_ID_PCM_MULAW,
        (b"alaw", _) => codec::CODEC_ID_PCM_ALAW,
        (b"ima4", _) if channels <= 2 => {
            let (bytes, frames) = IMA4_PACKET;
            return DataFormat::blocks(
                codec::CODEC_ID_ADPCM_IMA_QT,
                rate_hz,
                channels,
                (bytes * channels, frames),
            );
        }
        (b"none" | b"twos" | b"sowt" | b"raw ", _) => {
            return Err(HeaderError::Codec(format!("PCM of {bits} bits")));
        }
        _ => {
            let name = String::from_utf8_lossy(&name).trim().to_owned();
            return Err(HeaderError::Codec(format!("codec {name:?}")));
        }
    };
    DataFormat::pcm(codec, rate_hz, channels)
}

/// Converts an 80-bit float of Motorola's 68881: sign and exponent with a bias of 16,383, then a mantissa
/// with an explicit leading one. 0 for an invalid rate.
fn rate_hz(bytes: [u8; 10]) -> u32 {
    let [sign_and_exponent @ .., _, _, _, _, _, _, _, _] = bytes;
    let [_, _, mantissa @ ..] = bytes;
    let exponent = i32::from(u16::from_be_bytes(sign_and_exponent)) - 16_383;
    let mantissa = u64::from_be_bytes(mantissa);
    match u32::try_from(63 - exponent) {
        Ok(shift @ 0..=63) => u32::try_from(mantissa >> shift).unwrap_or(0),
        _ => 0,
    }
}
