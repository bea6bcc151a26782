//! Opens the container of an upload: selects its reader and the meaning of its time stamps.

use std::sync::LazyLock;

use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe, ProbeOptions};
use symphonia::core::formats::well_known::FORMAT_ID_FLAC;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

mod lookahead;
mod tags;
mod leading_tags;
mod forward_reader;
mod opus;
mod vorbis;
mod flac;
mod isomp4;
mod matroska;
mod ogg;
mod frames;
mod adts;
mod mpeg_audio;
mod pcm;

use super::AudioError;
use super::decode::is_read_failure;
use forward_reader::OpenResult;
pub use leading_tags::skip_leading_tags;

/// How far into a file its format is searched. Leading metadata is skipped and does not count; this
/// allows for junk and limits the search in files of unknown format.
const MAX_PROBE_BYTES: u32 = 64 * 1024;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::new_with_options(&ProbeOptions {
        max_probe_depth: MAX_PROBE_BYTES,
        ..ProbeOptions::default()
    });
    symphonia::default::register_enabled_formats(&mut probe);
    probe
});

/// An open container.
pub struct Demuxer {
    /// Returns the packets.
    pub reader: Box<dyn FormatReader>,
    /// Meaning of the packets' time stamps.
    pub clock: ContainerClock,
}

/// Meaning of a container's time stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerClock {
    /// None: packets are contiguous, as in MP3, ADTS and WAV.
    None,
    /// Relative to the earliest packet of any track, as in Matroska.
    FromFirstPacket,
    /// The same, but in samples, so that a gap means lost audio, as in Ogg and FLAC.
    Samples,
    /// Relative to 0: the reader has subtracted the start of the earliest track, as in MP4.
    FromZero,
}

/// Opens a container with a reader of this project if there is one, otherwise with symphonia's.
///
/// # Errors
/// [`AudioError::Undecodable`] if no reader recognises it, [`AudioError::NeedsFfmpeg`] if its audio is
/// recognised but not supported, [`AudioError::Read`] if the disk fails.
pub fn open(mut source: Box<dyn MediaSource>) -> Result<Demuxer, AudioError> {
    match pcm::open(source)? {
        OpenResult::Opened(demuxer) => return Ok(demuxer),
        OpenResult::Unrecognized(unrecognized) => source = unrecognized,
    }
    if source.is_seekable() {
        for open in [
            isomp4::open,
            matroska::open,
            ogg::open,
            adts::open,
            mpeg_audio::open,
        ] {
            match open(source)? {
                OpenResult::Opened(demuxer) => return Ok(demuxer),
                OpenResult::Unrecognized(unrecognized) => source = unrecognized,
            }
        }
    }
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    // Cover pictures are not needed.
    let metadata = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(0));
    let hint = Hint::new();
    let reader = PROBE
        .probe(&hint, stream, FormatOptions::default(), metadata)
        .map_err(|error| match error {
            Error::IoError(error) if is_read_failure(&error) => AudioError::Read(error),
            error => AudioError::Undecodable {
                format_name: "the file".to_owned(),
                reason: error.to_string(),
            },
        })?;
    let clock = match reader.format_info().format {
        FORMAT_ID_FLAC => ContainerClock::Samples,
        _ => ContainerClock::None,
    };
    Ok(Demuxer { reader, clock })
}
