//! Reads the movie header box (`moov`, ISO/IEC 14496-12, 8.2): its tracks, without what is in them.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;

use symphonia::core::errors::{Error, Result};

use super::boxes::{BoxHeader, Fields, BoxType};
use super::edits::{self, EditEntry};
use super::entry::{self, SampleEntry};
use super::fragment::{self, FragmentDefaults};
use super::input::Mp4Input;
use super::table::SampleTables;

/// More tracks than this are not read.
const MAX_TRACKS: usize = 256;

/// What the tables of all audio tracks may take in memory: 24 hours of AAC take 20 MB.
const MAX_TABLE_BYTES: u64 = 128 << 20;

/// What the sample descriptions of one track may take.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;

/// A header with a few fields of fixed size is read this far.
const MAX_HEADER_BYTES: u64 = 128;

/// A movie.
#[derive(Debug, Default)]
pub struct Movie {
    /// Ticks per second of the lengths in edit lists; 0 where it is not stated.
    pub time_scale: u32,
    /// The tracks, in the file's order.
    pub tracks: Vec<MovieTrack>,
    /// Whether fragments are announced (`mvex`).
    pub is_fragmented: bool,
}

/// A track of a movie.
#[derive(Debug)]
pub struct MovieTrack {
    /// Its number.
    pub id: u32,
    /// Whether a player plays it.
    pub is_enabled: bool,
    /// What it holds: `soun` is audio, `vide` video.
    pub handler: BoxType,
    /// Whether another track takes it for chapters.
    pub is_chapter: bool,
    /// Ticks per second.
    pub time_scale: NonZero<u32>,
    /// Its edit list.
    pub edits: Vec<EditEntry>,
    /// Its sample descriptions, where it is audio.
    pub entries: Vec<SampleEntry>,
    /// Its tables, where it is audio.
    pub tables: SampleTables,
    /// What its fragments use where they say nothing.
    pub defaults: FragmentDefaults,
}

impl MovieTrack {
    /// Whether it is audio to listen to.
    pub fn is_audio(&self) -> bool {
        self.handler == *b"soun" && !self.is_chapter
    }
}

impl Movie {
    /// Reads a `moov` box.
    ///
    /// # Errors
    /// Those of the source, [`Error::Unsupported`] for a compressed header, and
    /// [`Error::LimitError`] for tables that are too large.
    pub fn read(input: &mut Mp4Input, moov: &BoxHeader) -> Result<Self> {
        let mut reader = MovieReader {
            input,
            table_bytes_left: MAX_TABLE_BYTES,
            chapters: HashSet::new(),
        };
        let mut movie = Self::default();
        let mut defaults = HashMap::new();
        let mut boxes = moov.children();
        while let Some(header) = boxes.next(reader.input)? {
            match &header.kind {
                b"mvhd" => movie.time_scale = reader.time_scale(&header)?.unwrap_or(0),
                b"trak" if movie.tracks.len() < MAX_TRACKS => {
                    movie.tracks.extend(reader.track(&header)?);
                }
                b"mvex" => {
                    movie.is_fragmented = true;
                    reader.defaults(&header, &mut defaults)?;
                }
                b"cmov" => {
                    return Err(Error::Unsupported("MP4 with a compressed movie header"));
                }
                _ => {}
            }
        }
        for track in &mut movie.tracks {
            track.is_chapter = reader.chapters.contains(&track.id);
            track.defaults = defaults.get(&track.id).copied().unwrap_or_default();
        }
        Ok(movie)
    }
}

struct MovieReader<'a> {
    input: &'a mut Mp4Input,
    table_bytes_left: u64,
    /// The tracks that others take for chapters.
    chapters: HashSet<u32>,
}

/// The boxes of a track, as far as they were found.
#[derive(Default)]
struct TrackBoxes {
    id: Option<u32>,
    is_enabled: bool,
    handler: BoxType,
    time_scale: u32,
    edits: Vec<EditEntry>,
    descriptions: Vec<u8>,
    tables: SampleTables,
}

