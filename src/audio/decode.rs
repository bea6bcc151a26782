//! Decodes a media file with symphonia and libopus.

use std::io;
use std::sync::LazyLock;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, well_known as codec};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe, ProbeOptions};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackFlags};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia_adapter_libopus::OpusDecoder;

use super::channels::ChannelStreams;
use super::fragments::Bounded;
use super::{AudioError, Channels, DecodeLimits};

/// How far into a file its format may begin. Metadata in front is stepped over and does not count;
/// this is for junk, and bounds the search in files of no format at all.
const MAX_PROBE_BYTES: u32 = 64 * 1024;

/// Opus always decodes at this rate, whatever a container says about the recording (RFC 7845, 5.1).
const OPUS_RATE_HZ: u32 = 48_000;

/// A decoder makes its buffers for as many frames as a header says a packet may hold. Real ones hold
/// at most 65,536 (FLAC); a forged header could ask for more memory than there is.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// Packets may take this many times the bytes of their file, for some containers leave out how packets begin.
/// The tables of a forged file could point to a few bytes, or to none, billions of times.
const MAX_READS: u64 = 2;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::new_with_options(&ProbeOptions {
        max_probe_depth: MAX_PROBE_BYTES,
        ..ProbeOptions::default()
    });
    symphonia::default::register_enabled_formats(&mut probe);
    probe
});

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

/// What bounds the reading of a source, whatever its tables say.
#[derive(Clone, Copy)]
pub struct Allowance<'a> {
    /// The length of the file; [`u64::MAX`] where it is not known.
    pub file_bytes: u64,
    /// Whether anybody still waits for the result.
    pub is_wanted: &'a (dyn Fn() -> bool + Sync),
}

/// Decodes the best audio track of a source, from the source's beginning, to streams of equal length.
///
/// # Errors
/// See [`AudioError`]; [`AudioError::NeedsFfmpeg`] where the container was read but its audio has no
/// decoder here.
pub fn decode(
    source: Box<dyn MediaSource>,
    allowance: Allowance<'_>,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Vec<Vec<f32>>, AudioError> {
    let source = Bounded::new(source, allowance.file_bytes);
    let mut reader = open(Box::new(source))?;
    let mut selected = select_track(reader.as_ref())?;
    let mut streams = ChannelStreams::new(channels, limits);
    let mut bytes_left = allowance.file_bytes.saturating_mul(MAX_READS);
    let mut last_error = None;
    while (allowance.is_wanted)() {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // A chained Ogg stream begins anew.
            Err(Error::ResetRequired) => match select_track(reader.as_ref()) {
                Ok(next) => {
                    selected = next;
                    continue;
                }
                Err(_) => break,
            },
            Err(Error::IoError(error)) if is_read_failure(&error) => {
                return Err(AudioError::Read(error));
            }
            // What was decoded before the damage is what the file has to give.
            Err(error) => {
                last_error = Some(error);
                break;
            }
        };
        // An empty packet takes a byte to tell of.
        let bytes = (packet.data.len() as u64).max(1);
        let Some(left) = bytes_left.checked_sub(bytes) else {
            last_error = Some(Error::LimitError("it says that it holds more than it does"));
            break;
        };
        bytes_left = left;
        if packet.track_id != selected.track_id {
            continue;
        }
        match selected.decoder.decode(&packet) {
            Ok(decoded) => streams.push(&decoded)?,
            Err(Error::ResetRequired) => selected.decoder.reset(),
            // One corrupt packet is left out; the next one may be sound.
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) if streams.is_empty() => Err(AudioError::Undecodable {
            found: selected.found,
            reason: error.to_string(),
        }),
        _ => streams.finish(),
    }
}

struct Selected {
    track_id: u32,
    decoder: Box<dyn AudioDecoder>,
    /// Container and codec, for messages.
    found: String,
}

fn open(source: Box<dyn MediaSource>) -> Result<Box<dyn FormatReader>, AudioError> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    // Nobody looks at the cover.
    let metadata = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(0));
    let hint = Hint::new();
    PROBE
        .probe(&hint, stream, FormatOptions::default(), metadata)
        .map_err(|error| match error {
            Error::IoError(error) if is_read_failure(&error) => AudioError::Read(error),
            error => AudioError::Undecodable {
                found: "the file".to_owned(),
                reason: error.to_string(),
            },
        })
}

/// Takes the first audio track that has a decoder, those flagged as default first.
fn select_track(reader: &dyn FormatReader) -> Result<Selected, AudioError> {
    let container = reader.format_info().short_name;
    let mut missing_codec = None;
    let (default, other): (Vec<&Track>, Vec<&Track>) = reader
        .tracks()
        .iter()
        .partition(|track| track.flags.contains(TrackFlags::DEFAULT));
    for track in default.into_iter().chain(other) {
        match (&track.codec_params, track.track_type()) {
            (Some(CodecParameters::Audio(params)), _) => {
                let found = format!("{container} with {}", codec_name(params.codec));
                match make_decoder(params) {
                    Some(decoder) => {
                        return Ok(Selected {
                            track_id: track.id,
                            decoder,
                            found,
                        });
                    }
                    None => missing_codec = missing_codec.or(Some(found)),
                }
            }
            // The container reader could not even tell the kind of this track.
            (None, _) => {
                let found = format!("{container} with an unknown codec");
                missing_codec = missing_codec.or(Some(found));
            }
            _ => {}
        }
    }
    Err(match missing_codec {
        Some(found) => AudioError::NeedsFfmpeg { found },
        None => AudioError::NoAudioTrack {
            found: container.to_owned(),
        },
    })
}

fn make_decoder(params: &AudioCodecParameters) -> Option<Box<dyn AudioDecoder>> {
    if params.max_frames_per_packet > Some(MAX_PACKET_FRAMES) {
        return None;
    }
    let mut params = params.clone();
    if params.codec == codec::CODEC_ID_OPUS {
        params.sample_rate = Some(OPUS_RATE_HZ);
    }
    CODECS
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .ok()
}

fn codec_name(id: AudioCodecId) -> String {
    if let Some(known) = CODECS.get_audio_decoder(id) {
        return known.codec.info.long_name.to_owned();
    }
    match id {
        codec::CODEC_ID_AC3 => "AC-3".to_owned(),
        codec::CODEC_ID_EAC3 => "E-AC-3".to_owned(),
        codec::CODEC_ID_AC4 => "AC-4".to_owned(),
        codec::CODEC_ID_DCA => "DTS".to_owned(),
        codec::CODEC_ID_SPEEX => "Speex".to_owned(),
        codec::CODEC_ID_TRUEHD => "TrueHD".to_owned(),
        codec::CODEC_ID_TTA => "TTA".to_owned(),
        codec::CODEC_ID_WAVPACK => "WavPack".to_owned(),
        codec::CODEC_ID_WMA => "WMA".to_owned(),
        other => format!("codec {other}"),
    }
}

/// Tells a failing disk from content that leads the reader astray: only the former comes from the
/// operating system, which also answers `InvalidInput` to a seek in front of the beginning.
fn is_read_failure(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != io::ErrorKind::InvalidInput
}
