//! Decodes a media file with symphonia and libopus.

use std::io;
use std::ops::Range;

use symphonia::core::errors::Error;
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;

mod aac_config;
mod damage;
mod end_trim;
mod timeline;
mod track;
mod monitored_source;

use super::channels::ChannelStreams;
use super::cpu_time_limit::CpuTimeLimit;
use super::demux::{self, Demuxer};
use super::{AudioError, Channels, DecodeContext, DecodeLimits};
use damage::Damage;
use end_trim::EndTrimmer;
use monitored_source::MonitoredSource;
use timeline::Timeline;
use track::SelectedTrack;

/// Format name of a file before its format is known.
const UNKNOWN: &str = "the file";

/// Limits on reading a source, independent of the counts in its headers.
#[derive(Clone, Copy)]
pub struct DecodeBounds<'a> {
    /// The length of the file; [`u64::MAX`] if unknown.
    pub file_bytes: u64,
    /// The request's side of the decode.
    pub context: DecodeContext<'a>,
}

impl DecodeBounds<'_> {
    /// The processor time limit of the decode.
    fn cpu_time_limit(&self) -> CpuTimeLimit {
        let known = Some(self.file_bytes).filter(|bytes| *bytes != u64::MAX);
        CpuTimeLimit::new(self.context.cpu_clock, known.unwrap_or(0))
    }
}

/// A decoded recording.
#[derive(Debug, Default, PartialEq)]
pub struct DecodedAudio {
    /// PCM at 16 kHz: one stream, or one per channel, all of the same length.
    pub streams: Vec<Vec<f32>>,
    /// Ranges of silence in place of packets that could not be decoded; samples, in order.
    pub lost_ranges: Vec<Range<usize>>,
}

/// Decodes the best audio track of a source from its beginning.
///
/// # Errors
/// See [`AudioError`]; [`AudioError::NeedsFfmpeg`] if the container was read but its codec has no
/// built-in decoder, [`AudioError::Undecodable`] if too much of it is damaged.
pub fn decode(
    source: Box<dyn MediaSource>,
    bounds: DecodeBounds<'_>,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<DecodedAudio, AudioError> {
    let cpu_limit = bounds.cpu_time_limit();
    let memory = bounds.context.memory;
    let (source, read_bytes) = MonitoredSource::new(source, cpu_limit.clone());
    let mut demuxer = demux::open(Box::new(source)).map_err(|error| {
        // A reader that was stopped by the limit returns another error.
        cpu_limit.check(UNKNOWN, memory).err().unwrap_or(error)
    })?;
    let mut decoder = PacketDecoder::new(&demuxer, bounds.context, limits, channels)?;
    let mut reader_error = None;
    while (bounds.context.is_wanted)() {
        cpu_limit.check(&decoder.track.format_name, memory)?;
        let packet = match demuxer.reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // The tracks changed, as in a chained Ogg stream.
            Err(Error::ResetRequired) => {
                decoder.select_again(&demuxer)?;
                continue;
            }
            Err(Error::IoError(error)) if is_read_failure(&error) => {
                return Err(AudioError::Read(error));
            }
            Err(error) => {
                reader_error = Some(error);
                break;
            }
        };
        decoder.push(&demuxer, packet)?;
    }
    cpu_limit.check(&decoder.track.format_name, memory)?;
    // A truncated recording yields what it contains; one with much data after the position where its
    // reader stopped is an error.
    let unread_bytes = match bounds.file_bytes {
        u64::MAX => 0,
        bytes => bytes.saturating_sub(read_bytes.get()),
    };
    let stopped = reader_error.map(|error| ReaderStop {
        reason: error.to_string(),
        is_early: damage::is_too_much(unread_bytes as f64, bounds.file_bytes as f64),
    });
    decoder.finish(stopped)
}

/// The error that stopped the reader.
struct ReaderStop {
    reason: String,
    /// Whether much of the file was left unread.
    is_early: bool,
}

/// Decodes packets and appends them to the streams.
struct PacketDecoder<'a> {
    track: SelectedTrack,
    streams: ChannelStreams<'a>,
    timeline: Timeline,
    end_trimmer: EndTrimmer,
    damage: Damage,
}

