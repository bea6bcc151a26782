//! Maps the codecs of Matroska (matroska.org, "Codec Mappings") to symphonia's.

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::ebml::{child, float, id, unsigned};
use crate::demux::frames::FrameHeader;
use crate::demux::mpeg_audio::MpegAudioHeader;
use crate::demux::opus;

/// A track's description of its audio.
pub struct AudioDescription<'a> {
    /// Content of `CodecID`.
    pub codec_id: &'a str,
    /// Content of `CodecPrivate`, if present.
    pub private: Option<&'a [u8]>,
    /// The content of the element `Audio`.
    pub audio: &'a [u8],
}

/// The decoder's parameters, and the codec's delay in samples. `None` for an unknown codec or damaged
/// private data.
pub fn params(description: &AudioDescription<'_>) -> Option<(AudioCodecParameters, u64)> {
    let audio = AudioSettings::parse(description.audio);
    let private = description.private.unwrap_or_default();
    let id = description.codec_id;
    if id == "A_OPUS" {
        return Some(match opus::OpusHead::parse(private) {
            Some(head) => (head.pre_skip, head.params()),
            None => (0, opus::params(audio.channels)),
        })
        .map(|(pre_skip, params)| (params, pre_skip));
    }
    if id == "A_MS/ACM" {
        return wave_format(private).map(|params| (params, 0));
    }
    let mut params = audio.params(codec(id, audio.bits)?);
    match id {
        "A_VORBIS" => params.with_extra_data(vorbis_headers(private)?.into()),
        "A_FLAC" => params.with_extra_data(flac_stream_info(private)?.into()),
        _ if private.is_empty() => &mut params,
        _ => params.with_extra_data(private.into()),
    };
    Some((params, 0))
}

/// Samples of a channel in a frame; `None` if neither codec nor frame states them.
pub fn frame_samples(params: &AudioCodecParameters, frame: &[u8]) -> Option<u64> {
    let bytes_per_sample = match params.codec {
        codec::CODEC_ID_OPUS => return Some(opus::packet_samples(frame)),
        codec::CODEC_ID_AAC => return Some(1024),
        codec::CODEC_ID_MP1 | codec::CODEC_ID_MP2 | codec::CODEC_ID_MP3 => {
            return MpegAudioHeader::parse(frame).map(|header| header.format().samples());
        }
        codec::CODEC_ID_PCM_U8 | codec::CODEC_ID_PCM_ALAW | codec::CODEC_ID_PCM_MULAW => 1,
        codec::CODEC_ID_PCM_S16LE | codec::CODEC_ID_PCM_S16BE => 2,
        codec::CODEC_ID_PCM_S24LE | codec::CODEC_ID_PCM_S24BE => 3,
        codec::CODEC_ID_PCM_S32LE | codec::CODEC_ID_PCM_S32BE | codec::CODEC_ID_PCM_F32LE => 4,
        codec::CODEC_ID_PCM_F64LE => 8,
        _ => return None,
    };
    let channels = params.channels.as_ref().map_or(1, Channels::count).max(1);
    Some((frame.len() / (bytes_per_sample * channels)) as u64)
}

/// The element `Audio` (RFC 9559, 5.1.4.1.29).
struct AudioSettings {
    rate_hz: u32,
    channels: u16,
    bits: Option<u32>,
}

impl AudioSettings {
    fn parse(content: &[u8]) -> Self {
        let rate_hz = child(content, id::SAMPLING_FREQUENCY).map_or(8000.0, float);
        let channels = child(content, id::CHANNELS).map_or(1, unsigned);
        let bits = child(content, id::BIT_DEPTH).map(unsigned);
        Self {
            // Saturates; the resampler refuses absurd rates.
            rate_hz: rate_hz.round() as u32,
            channels: channels.clamp(1, 255) as u16,
            bits: bits.and_then(|bits| u32::try_from(bits).ok()),
        }
    }

    fn params(&self, codec: AudioCodecId) -> AudioCodecParameters {
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(codec)
            .with_sample_rate(self.rate_hz)
            .with_channels(Channels::Discrete(self.channels));
        if let Some(bits) = self.bits {
            params.with_bits_per_sample(bits);
        }
        params
    }
}

