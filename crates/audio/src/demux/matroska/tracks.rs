//! Reads the tracks of a recording (RFC 9559, 5.1.4).

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_VORBIS;
use symphonia::core::codecs::subtitle::SubtitleCodecParameters;
use symphonia::core::codecs::video::VideoCodecParameters;
use symphonia::core::formats::{Track, TrackFlags};
use symphonia::core::units::TimeBase;

use super::codec::{self, AudioDescription};
use super::ebml::{child, children, id, unsigned};
use super::encoding::ContentEncodings;
use crate::demux::vorbis;

/// More than any real file has. An entry of two bytes takes a few hundred bytes of memory.
const MAX_TRACKS: usize = 256;

/// Track types (RFC 9559, 5.1.4.1.3).
const TYPE_AUDIO: u64 = 2;
const TYPE_SUBTITLE: u64 = 17;

/// Time unit of tracks other than audio; for audio, it is a sample.
const OTHER_RATE_HZ: u32 = 48_000;

/// A track with the parameters for reading its blocks.
#[derive(Debug)]
pub struct TrackEntry {
    /// Symphonia's description; its identifier is the track number.
    pub track: Track,
    /// Parameters of an audio track with a known codec.
    pub audio: Option<AudioCodecParameters>,
    /// Encodings of its frames.
    pub encodings: ContentEncodings,
    /// Time stamp ticks per second.
    pub rate_hz: u32,
    /// Offset of time stamps from presentation times, in nanoseconds.
    pub codec_delay_ns: u64,
    /// Encoder delay: samples to trim from the start.
    pub delay_samples: u64,
    /// Computes the lengths of Vorbis packets.
    pub vorbis: Option<vorbis::PacketLengths>,
    /// The length of a frame in nanoseconds, if stated.
    pub default_duration_ns: Option<u64>,
}

/// The tracks to read, and the first unsupported audio track.
#[derive(Debug, Default)]
pub struct Tracks {
    /// Enabled audio tracks, or all audio tracks if none is enabled; and all other tracks.
    pub entries: Vec<TrackEntry>,
    /// Codec and encoding of an unsupported audio track, such as "`A_OPUS`, encrypted".
    pub unsupported_audio: Option<String>,
}

impl Tracks {
    /// Parses the content of the element `Tracks`.
    pub fn parse(content: &[u8]) -> Self {
        let entries: Vec<&[u8]> = children(content)
            .filter_map(|(found, content)| (found == id::TRACK_ENTRY).then_some(content))
            .take(MAX_TRACKS)
            .collect();
        let is_audio = |entry| child(entry, id::TRACK_TYPE).map_or(0, unsigned) == TYPE_AUDIO;
        let is_enabled = |entry| flag(entry, id::FLAG_ENABLED);
        let any_enabled = entries
            .iter()
            .any(|entry| is_audio(entry) && is_enabled(entry));
        let mut tracks = Self::default();
        for entry in entries {
            if is_audio(entry) && any_enabled && !is_enabled(entry) {
                continue;
            }
            match parse_entry(entry) {
                Ok(entry) => tracks.entries.extend(entry),
                Err(name) => tracks.unsupported_audio = tracks.unsupported_audio.or(Some(name)),
            }
        }
        tracks
    }

    /// Why none of the recording's audio tracks can be decoded, if it has any.
    pub fn unsupported_reason(&self) -> Option<&str> {
        let has_audio = self.entries.iter().any(|entry| entry.audio.is_some());
        self.unsupported_audio.as_deref().filter(|_| !has_audio)
    }
}

/// A flag that is set unless it is present with the value 0.
fn flag(entry: &[u8], id: u32) -> bool {
    child(entry, id).is_none_or(|flag| unsigned(flag) != 0)
}

/// Parses a track; `None` if its number is too large for symphonia.
fn parse_entry(entry: &[u8]) -> Result<Option<TrackEntry>, String> {
    let number = child(entry, id::TRACK_NUMBER).map_or(0, unsigned);
    let Ok(number) = u32::try_from(number) else {
        return Ok(None);
    };
    let kind = child(entry, id::TRACK_TYPE).map_or(0, unsigned);
    let mut track = Track::new(number);
    if flag(entry, id::FLAG_DEFAULT) {
        track.with_flags(TrackFlags::DEFAULT);
    }
    let codec_delay_ns = child(entry, id::CODEC_DELAY).map_or(0, unsigned);
    let mut parsed = TrackEntry {
        track,
        audio: None,
        encodings: ContentEncodings::default(),
        rate_hz: OTHER_RATE_HZ,
        codec_delay_ns,
        delay_samples: 0,
        vorbis: None,
        default_duration_ns: child(entry, id::DEFAULT_DURATION).map(unsigned),
    };
    match kind {
        TYPE_AUDIO => parse_audio(entry, &mut parsed)?,
        // Of other tracks, only the start matters.
        TYPE_SUBTITLE => {
            let params = SubtitleCodecParameters::new();
            parsed.track.codec_params = Some(CodecParameters::Subtitle(params));
        }
        _ => {
            let params = VideoCodecParameters::default();
            parsed.track.codec_params = Some(CodecParameters::Video(params));
        }
    }
    parsed.track.time_base = TimeBase::try_from_recip(parsed.rate_hz);
    Ok(Some(parsed))
}