impl<'a> PacketDecoder<'a> {
    fn new(
        demuxer: &Demuxer,
        context: DecodeContext<'a>,
        limits: &'a DecodeLimits,
        channels: Channels,
    ) -> Result<Self, AudioError> {
        let track = SelectedTrack::of(demuxer.reader.as_ref())?;
        Ok(Self {
            end_trimmer: EndTrimmer::new(track.end_trim_rule(demuxer)),
            track,
            streams: ChannelStreams::new(channels, limits, context.memory),
            timeline: Timeline::new(demuxer.clock),
            damage: Damage::default(),
        })
    }

    /// Selects a track again after the reader's tracks changed. If none can be decoded, packets are
    /// skipped.
    fn select_again(&mut self, demuxer: &Demuxer) -> Result<(), AudioError> {
        self.flush_end_trimmer()?;
        match SelectedTrack::of(demuxer.reader.as_ref()) {
            Ok(track) => {
                self.end_trimmer = EndTrimmer::new(track.end_trim_rule(demuxer));
                self.track = track;
                self.timeline.rebase();
            }
            Err(error) => self.track.deselect(&error),
        }
        Ok(())
    }

    fn push(&mut self, demuxer: &Demuxer, packet: Packet) -> Result<(), AudioError> {
        if !self.track.contains(&packet) {
            if self.timeline.is_before_first_packet() {
                let start_s = track::start_s(demuxer.reader.as_ref(), &packet);
                self.timeline.observe_other_track(start_s);
            }
            return Ok(());
        }
        for packet in self.end_trimmer.push(packet) {
            self.decode(packet)?;
        }
        Ok(())
    }

    fn flush_end_trimmer(&mut self) -> Result<(), AudioError> {
        for packet in self.end_trimmer.finish() {
            self.decode(packet)?;
        }
        Ok(())
    }

    /// Decodes a packet and places it according to its time stamp. A packet that cannot be decoded
    /// becomes silence once another follows.
    fn decode(&mut self, packet: Packet) -> Result<(), AudioError> {
        let start_s = self.track.start_s(&packet);
        let duration_s = self.track.duration_s(&packet);
        let Some((decoded, trim)) = self.track.decode(packet) else {
            self.damage.extend_run(duration_s);
            return Ok(());
        };
        let position_s = self.streams.position_s() + self.damage.run_s();
        let gap = self.timeline.gap_before(start_s, position_s);
        if gap.lost_s > 0.0 {
            self.damage.extend_run(gap.lost_s);
        }
        self.damage.close_run(&mut self.streams)?;
        self.streams.push_silence(gap.silence_s)?;
        self.streams.push(&decoded, trim)
    }

    fn finish(mut self, stopped: Option<ReaderStop>) -> Result<DecodedAudio, AudioError> {
        self.flush_end_trimmer()?;
        if !self.streams.is_empty() {
            self.damage.close_last_run(&mut self.streams)?;
        }
        let position_s = self.streams.position_s();
        let lost_s = self.damage.lost_s();
        let reason = match stopped {
            Some(stopped) if self.streams.is_empty() => Some(stopped.reason),
            None if self.streams.is_empty() => self.track.last_error,
            Some(stopped) if stopped.is_early => {
                Some(format!("{} after {position_s:.1} s", stopped.reason))
            }
            _ => damage::is_too_much(lost_s, position_s)
                .then(|| format!("{lost_s:.1} of its {position_s:.1} s are damaged")),
        };
        if let Some(reason) = reason {
            let format_name = self.track.format_name;
            return Err(AudioError::Undecodable {
                format_name,
                reason,
            });
        }
        Ok(DecodedAudio {
            streams: self.streams.finish()?,
            lost_ranges: self.damage.into_lost_ranges(),
        })
    }
}

/// Whether an error is a failure of the disk rather than of the content: only the former comes from the
/// operating system, which also returns `InvalidInput` for a seek before the beginning.
pub fn is_read_failure(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != io::ErrorKind::InvalidInput
}
