//! Opens the container of an upload: which reader gives its packets, and what its clock says.

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
pub use leading_tags::skip_leading_tags;
use forward_reader::OpenResult;

/// How far into a file its format may begin. Metadata in front is stepped over and does not count;
/// this is for junk, and bounds the search in files of no format at all.
const MAX_PROBE_BYTES: u32 = 64 * 1024;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::new_with_options(&ProbeOptions {
        max_probe_depth: MAX_PROBE_BYTES,
        ..ProbeOptions::default()
    });
    symphonia::default::register_enabled_formats(&mut probe);
    probe
});

/// A container that is open for reading.
pub struct Demuxer {
    /// Gives the packets.
    pub reader: Box<dyn FormatReader>,
    /// What the time stamps of its packets mean.
    pub clock: ContainerClock,
}

/// What a container's time stamps say about where its audio stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerClock {
    /// Nothing: packets follow one another without a gap, as in MP3, ADTS and WAV.
    None,
    /// Time counts from the earliest packet of any track, as in Matroska.
    FromFirstPacket,
    /// The same, and time stamps count samples, so that a hole is sound that was lost, as in Ogg and
    /// FLAC.
    Samples,
    /// Time counts from 0: the reader knows the start of the earliest track, as in MP4.
    FromZero,
}

/// Opens a container, with a reader of this project where there is one, else with symphonia's.
///
/// # Errors
/// [`AudioError::Undecodable`] where no reader knows it, [`AudioError::NeedsFfmpeg`] where one knows
/// that its audio cannot be read here, [`AudioError::Read`] where the disk fails.
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
    // Cover pictures are not wanted.
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