fn parse_audio(entry: &[u8], parsed: &mut TrackEntry) -> Result<(), String> {
    let codec_id = child(entry, id::CODEC_ID).unwrap_or_default();
    let codec_id = String::from_utf8_lossy(codec_id);
    // The string may be padded with zeros.
    let codec_id = codec_id.trim_end_matches('\0');
    let encodings = child(entry, id::CONTENT_ENCODINGS).unwrap_or_default();
    parsed.encodings =
        ContentEncodings::parse(encodings).map_err(|reason| format!("{codec_id}, {reason}"))?;
    let private = child(entry, id::CODEC_PRIVATE)
        .map(|private| parsed.encodings.private(private).unwrap_or_default());
    let description = AudioDescription {
        codec_id,
        private: private.as_deref(),
        audio: child(entry, id::AUDIO).unwrap_or_default(),
    };
    let Some((params, pre_skip)) = codec::params(&description) else {
        // Without parameters, the codec counts as unknown.
        return Ok(());
    };
    if let Some(rate_hz @ 1..) = params.sample_rate {
        parsed.rate_hz = rate_hz;
    }
    let delay = u128::from(parsed.codec_delay_ns) * u128::from(parsed.rate_hz);
    // Some writers state the delay for another sample rate; the codec's own value is right.
    parsed.delay_samples = match pre_skip {
        0 => u64::try_from(delay / 1_000_000_000).unwrap_or(u64::MAX),
        pre_skip => pre_skip,
    };
    if params.codec == CODEC_ID_VORBIS {
        let headers = params.extra_data.as_deref();
        parsed.vorbis = headers.and_then(vorbis::PacketLengths::parse_joined);
    }
    parsed.audio = Some(params.clone());
    parsed.track.codec_params = Some(CodecParameters::Audio(params));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{element, pcm_track};
    use super::*;

    fn entry(number: u8, extra: &[Vec<u8>]) -> Vec<u8> {
        element(
            id::TRACK_ENTRY,
            &[pcm_track(number), extra.concat()].concat(),
        )
    }

    fn ids(entries: &[Vec<u8>]) -> Vec<(u32, bool)> {
        let tracks = Tracks::parse(&entries.concat());
        tracks
            .entries
            .iter()
            .map(|entry| {
                let is_default = entry.track.flags.contains(TrackFlags::DEFAULT);
                (entry.track.id, is_default)
            })
            .collect()
    }

    #[test]
    fn a_track_is_default_and_enabled_unless_it_says_otherwise() {
        let no = |id| element(id, &[0]);
        let tracks = [
            entry(1, &[no(id::FLAG_DEFAULT)]),
            entry(2, &[]),
            entry(3, &[no(id::FLAG_ENABLED)]),
        ];
        assert_eq!(ids(&tracks), [(1, false), (2, true)]);
        // A disabled track is used if there is no other.
        assert_eq!(ids(&tracks[2..]), [(3, true)]);
    }

    #[test]
    fn names_the_codec_of_a_track_that_is_encrypted() {
        let encrypted = element(
            id::CONTENT_ENCODINGS,
            &element(
                id::CONTENT_ENCODING,
                &element(id::CONTENT_ENCODING_TYPE, &[1]),
            ),
        );
        let tracks = Tracks::parse(&entry(1, std::slice::from_ref(&encrypted)));
        assert_eq!(
            tracks.unsupported_reason(),
            Some("A_PCM/INT/LIT, encrypted")
        );

        let both = [entry(1, &[encrypted]), entry(2, &[])].concat();
        assert_eq!(Tracks::parse(&both).unsupported_reason(), None);
    }

    #[test]
    fn the_codec_delay_is_in_samples_of_the_track() {
        let delay = element(id::CODEC_DELAY, &6_500_000_u32.to_be_bytes());
        let tracks = Tracks::parse(&entry(1, &[delay]));
        assert_eq!(tracks.entries[0].delay_samples, 104);
    }
}