fn codec(id: &str, bits: Option<u32>) -> Option<AudioCodecId> {
    Some(match (id, bits) {
        ("A_MPEG/L1", _) => codec::CODEC_ID_MP1,
        ("A_MPEG/L2", _) => codec::CODEC_ID_MP2,
        ("A_MPEG/L3", _) => codec::CODEC_ID_MP3,
        ("A_FLAC", _) => codec::CODEC_ID_FLAC,
        ("A_VORBIS", _) => codec::CODEC_ID_VORBIS,
        ("A_ALAC", _) => codec::CODEC_ID_ALAC,
        ("A_AAC", _) => codec::CODEC_ID_AAC,
        (id, _) if id.starts_with("A_AAC/") => codec::CODEC_ID_AAC,
        ("A_PCM/INT/LIT" | "A_PCM/INT/BIG", Some(8)) => codec::CODEC_ID_PCM_U8,
        ("A_PCM/INT/LIT", Some(16)) => codec::CODEC_ID_PCM_S16LE,
        ("A_PCM/INT/LIT", Some(24)) => codec::CODEC_ID_PCM_S24LE,
        ("A_PCM/INT/LIT", Some(32)) => codec::CODEC_ID_PCM_S32LE,
        ("A_PCM/INT/BIG", Some(16)) => codec::CODEC_ID_PCM_S16BE,
        ("A_PCM/INT/BIG", Some(24)) => codec::CODEC_ID_PCM_S24BE,
        ("A_PCM/INT/BIG", Some(32)) => codec::CODEC_ID_PCM_S32BE,
        ("A_PCM/FLOAT/IEEE", Some(32)) => codec::CODEC_ID_PCM_F32LE,
        ("A_PCM/FLOAT/IEEE", Some(64)) => codec::CODEC_ID_PCM_F64LE,
        // Not supported by the decoders, but named in messages.
        ("A_AC3" | "A_AC3/BSID9" | "A_AC3/BSID10", _) => codec::CODEC_ID_AC3,
        ("A_EAC3", _) => codec::CODEC_ID_EAC3,
        ("A_DTS", _) => codec::CODEC_ID_DCA,
        ("A_TRUEHD", _) => codec::CODEC_ID_TRUEHD,
        ("A_TTA1", _) => codec::CODEC_ID_TTA,
        ("A_WAVPACK4", _) => codec::CODEC_ID_WAVPACK,
        _ => return None,
    })
}

/// Microsoft's `WAVEFORMATEX`, little-endian.
fn wave_format(bytes: &[u8]) -> Option<AudioCodecParameters> {
    let short = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let bits = short(14)?;
    let id = match (short(0)?, bits) {
        (1, 8) => codec::CODEC_ID_PCM_U8,
        (1, 16) => codec::CODEC_ID_PCM_S16LE,
        (1, 24) => codec::CODEC_ID_PCM_S24LE,
        (1, 32) => codec::CODEC_ID_PCM_S32LE,
        (3, 32) => codec::CODEC_ID_PCM_F32LE,
        (3, 64) => codec::CODEC_ID_PCM_F64LE,
        (6, _) => codec::CODEC_ID_PCM_ALAW,
        (7, _) => codec::CODEC_ID_PCM_MULAW,
        (0x50, _) => codec::CODEC_ID_MP2,
        (0x55, _) => codec::CODEC_ID_MP3,
        _ => return None,
    };
    let audio = AudioSettings {
        rate_hz: u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?),
        channels: short(2)?.clamp(1, 255),
        bits: None,
    };
    Some(audio.params(id))
}

/// The concatenated identification and setup headers, as symphonia's decoder expects. The comment header
/// is left out.
fn vorbis_headers(private: &[u8]) -> Option<Vec<u8>> {
    let (&others, mut rest) = private.split_first()?;
    let mut lengths = Vec::new();
    for _ in 0..others {
        let full = rest.iter().take_while(|byte| **byte == 255).count();
        lengths.push(full * 255 + usize::from(*rest.get(full)?));
        rest = &rest[full + 1..];
    }
    let mut headers = Vec::new();
    for length in lengths {
        let (header, next) = rest.split_at_checked(length)?;
        headers.push(header);
        rest = next;
    }
    headers.push(rest);
    let header = |kind: u8| {
        let is_kind = |header: &&&[u8]| header.first() == Some(&kind);
        headers.iter().find(is_kind)
    };
    Some([*header(1)?, *header(5)?].concat())
}

