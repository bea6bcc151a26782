//! Reads ISO base media files (ISO/IEC 14496-12): MP4, M4A, 3GP, and their ancestor, Apple's
//! QuickTime.
//!
//! Only audio tracks are read; other tracks never make a file unreadable. Time stamps are presentation
//! times relative to the start of the first track. Edit lists are applied: hidden samples are left
//! out, or marked to be trimmed if a decoder needs them for the samples that follow.
//!
//! Counts in a file are not trusted. Tables are kept as the bytes that were read, so memory and time
//! are proportional to the size of the file.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{Read, Seek};

use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::well_known::FORMAT_ID_ISOMP4;
use symphonia::core::formats::{FormatInfo, Track, TrackFlags};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::{Packet, PacketBuilder};
use symphonia::core::units::{Duration as Ticks, Timestamp};

mod input;
mod boxes;
mod movie;
mod entry;
mod pcm;
mod config;
mod descriptor;
mod edits;
mod sample_run;
mod table;
mod fragment;
mod fragment_run;
mod fragment_sequence;
mod track;

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::{ContainerClock, Demuxer};
use crate::AudioError;
use crate::decode::is_read_failure;
use crate::format_names;
use boxes::{Boxes, Fields};
use fragment_sequence::{FragmentSequence, FragmentTrack};
use input::Mp4Input;
use movie::{Movie, MovieTrack};
use track::{MovieClock, PresentedRun, TrackReader};

const FORMAT_INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_ISOMP4,
    short_name: "isomp4",
    long_name: "ISO Base Media File Format",
};

/// Maximum ratio of sample bytes to file bytes. Tracks may share bytes, but not many times.
const MAX_READS: u64 = 2;

/// Maximum sample size: the largest packets of FLAC and ALAC take a few megabytes.
const MAX_SAMPLE_BYTES: u64 = 16 << 20;

/// Maximum number of sample description changes, each of which needs a new decoder. Edited recordings
/// have a few.
const MAX_CHANGES: u32 = 256;

/// Number of leading bytes from whose boxes the format is recognised.
const HEAD_BYTES: u64 = 64;

/// Opens a file that starts with a box of this format.
///
/// # Errors
/// [`AudioError::Read`], [`AudioError::NeedsFfmpeg`] for unsupported features,
/// [`AudioError::Undecodable`] if there is no movie header or its tables are too large, and
/// [`AudioError::TooCostly`] for a forged edit list.
pub fn open(mut file: Box<dyn MediaSource>) -> std::result::Result<OpenResult, AudioError> {
    let mut head = Vec::new();
    file.by_ref()
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .and_then(|_| file.rewind())
        .map_err(AudioError::Read)?;
    if !is_iso_media(&head) {
        return Ok(OpenResult::Unrecognized(file));
    }
    let reader = IsoMp4Reader::open(file).map_err(|error| match error {
        Error::IoError(error) if is_read_failure(&error) => AudioError::Read(error),
        Error::Unsupported(format_name) => AudioError::NeedsFfmpeg {
            format_name: format_name.to_owned(),
        },
        Error::LimitError(reason @ track::TOO_MANY_EDITS) => AudioError::TooCostly {
            format_name: format_names::container(&FORMAT_INFO).to_owned(),
            reason: reason.to_owned(),
        },
        error => AudioError::Undecodable {
            format_name: format_names::container(&FORMAT_INFO).to_owned(),
            reason: error.to_string(),
        },
    })?;
    Ok(OpenResult::Opened(Demuxer {
        reader: Box::new(ForwardReader::new(reader)),
        clock: ContainerClock::FromZero,
    }))
}

