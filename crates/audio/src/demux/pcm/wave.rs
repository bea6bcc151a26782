//! The `fmt ` chunk of WAV, RF64, BW64 and Wave64: Microsoft's `WAVEFORMAT`, `PCMWAVEFORMAT`,
//! `WAVEFORMATEX` and `WAVEFORMATEXTENSIBLE` (mmreg.h), codecs as registered in RFC 2361.

use symphonia::core::codecs::audio::well_known as codec;

use super::{DataFormat, HeaderError};

const PCM: u16 = 1;
const MS_ADPCM: u16 = 2;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const IMA_ADPCM: u16 = 0x11;
const MP2: u16 = 0x50;
const MP3: u16 = 0x55;
const EXTENSIBLE: u16 = 0xfffe;

/// Offset of the codec's identifier in `WAVEFORMATEXTENSIBLE`, which starts with its tag.
const SUB_FORMAT_OFFSET: usize = 24;

/// Parses the content of the chunk; `None` for MPEG audio, which has a separate reader.
pub fn format(bytes: &[u8]) -> Result<Option<DataFormat>, HeaderError> {
    let word = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u16::from_le_bytes)
    };
    let header = || {
        let rate_hz = bytes
            .get(4..)?
            .first_chunk()
            .copied()
            .map(u32::from_le_bytes)?;
        Some((word(0)?, word(2)?, rate_hz, word(12)?))
    };
    let (tag, channels, rate_hz, block_bytes) =
        header().ok_or(HeaderError::Malformed("its fmt chunk is too short"))?;
    // `WAVEFORMAT` has no bits per sample.
    let bits = word(14).unwrap_or(0);
    let tag = match tag {
        // A chunk without a sub-format counts as PCM.
        EXTENSIBLE => word(SUB_FORMAT_OFFSET).unwrap_or(PCM),
        tag => tag,
    };
    let channels = u32::from(channels);
    let sample_bytes = sample_bytes(bits, block_bytes, channels);
    let pcm = |codec| DataFormat::pcm(codec, rate_hz, channels).map(Some);
    match (tag, sample_bytes) {
        (PCM, 1) => pcm(codec::CODEC_ID_PCM_U8),
        (PCM, 2) => pcm(codec::CODEC_ID_PCM_S16LE),
        (PCM, 3) => pcm(codec::CODEC_ID_PCM_S24LE),
        (PCM, 4) => pcm(codec::CODEC_ID_PCM_S32LE),
        (FLOAT, 4) => pcm(codec::CODEC_ID_PCM_F32LE),
        (FLOAT, 8) => pcm(codec::CODEC_ID_PCM_F64LE),
        (A_LAW, _) => pcm(codec::CODEC_ID_PCM_ALAW),
        (MU_LAW, _) => pcm(codec::CODEC_ID_PCM_MULAW),
        (MS_ADPCM | IMA_ADPCM, _) if matches!(bits, 0 | 4) => {
            adpcm(tag, rate_hz, channels, u32::from(block_bytes)).map(Some)
        }
        (MP2 | MP3, _) => Ok(None),
        (PCM, _) => Err(HeaderError::Codec(format!("PCM of {bits} bits"))),
        (FLOAT, _) => Err(HeaderError::Codec(format!("PCM of {bits}-bit floats"))),
        (tag, _) => Err(HeaderError::Codec(codec_name(tag))),
    }
}

/// Bytes per sample. 12 and 20 bits are stored in the high bits of two and three bytes. If the block
/// alignment (bytes per frame) contradicts the bits, it is usually the wrong one, but 17 to 31 bits may
/// be stored in four bytes.
fn sample_bytes(bits: u16, block_bytes: u16, channels: u32) -> u32 {
    let by_block = u32::from(block_bytes).checked_div(channels).unwrap_or(0);
    match (bits, by_block) {
        (0, by_block) => by_block,
        (17..=31, 4) => 4,
        (bits, _) => u32::from(bits).div_ceil(8),
    }
}

/// Blocks have a header per channel, then four bits per sample ("Multimedia Data Standards Update 3.0").
/// Symphonia decodes one and two channels.
fn adpcm(
    tag: u16,
    rate_hz: u32,
    channels: u32,
    block_bytes: u32,
) -> Result<DataFormat, HeaderError> {
    let (codec, name, header_bytes, header_frames) = match tag {
        MS_ADPCM => (codec::CODEC_ID_ADPCM_MS, "Microsoft ADPCM", 7, 2),
        _ => (codec::CODEC_ID_ADPCM_IMA_WAV, "IMA ADPCM", 4, 1),
    };
    let nibbles = block_bytes
        .checked_sub(channels.saturating_mul(header_bytes))
        .ok_or(HeaderError::Malformed("its blocks are too short"))?
        .saturating_mul(2);
    // IMA's stereo alternates between the channels every eight samples.
    let is_whole = tag == MS_ADPCM || channels == 1 || nibbles % 16 == 0;
    if !(1..=2).contains(&channels) || !is_whole {
        return Err(HeaderError::Codec(format!("{name} of {channels} channels")));
    }
    let frames = nibbles / channels + header_frames;
    DataFormat::blocks(codec, rate_hz, channels, (block_bytes, frames))
}

fn codec_name(tag: u16) -> String {
    match tag {
        MS_ADPCM => "Microsoft ADPCM".to_owned(),
        IMA_ADPCM => "IMA ADPCM".to_owned(),
        0x31 => "GSM 6.10".to_owned(),
        0x40 | 0x45 | 0x64 => "G.726".to_owned(),
        0x42 | 0x111 => "G.723.1".to_owned(),
        0x65 | 0x28f => "G.722".to_owned(),
        0x83 => "G.729".to_owned(),
        0xff | 0x1600 | 0x1602 | 0x1610 => "AAC".to_owned(),
        0x160..=0x163 => "WMA".to_owned(),
        0x2000 => "AC-3".to_owned(),
        0x2001 => "DTS".to_owned(),
        0x674f..=0x6771 => "Vorbis".to_owned(),
        0xa109 => "Speex".to_owned(),
        0xf1ac => "FLAC".to_owned(),
        tag => format!("codec {tag:#06x}"),
    }
}
