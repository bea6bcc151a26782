//! Names of containers and codecs for messages.

use symphonia::core::codecs::audio::{AudioCodecId, well_known as codec};
use symphonia::core::formats::{FormatInfo, well_known as format};

/// The name of a container, such as "MP4".
pub fn container(info: &FormatInfo) -> &'static str {
    match info.format {
        format::FORMAT_ID_ISOMP4 => "MP4",
        format::FORMAT_ID_MKV => "Matroska/WebM",
        format::FORMAT_ID_OGG => "Ogg",
        format::FORMAT_ID_FLAC => "FLAC",
        format::FORMAT_ID_MP1 => "MP1",
        format::FORMAT_ID_MP2 => "MP2",
        format::FORMAT_ID_MP3 => "MP3",
        format::FORMAT_ID_ADTS => "AAC",
        format::FORMAT_ID_CAF => "CAF",
        _ => info.short_name,
    }
}

/// The names of a container and its audio codec, such as "MP4 with AAC"; a single name for raw streams.
pub fn container_with_codec(info: &FormatInfo, codec: &str) -> String {
    match container(info) {
        container if container == codec => codec.to_owned(),
        container => format!("{container} with {codec}"),
    }
}

/// The name of a codec whose name in symphonia's registry is long or missing.
pub fn codec(id: AudioCodecId) -> Option<&'static str> {
    Some(match id {
        codec::CODEC_ID_AAC => "AAC",
        codec::CODEC_ID_AC3 => "AC-3",
        codec::CODEC_ID_AC4 => "AC-4",
        codec::CODEC_ID_ALAC => "ALAC",
        codec::CODEC_ID_DCA => "DTS",
        codec::CODEC_ID_EAC3 => "E-AC-3",
        codec::CODEC_ID_FLAC => "FLAC",
        codec::CODEC_ID_MP1 => "MP1",
        codec::CODEC_ID_MP2 => "MP2",
        codec::CODEC_ID_MP3 => "MP3",
        codec::CODEC_ID_OPUS => "Opus",
        codec::CODEC_ID_SPEEX => "Speex",
        codec::CODEC_ID_TRUEHD => "TrueHD",
        codec::CODEC_ID_TTA => "TTA",
        codec::CODEC_ID_VORBIS => "Vorbis",
        codec::CODEC_ID_WAVPACK => "WavPack",
        codec::CODEC_ID_WMA => "WMA",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_stream_of_one_codec_once() {
        let info = |format, short_name| FormatInfo {
            format,
            short_name,
            long_name: "",
        };
        for (info, codec, expected) in [
            (
                info(format::FORMAT_ID_ISOMP4, "isomp4"),
                "AC-3",
                "MP4 with AC-3",
            ),
            (info(format::FORMAT_ID_MP3, "mp3"), "MP3", "MP3"),
            (info(format::FORMAT_ID_WAVE, "AIFF"), "PCM", "AIFF with PCM"),
        ] {
            assert_eq!(container_with_codec(&info, codec), expected);
        }
    }
}
