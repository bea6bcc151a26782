//! Reads the movie header box (`moov`, ISO/IEC 14496-12, 8.2): the descriptions of its tracks.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;

use symphonia::core::errors::{Error, Result};

use super::boxes::{BoxHeader, BoxType, Fields};
use super::edits::{self, EditEntry};
use super::entry::{self, SampleEntry};
use super::fragment::{self, FragmentDefaults};
use super::input::Mp4Input;
use super::table::SampleTables;

/// Maximum number of tracks to read.
const MAX_TRACKS: usize = 256;

/// Memory limit for the tables of all audio tracks: 24 hours of AAC take 20 MB.
const MAX_TABLE_BYTES: u64 = 128 << 20;

/// Memory limit for the sample descriptions of one track.
const MAX_DESCRIPTION_BYTES: u64 = 1 << 20;

/// Maximum bytes read of a header with a few fields of fixed size.
const MAX_HEADER_BYTES: u64 = 128;

/// A movie.
#[derive(Debug, Default)]
pub struct Movie {
    /// Ticks per second of the durations in edit lists; 0 if not stated.
    pub time_scale: u32,
    /// The tracks, in file order.
    pub tracks: Vec<MovieTrack>,
    /// Whether the file has fragments (`mvex`).
    pub is_fragmented: bool,
}

/// A track of a movie.
#[derive(Debug)]
pub struct MovieTrack {
    /// Track number.
    pub id: u32,
    /// Whether the track is enabled for playback.
    pub is_enabled: bool,
    /// Kind of media: `soun` is audio, `vide` video.
    pub handler: BoxType,
    /// Whether another track refers to it for chapters.
    pub is_chapter: bool,
    /// Ticks per second.
    pub time_scale: NonZero<u32>,
    /// Its edit list.
    pub edits: Vec<EditEntry>,
    /// Its sample descriptions, if it is audio.
    pub entries: Vec<SampleEntry>,
    /// Its sample tables, if it is audio.
    pub tables: SampleTables,
    /// Defaults of its fragments.
    pub defaults: FragmentDefaults,
}

impl MovieTrack {
    /// Whether it is an audio track other than chapters.
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
    /// Numbers of the tracks that are used for chapters.
    chapters: HashSet<u32>,
}

/// The boxes of a track found so far.
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
    /// Reads the fields of a full box, possibly truncated.
    fn header(&mut self, header: &BoxHeader) -> Result<Vec<u8>> {
        header.read(self.input, MAX_HEADER_BYTES)
    }

    /// Reads a whole table.
    fn table(&mut self, header: &BoxHeader) -> Result<Vec<u8>> {
        let content = header.read(self.input, self.table_bytes_left.saturating_add(1))?;
        self.table_bytes_left = self
            .table_bytes_left
            .checked_sub(content.len() as u64)
            .ok_or(Error::LimitError("the sample tables are too large"))?;
        Ok(content)
    }

    /// Reads the time scale of an `mvhd` or `mdhd` box.
    fn time_scale(&mut self, header: &BoxHeader) -> Result<Option<u32>> {
        let content = self.header(header)?;
        let mut fields = Fields(&content);
        Ok(fields.version_and_flags().and_then(|(version, _)| {
            // After the creation and modification times.
            fields.skip(if version == 1 { 16 } else { 8 })?;
            fields.u32()
        }))
    }

    /// Collects the defaults of `trex` boxes.
    fn defaults(
        &mut self,
        mvex: &BoxHeader,
        found: &mut HashMap<u32, FragmentDefaults>,
    ) -> Result<()> {
        let mut boxes = mvex.children();
        while let Some(header) = boxes.next(self.input)? {
            if header.kind == *b"trex" && found.len() < MAX_TRACKS {
                let content = self.header(&header)?;
                found.extend(fragment::read_defaults(&content));
            }
        }
        Ok(())
    }

    /// Reads a track; `None` if it has no number or no time scale.
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
            // After the creation and modification times.
            let times = fields.skip(if version == 1 { 16 } else { 8 });
            parts.id = times.and_then(|()| fields.u32());
        }
        Ok(())
    }

    /// Collects the tracks that this one refers to for chapters.
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
        // Nearly all writers put the handler before it.
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