impl MovieReader<'_> {
    /// The fields of a full box, or as many as there are.
    fn header(&mut self, header: &BoxHeader) -> Result<Vec<u8>> {
        header.read(self.input, MAX_HEADER_BYTES)
    }

    /// A whole table.
    fn table(&mut self, header: &BoxHeader) -> Result<Vec<u8>> {
        let content = header.read(self.input, self.table_bytes_left.saturating_add(1))?;
        self.table_bytes_left = self
            .table_bytes_left
            .checked_sub(content.len() as u64)
            .ok_or(Error::LimitError("the sample tables are too large"))?;
        Ok(content)
    }

    /// The time scale of an `mvhd` or `mdhd` box.
    fn time_scale(&mut self, header: &BoxHeader) -> Result<Option<u32>> {
        let content = self.header(header)?;
        let mut fields = Fields(&content);
        Ok(fields.version_and_flags().and_then(|(version, _)| {
            // Behind the times of creation and modification.
            fields.skip(if version == 1 { 16 } else { 8 })?;
            fields.u32()
        }))
    }

    /// Collects what `trex` boxes say.
    fn defaults(&mut self, mvex: &BoxHeader, found: &mut HashMap<u32, FragmentDefaults>) -> Result<()> {
        let mut boxes = mvex.children();
        while let Some(header) = boxes.next(self.input)? {
            if header.kind == *b"trex" && found.len() < MAX_TRACKS {
                let content = self.header(&header)?;
                found.extend(fragment::read_defaults(&content));
            }
        }
        Ok(())
    }

    /// A track; none where it has no number or no time scale.
    fn track(&mut self, trak: &BoxHeader) -> Result<Option<MovieTrack>> {
        let mut parts = TrackBoxes::default();
        let mut boxes = trak.children();
        while let Some(header) = boxes.next(self.input)? {
            match &header.kind {
                b"tkhd" => self.track_header(&header, &mut parts)?,
                b"tref" => self.references(&header)?,
                b"edts" => self.edit_list(&header, &mut parts)?,
                b"mdia" => self.media(&header, &mut parts)?,
                _ => {}
            }
        }
        let (Some(id), Some(time_scale)) = (parts.id, NonZero::new(parts.time_scale)) else {
            return Ok(None);
        };
        Ok(Some(MovieTrack {
            id,
            is_enabled: parts.is_enabled,
            handler: parts.handler,
            is_chapter: false,
            time_scale,
            edits: parts.edits,
            entries: entry::read_entries(&parts.descriptions, time_scale.get()),
            tables: parts.tables,
            defaults: FragmentDefaults::default(),
        }))
    }

    fn track_header(&mut self, tkhd: &BoxHeader, parts: &mut TrackBoxes) -> Result<()> {
        const ENABLED: u32 = 1;
        let content = self.header(tkhd)?;
        let mut fields = Fields(&content);
        if let Some((version, flags)) = fields.version_and_flags() {
            parts.is_enabled = flags & ENABLED != 0;
            // Behind the times of creation and modification.
            let times = fields.skip(if version == 1 { 16 } else { 8 });
            parts.id = times.and_then(|()| fields.u32());
        }
        Ok(())
    }

    /// Notes the tracks that this one takes for chapters.
    fn references(&mut self, tref: &BoxHeader) -> Result<()> {
        let mut boxes = tref.children();
        while let Some(header) = boxes.next(self.input)? {
            if header.kind == *b"chap" && self.chapters.len() < MAX_TRACKS {
                let content = self.header(&header)?;
                let mut fields = Fields(&content);
                self.chapters.extend(std::iter::from_fn(|| fields.u32()));
            }
        }
        Ok(())
    }

    fn edit_list(&mut self, edts: &BoxHeader, parts: &mut TrackBoxes) -> Result<()> {
        let mut boxes = edts.children();
        while let Some(header) = boxes.next(self.input)? {
            if header.kind == *b"elst" {
                parts.edits = edits::read_entries(&self.table(&header)?);
            }
        }
        Ok(())
    }

    fn media(&mut self, mdia: &BoxHeader, parts: &mut TrackBoxes) -> Result<()> {
        // Nearly all writers put the handler in front of it.
        let mut unread_information = None;
        let mut boxes = mdia.children();
        while let Some(header) = boxes.next(self.input)? {
            match &header.kind {
                b"mdhd" => parts.time_scale = self.time_scale(&header)?.unwrap_or(0),
                b"hdlr" => {
                    let content = self.header(&header)?;
                    let handler = content.get(8..).and_then(|rest| Fields(rest).take());
                    parts.handler = handler.unwrap_or_default();
                }
                b"minf" if parts.handler == *b"soun" => self.media_information(&header, parts)?,
                b"minf" => unread_information = Some(header),
                _ => {}
            }
        }
        match unread_information {
            Some(minf) if parts.handler == *b"soun" => self.media_information(&minf, parts),
            _ => Ok(()),
        }
    }

    fn media_information(&mut self, minf: &BoxHeader, parts: &mut TrackBoxes) -> Result<()> {
        let mut boxes = minf.children();
        while let Some(header) = boxes.next(self.input)? {
            if header.kind == *b"stbl" {
                self.sample_table(&header, parts)?;
            }
        }
        Ok(())
    }

    fn sample_table(&mut self, stbl: &BoxHeader, parts: &mut TrackBoxes) -> Result<()> {
        let tables = &mut parts.tables;
        let mut boxes = stbl.children();
        while let Some(header) = boxes.next(self.input)? {
            match &header.kind {
                b"stsd" => parts.descriptions = header.read(self.input, MAX_DESCRIPTION_BYTES)?,
                b"stts" => tables.set_durations(self.table(&header)?),
                b"stsc" => tables.set_chunks(self.table(&header)?),
                b"stco" => tables.set_offsets(self.table(&header)?),
                b"co64" => tables.set_large_offsets(self.table(&header)?),
                b"stsz" => tables.set_sizes(&self.table(&header)?),
                b"stz2" => tables.set_compact_sizes(&self.table(&header)?),
                _ => {}
            }
        }
        Ok(())
    }
}