/// `STREAMINFO` (RFC 9639, 8.2), from the metadata blocks or on its own.
fn flac_stream_info(private: &[u8]) -> Option<&[u8]> {
    const BYTES: usize = 34;
    if private.len() == BYTES {
        return Some(private);
    }
    let mut blocks = private.strip_prefix(b"fLaC")?;
    loop {
        let (&[kind, a, b, c], rest) = blocks.split_first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let (block, next) = rest.split_at_checked(length)?;
        if kind & 0x7f == 0 {
            return (length == BYTES).then_some(block);
        }
        blocks = next;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::element;
    use super::*;

    fn described(codec_id: &str, private: &[u8], bits: u8) -> Option<AudioCodecParameters> {
        let audio = [
            element(id::SAMPLING_FREQUENCY, &16_000f32.to_be_bytes()),
            element(id::CHANNELS, &[2]),
            element(id::BIT_DEPTH, &[bits]),
        ];
        let description = AudioDescription {
            codec_id,
            private: Some(private),
            audio: &audio.concat(),
        };
        params(&description).map(|(params, _)| params)
    }

    #[test]
    fn recognises_pcm_by_width_and_byte_order() {
        let pcm = described("A_PCM/INT/BIG", b"", 24).unwrap();
        assert_eq!(pcm.codec, codec::CODEC_ID_PCM_S24BE);
        assert_eq!(pcm.sample_rate, Some(16_000));
        assert_eq!(pcm.channels, Some(Channels::Discrete(2)));
        assert_eq!(frame_samples(&pcm, &[0; 60]), Some(10));
        assert!(described("A_PCM/INT/BIG", b"", 7).is_none());
        assert!(described("A_QUICKTIME", b"", 16).is_none());
    }

    #[test]
    fn reads_the_wave_format_of_old_files() {
        let format = b"\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\0\0";
        let mu_law = described("A_MS/ACM", format, 0).unwrap();
        assert_eq!(mu_law.codec, codec::CODEC_ID_PCM_MULAW);
        assert_eq!(mu_law.sample_rate, Some(8_000));
        assert!(described("A_MS/ACM", &format[..10], 0).is_none());
    }

    #[test]
    fn extracts_the_decoder_headers_from_private_data() {
        let vorbis = described("A_VORBIS", b"\x02\x02\x03\x01i\x03cc\x05setup", 0).unwrap();
        assert_eq!(vorbis.extra_data.as_deref(), Some(&b"\x01i\x05setup"[..]));
        assert!(described("A_VORBIS", b"\x02\x09\x09", 0).is_none());

        let info = [7; 34];
        let blocks = [&b"fLaC\x04\0\0\x02no\x80\0\0\x22"[..], &info].concat();
        for private in [&info[..], &blocks] {
            let flac = described("A_FLAC", private, 16).unwrap();
            assert_eq!(flac.extra_data.as_deref(), Some(&info[..]));
        }
        assert!(described("A_FLAC", b"fLaC", 16).is_none());
    }

    #[test]
    fn reads_the_length_of_frames() {
        let opus = described("A_OPUS", b"", 0).unwrap();
        assert_eq!(frame_samples(&opus, b"\xfc"), Some(960));
        let mp3 = described("A_MPEG/L3", b"", 0).unwrap();
        assert_eq!(frame_samples(&mp3, b"\xff\xfb\x90\0"), Some(1152));
        let aac = described("A_AAC/MPEG4/LC", b"", 0).unwrap();
        assert_eq!(frame_samples(&aac, b""), Some(1024));
        let vorbis = described("A_VORBIS", b"\x01\x01\x01\x05", 0).unwrap();
        assert_eq!(frame_samples(&vorbis, b""), None);
    }
}