/// Whether `head` is the beginning of an ISO base media file.
fn is_iso_media(head: &[u8]) -> bool {
    let mut rest = head;
    loop {
        let mut fields = Fields(rest);
        let (Some(size), Some(kind)) = (fields.u32(), fields.take()) else {
            // Only padding in the available bytes.
            return rest.len() < head.len();
        };
        match &kind {
            _ if (2..8).contains(&size) => return false,
            b"ftyp" | b"moov" | b"mdat" | b"moof" | b"styp" | b"sidx" => return true,
            b"wide" | b"free" | b"skip" | b"pnot" if size >= 8 => {
                rest = rest.get(size as usize..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Reads the audio of an ISO base media file.
struct IsoMp4Reader {
    input: Mp4Input,
    tracks: Vec<Track>,
    /// One for each of `tracks`.
    readers: Vec<TrackReader>,
    fragments: Option<FragmentSequence>,
    bytes_left: u64,
    changes_left: u32,
}

impl IsoMp4Reader {
    /// Reads the headers of a file from its beginning.
    ///
    /// # Errors
    /// Those of the file, [`Error::DecodeError`] if it has no movie header, [`Error::Unsupported`] for a
    /// compressed one and for edit lists that repeatedly go back, and [`Error::LimitError`] for tables
    /// that are too large.
    fn open(file: Box<dyn MediaSource>) -> Result<Self> {
        let mut input = Mp4Input::new(file);
        let (movie, boxes) = find_movie(&mut input)?;
        let has_samples = movie.tracks.iter().any(|track| track.tables.samples() > 0);
        let clock = MovieClock {
            time_scale: movie.time_scale,
            is_fragmented: movie.is_fragmented || !has_samples,
        };
        let fragments = clock
            .is_fragmented
            .then(|| FragmentSequence::new(boxes, fragment_tracks(&movie, clock)));
        let origin_s = match &fragments {
            Some(fragments) if !has_samples => fragments.first_start_s(&mut input)?,
            _ => first_start_s(&movie, clock),
        };
        let mut readers = track_readers(movie, clock)?;
        for reader in &mut readers {
            reader.set_origin(origin_s);
        }
        Ok(Self {
            bytes_left: input.length().saturating_mul(MAX_READS),
            input,
            tracks: readers.iter().map(TrackReader::describe).collect(),
            readers,
            fragments,
            changes_left: MAX_CHANGES,
        })
    }

    /// The index of the track whose next samples come first in the file.
    fn first_in_file(&mut self) -> Option<usize> {
        let offsets = self.readers.iter_mut().map(TrackReader::peek);
        let offsets = offsets.map(|next| next.map(|next| next.run.offset));
        let found = offsets
            .enumerate()
            .filter_map(|(index, offset)| Some((offset?, index)));
        found.min().map(|(_, index)| index)
    }

    /// Reads the next fragment; false after the last one.
    fn read_fragment(&mut self) -> Result<bool> {
        let Some(sequence) = &mut self.fragments else {
            return Ok(false);
        };
        let Some(fragments) = sequence.next(&mut self.input)? else {
            return Ok(false);
        };
        for fragment in fragments {
            let of_track = |reader: &&mut TrackReader| reader.id() == fragment.track_id;
            if let Some(reader) = self.readers.iter_mut().find(of_track) {
                reader.push_fragment(fragment);
            }
        }
        Ok(true)
    }

    /// Reads samples; `None` if the file ends within them.
    fn read(&mut self, index: usize, presented: PresentedRun) -> Result<Option<Packet>> {
        let PresentedRun { mut run, .. } = presented;
        if run.samples == 1 && run.bytes > MAX_SAMPLE_BYTES {
            return Err(Error::LimitError("a sample is too large"));
        }
        self.bytes_left = self
            .bytes_left
            .checked_sub(run.bytes)
            .ok_or(Error::LimitError("its tables point to more than there is"))?;
        let mut data = self.input.read_at(run.offset, run.bytes)?;
        let reader = &mut self.readers[index];
        if (data.len() as u64) < run.bytes {
            let layout = reader.current_entry().and_then(|entry| entry.layout);
            reader.end();
            // Complete PCM frames are kept; an incomplete compressed sample is not.
            let Some(layout) = layout.filter(|layout| data.len() >= layout.bytes as usize) else {
                return Ok(None);
            };
            let groups = data.len() as u32 / layout.bytes;
            data.truncate((groups * layout.bytes) as usize);
            run.samples = run.samples.min(groups * layout.frames);
        }
        let entry = self.readers[index].current_entry();
        let max_ticks = entry.and_then(|entry| entry.params.max_frames_per_packet);
        if max_ticks.is_some_and(|max_ticks| run.ticks() > max_ticks) {
            return Err(Error::DecodeError("a packet of ADPCM is too long"));
        }
        let trimmed = presented.trim_start.saturating_add(presented.trim_end);
        let packet = PacketBuilder::new()
            .track_id(self.tracks[index].id)
            .pts(Timestamp::new(presented.start))
            .dur(Ticks::new(run.ticks().saturating_sub(trimmed)))
            .trim_start(Ticks::new(presented.trim_start))
            .trim_end(Ticks::new(presented.trim_end))
            .data(data)
            .build();
        Ok(Some(packet))
    }
}

/// Reads the first movie header; also returns the boxes that contain the fragments.
fn find_movie(input: &mut Mp4Input) -> Result<(Movie, Boxes)> {
    let mut boxes = Boxes::from(0, input);
    let mut first_fragment = None;
    while let Some(header) = boxes.next(input)? {
        match &header.kind {
            b"moov" => {
                let movie = Movie::read(input, &header)?;
                return Ok((movie, first_fragment.unwrap_or(boxes)));
            }
            b"moof" => {
                first_fragment.get_or_insert(Boxes::from(header.start, input));
            }
            _ => {}
        }
    }
    Err(Error::DecodeError("it has no movie header (moov)"))
}

/// Presentation time of the first audio or video sample in the tables, in seconds.
fn first_start_s(movie: &Movie, clock: MovieClock) -> f64 {
    let has_samples = |track: &&MovieTrack| !track.is_audio() || track.tables.samples() > 0;
    let tracks = timed_tracks(movie).filter(has_samples);
    let starts_s = tracks.map(|track| {
        let start = edits::presentation_start(&track::edits_of(track, clock), 0);
        start as f64 / f64::from(track.time_scale.get())
    });
    starts_s.reduce(f64::min).unwrap_or(0.0)
}

/// The audio and video tracks, which determine when the presentation starts.
fn timed_tracks(movie: &Movie) -> impl Iterator<Item = &MovieTrack> {
    let is_timed = |track: &&MovieTrack| track.is_audio() || track.handler == *b"vide";
    movie.tracks.iter().filter(is_timed)
}

/// Parameters for reading the fragments of audio and video tracks.
fn fragment_tracks(movie: &Movie, clock: MovieClock) -> HashMap<u32, FragmentTrack> {
    let tracks = timed_tracks(movie).map(|track| {
        let fragment_track = FragmentTrack {
            defaults: track.defaults,
            is_audio: track.is_audio(),
            edits: track::edits_of(track, clock),
            ticks_per_s: track.time_scale.get(),
        };
        (track.id, fragment_track)
    });
    tracks.collect()
}

/// Readers of the audio tracks in order of preference: with samples, enabled, early in the file.
fn track_readers(movie: Movie, clock: MovieClock) -> Result<Vec<TrackReader>> {
    let mut tracks: Vec<_> = movie
        .tracks
        .into_iter()
        .filter(MovieTrack::is_audio)
        .collect();
    tracks.sort_by_key(|track| {
        let has_samples = clock.is_fragmented || track.tables.samples() > 0;
        Reverse((has_samples, track.is_enabled))
    });
    let readers = tracks.into_iter().enumerate().map(|(rank, track)| {
        let flags = match rank {
            0 => TrackFlags::DEFAULT,
            _ => TrackFlags::empty(),
        };
        TrackReader::new(track, clock, flags)
    });
    readers.collect()
}

impl PacketSource for IsoMp4Reader {
    fn info(&self) -> &FormatInfo {
        &FORMAT_INFO
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            let Some(index) = self.first_in_file() else {
                if self.read_fragment()? {
                    continue;
                }
                return Ok(None);
            };
            let reader = &mut self.readers[index];
            let Some(next) = reader.peek() else {
                continue;
            };
            let mut is_changed = reader.change_entry(next.run.entry);
            if reader.needs_layer()
                && let Some(header) = self.input.read_array(next.run.offset)?
            {
                is_changed |= reader.set_layer(header);
            }
            if is_changed {
                self.tracks[index] = reader.describe();
                self.changes_left = self
                    .changes_left
                    .checked_sub(1)
                    .ok_or(Error::LimitError("its codec keeps changing"))?;
                return Err(Error::ResetRequired);
            }
            reader.take();
            if let Some(packet) = self.read(index, next)? {
                return Ok(Some(packet));
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.input.into_source()
    }
}

#[cfg(test)]
mod tests;
