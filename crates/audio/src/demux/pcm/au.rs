//! The header of Sun's AU: six big-endian words (`audio_filehdr.h` of Solaris).

use symphonia::core::codecs::audio::well_known as codec;

use super::{DataFormat, HeaderError};

/// Length of the header: `.snd`, offset of the samples, their length, encoding, rate, channels. A comment
/// may follow.
pub const HEADER_BYTES: usize = 24;

/// Content of the header.
#[derive(Debug, PartialEq, Eq)]
pub struct AuHeader {
    /// Format of the samples.
    pub format: DataFormat,
    /// Their offset from the beginning of the header.
    pub offset: u32,
    /// Their length in bytes, if stated.
    pub length: Option<u32>,
}

/// Parses the first [`HEADER_BYTES`] of a file.
pub fn read(bytes: &[u8]) -> Result<AuHeader, HeaderError> {
    let word = |index: usize| {
        let word = bytes.get(index * 4..).and_then(<[u8]>::first_chunk);
        word.map(|word| u32::from_be_bytes(*word))
            .ok_or(HeaderError::Malformed("it ends within its header"))
    };
    let codec = match word(3)? {
        1 => codec::CODEC_ID_PCM_MULAW,
        2 => codec::CODEC_ID_PCM_S8,
        3 => codec::CODEC_ID_PCM_S16BE,
        4 => codec::CODEC_ID_PCM_S24BE,
        5 => codec::CODEC_ID_PCM_S32BE,
        6 => codec::CODEC_ID_PCM_F32BE,
        7 => codec::CODEC_ID_PCM_F64BE,
        27 => codec::CODEC_ID_PCM_ALAW,
        23 => return Err(HeaderError::Codec("G.726".to_owned())),
        24 => return Err(HeaderError::Codec("G.722".to_owned())),
        25 | 26 => return Err(HeaderError::Codec("G.723".to_owned())),
        other => return Err(HeaderError::Codec(format!("encoding {other}"))),
    };
    Ok(AuHeader {
        format: DataFormat::pcm(codec, word(4)?, word(5)?)?,
        offset: word(1)?.max(HEADER_BYTES as u32),
        length: Some(word(2)?).filter(|length| *length != u32::MAX),
    })
}
