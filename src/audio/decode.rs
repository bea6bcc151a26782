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
mod watched;

use super::channels::ChannelStreams;
use super::demux::{self, Demuxer};
use super::effort::Effort;
use super::{AudioError, Channels, DecodeLimits, Requester};
use damage::Damage;
use end_trim::EndTrim;
use timeline::Timeline;
use track::SelectedTrack;
use watched::Watched;

/// What a file is called of which nothing is known yet.
const UNKNOWN: &str = "the file";

/// What bounds the reading of a source, whatever its tables say.
#[derive(Clone, Copy)]
pub struct Allowance<'a> {
    /// The length of the file; [`u64::MAX`] where it is not known.
    pub file_bytes: u64,
    /// The request that the decode belongs to.
    pub requester: Requester<'a>,
}

impl Allowance<'_> {
    /// The processor time that the decode may take.
    fn effort(&self) -> Effort {
        let known = Some(self.file_bytes).filter(|bytes| *bytes != u64::MAX);
        Effort::new(self.requester.cpu_clock, known.unwrap_or(0))
    }
}

/// A decoded recording.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    /// PCM at 16 kHz: one stream, or one per channel, all of the same length.
    pub streams: Vec<Vec<f32>>,
    /// Where packets could not be decoded and silence stands instead: samples, in order.
    pub lost: Vec<Range<usize>>,
}

/// Decodes the best audio track of a source, from the source's beginning.
///
/// # Errors
/// See [`AudioError`]; [`AudioError::NeedsFfmpeg`] where the container was read but its audio has no
/// decoder here, [`AudioError::Undecodable`] where too much of it is damaged.
pub fn decode(
    source: Box<dyn MediaSource>,
    allowance: Allowance<'_>,
    limits: &DecodeLimits,
    channels: Channels,
) -> Result<Decoded, AudioError> {
    let effort = allowance.effort();
    let memory = allowance.requester.memory;
    let (source, read_bytes) = Watched::new(source, effort.clone());
    let mut demuxer = demux::open(Box::new(source)).map_err(|error| {
        // A reader that was stopped for its cost says something else.
        effort.check(UNKNOWN, memory).err().unwrap_or(error)
    })?;
    let mut decoding = Decoding::new(&demuxer, allowance.requester, limits, channels)?;
    let mut reader_error = None;
    while (allowance.requester.is_wanted)() {
        effort.check(&decoding.track.found, memory)?;
        let packet = match demuxer.reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // The tracks have changed, as in a chained Ogg stream.
            Err(Error::ResetRequired) => {
                decoding.select_again(&demuxer)?;
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
        decoding.push(&demuxer, packet)?;
    }
    effort.check(&decoding.track.found, memory)?;
    // A recording that breaks off gives what it holds; one that goes on behind the place where its
    // reader stopped is not whole.
    let unread_bytes = match allowance.file_bytes {
        u64::MAX => 0,
        bytes => bytes.saturating_sub(read_bytes.get()),
    };
    let stopped = reader_error.map(|error| Stopped {
        reason: error.to_string(),
        is_early: damage::is_too_much(unread_bytes as f64, allowance.file_bytes as f64),
    });
    decoding.finish(stopped)
}

/// Why the reader stopped before the end.
struct Stopped {
    reason: String,
    /// Whether much of the file lies behind that place.
    is_early: bool,
}

/// The way from packets to streams.
struct Decoding<'a> {
    track: SelectedTrack,
    streams: ChannelStreams<'a>,
    timeline: Timeline,
    end_trim: EndTrim,
    damage: Damage,
}

impl<'a> Decoding<'a> {
    fn new(
        demuxer: &Demuxer,
        requester: Requester<'a>,
        limits: &'a DecodeLimits,
        channels: Channels,
    ) -> Result<Self, AudioError> {
        let track = SelectedTrack::of(demuxer.reader.as_ref())?;
        Ok(Self {
            end_trim: EndTrim::new(track.end_trim_rule(demuxer)),
            track,
            streams: ChannelStreams::new(channels, limits, requester.memory),
            timeline: Timeline::new(demuxer.clock),
            damage: Damage::default(),
        })
    }

    /// Goes on with the tracks that the reader has now; without one that can be decoded its packets
    /// are passed over.
    fn select_again(&mut self, demuxer: &Demuxer) -> Result<(), AudioError> {
        self.flush_end_trim()?;
        match SelectedTrack::of(demuxer.reader.as_ref()) {
            Ok(track) => {
                self.end_trim = EndTrim::new(track.end_trim_rule(demuxer));
                self.track = track;
                self.timeline.rebase();
            }
            Err(error) => self.track.leave(&error),
        }
        Ok(())
    }

    fn push(&mut self, demuxer: &Demuxer, packet: Packet) -> Result<(), AudioError> {
        if !self.track.holds(&packet) {
            if self.timeline.waits_for_first() {
                let start_s = track::start_s(demuxer.reader.as_ref(), &packet);
                self.timeline.observe_other(start_s);
            }
            return Ok(());
        }
        for packet in self.end_trim.push(packet) {
            self.decode(packet)?;
        }
        Ok(())
    }

    fn flush_end_trim(&mut self) -> Result<(), AudioError> {
        for packet in self.end_trim.finish() {
            self.decode(packet)?;
        }
        Ok(())
    }

    /// Decodes a packet to where its time stamp says. One that cannot be decoded becomes silence
    /// once another follows.
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

    fn finish(mut self, stopped: Option<Stopped>) -> Result<Decoded, AudioError> {
        self.flush_end_trim()?;
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
            let found = self.track.found;
            return Err(AudioError::Undecodable { found, reason });
        }
        Ok(Decoded {
            streams: self.streams.finish()?,
            lost: self.damage.into_lost(),
        })
    }
}

/// Tells a failing disk from content that leads the reader astray: only the former comes from the
/// operating system, which also answers `InvalidInput` to a seek in front of the beginning.
pub fn is_read_failure(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != io::ErrorKind::InvalidInput
}
