//! Reads Matroska and WebM (RFC 9559).
//!
//! Unlike symphonia's reader, it applies the default values of a track's flags, decompresses, continues
//! after damage, and reads all recordings of a concatenated file. Elements are read in file order
//! regardless of their parents, so the lengths of parents may be unknown or wrong. A packet without data
//! represents damage of its duration.

use std::collections::VecDeque;
use std::io;

use symphonia::core::errors::{Result, reset_error};
use symphonia::core::formats::well_known::FORMAT_ID_MKV;
use symphonia::core::formats::{FormatInfo, Track};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::lookahead::Lookahead;
use super::{ContainerClock, Demuxer, tags};
use crate::AudioError;
use blocks::Blocks;
use ebml::{Element, MAX_HEADER_BYTES, child, id, unsigned};
use tracks::Tracks;

mod ebml;
mod encoding;
mod codec;
mod tracks;
mod block;
mod blocks;
mod resync;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_MKV,
    short_name: "matroska",
    long_name: "Matroska / WebM",
};

/// Maximum size of headers and blocks that are read whole; larger ones are damaged.
const MAX_ELEMENT_BYTES: u64 = 64 << 20;

/// Maximum size of unknown elements to skip; larger ones are more likely damage.
const MAX_UNKNOWN_BYTES: u64 = 64 << 10;

/// Track, time stamp and flags of a block.
const MAX_BLOCK_HEADER_BYTES: u64 = 11;

/// How far into a file the first recording may start.
const MAX_JUNK_BYTES: usize = 64 * 1024;

/// Opens a file that starts with a recording, possibly after tags or a little junk.
///
/// # Errors
/// [`AudioError::Read`], [`AudioError::NeedsFfmpeg`] if all audio is encrypted or uses an unsupported
/// compression, and [`AudioError::Undecodable`] if there are no tracks.
pub fn open(file: Box<dyn MediaSource>) -> std::result::Result<OpenResult, AudioError> {
    let mut bytes = Lookahead::new(file).map_err(AudioError::Read)?;
    let head = tags::peek_after_tags(&mut bytes).map_err(AudioError::Read)?;
    let max_junk_bytes = match Element::parse(head) {
        Some(Element { id: id::EBML, .. }) => 0,
        _ if tags::is_container(head) => return Ok(OpenResult::Unrecognized(bytes.into_file())),
        _ => MAX_JUNK_BYTES,
    };
    let head = bytes
        .peek(max_junk_bytes + resync::MAX_EBML_BYTES)
        .map_err(AudioError::Read)?;
    let Some(start) =
        (0..=max_junk_bytes).find(|at| head.get(*at..).is_some_and(resync::is_recording))
    else {
        return Ok(OpenResult::Unrecognized(bytes.into_file()));
    };
    bytes.skip(start as u64).map_err(AudioError::Read)?;
    let mut reader = MatroskaReader::new(bytes);
    reader.find_tracks().map_err(AudioError::Read)?;
    let Some(tracks) = &reader.tracks else {
        return Err(AudioError::Undecodable {
            format_name: "Matroska".to_owned(),
            reason: "it has no tracks".to_owned(),
        });
    };
    if let Some(unsupported_reason) = tracks.unsupported_reason() {
        let format_name = format!("Matroska with {unsupported_reason}");
        return Err(AudioError::NeedsFfmpeg { format_name });
    }
    reader.set_tracks();
    Ok(OpenResult::Opened(Demuxer {
        reader: Box::new(ForwardReader::new(reader)),
        clock: ContainerClock::FromFirstPacket,
    }))
}

struct MatroskaReader {
    bytes: Lookahead,
    /// The tracks of the current recording, once known.
    tracks: Option<Tracks>,
    /// The source of [`Tracks`], for comparison with that of the next recording.
    tracks_content: Vec<u8>,
    symphonia_tracks: Vec<Track>,
    blocks: Blocks,
    packets: VecDeque<Packet>,
    /// Position of the recording's first cluster.
    first_cluster: Option<u64>,
    /// Set after the header of another recording, until its first block.
    new_recording: Option<NewRecording>,
    /// Whether the tracks changed since the last packet.
    is_reset_due: bool,
    resync: resync::Resync,
}

/// The tracks of another recording in the same file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewRecording {
    /// No tracks yet, or the same as before. The clock may continue, too.
    SameTracks,
    OtherTracks,
}

impl MatroskaReader {
    fn new(bytes: Lookahead) -> Self {
        Self {
            resync: resync::Resync::new(bytes.file_bytes().unwrap_or(u64::MAX)),
            bytes,
            tracks: None,
            tracks_content: Vec::new(),
            symphonia_tracks: Vec::new(),
            blocks: Blocks::default(),
            packets: VecDeque::new(),
            first_cluster: None,
            new_recording: None,
            is_reset_due: false,
        }
    }

    /// Reads until the tracks are known. In some files they follow the clusters.
    fn find_tracks(&mut self) -> io::Result<()> {
        while self.tracks.is_none() && self.step()? {}
        self.new_recording = None;
        if let Some(cluster) = self.first_cluster {
            self.bytes.seek(cluster)?;
            self.packets.clear();
        }
        Ok(())
    }

    fn set_tracks(&mut self) {
        let entries = self.tracks.iter().flat_map(|tracks| &tracks.entries);
        self.symphonia_tracks = entries.map(|entry| entry.track.clone()).collect();
        self.blocks.restart();
    }

    /// Processes the next element; false at the end.
    fn step(&mut self) -> io::Result<bool> {
        let position = self.bytes.position();
        let left = self
            .bytes
            .file_bytes()
            .map_or(u64::MAX, |bytes| bytes.saturating_sub(position));
        let head = self.bytes.peek(MAX_HEADER_BYTES)?;
        if head.is_empty() {
            return Ok(false);
        }
        let Some(element) = Element::parse(head) else {
            return self.resync();
        };
        let header_bytes = element.header_bytes as u64;
        match element.id {
            id::SEGMENT => {
                self.bytes.skip(header_bytes)?;
                return Ok(true);
            }
            id::CLUSTER => {
                self.first_cluster.get_or_insert(position);
                self.blocks.begin_cluster();
                self.bytes.skip(header_bytes)?;
                return Ok(true);
            }
            _ => {}
        }
        let content_bytes = match element.content_bytes {
            Some(bytes) if bytes <= left.saturating_sub(header_bytes) => bytes,
            // A truncated file ends within an element.
            _ => return self.resync(),
        };
        let whole = header_bytes + content_bytes;
        if !is_read_whole(element.id) {
            let is_known = is_skipped(element.id);
            if !is_known && !self.is_followed_by_an_element(whole)? {
                return self.resync();
            }
            self.bytes.skip(whole)?;
            return Ok(true);
        }
        if content_bytes > MAX_ELEMENT_BYTES {
            return self.resync();
        }
        if matches!(element.id, id::SIMPLE_BLOCK | id::BLOCK_GROUP) {
            self.resync.note_block(position);
        }
        self.bytes.skip(header_bytes)?;
        let bytes_to_read = match element.id {
            id::SIMPLE_BLOCK if !self.is_audio_block()? => {
                content_bytes.min(MAX_BLOCK_HEADER_BYTES)
            }
            _ => content_bytes,
        };
        if let Some(content) = self.bytes.take(bytes_to_read as usize)? {
            self.process_element(element.id, &content);
        }
        self.bytes.skip(content_bytes - bytes_to_read)?;
        Ok(true)
    }

    /// Whether the block at the current position belongs to an audio track.
    fn is_audio_block(&mut self) -> io::Result<bool> {
        let track = ebml::variable_size(self.bytes.peek(MAX_HEADER_BYTES)?);
        let is_audio = |entry: &&tracks::TrackEntry| {
            entry.audio.is_some()
                && track.is_some_and(|(track, _)| u64::from(entry.track.id) == track)
        };
        Ok(self.entries().iter().find(is_audio).is_some())
    }

    fn entries(&self) -> &[tracks::TrackEntry] {
        self.tracks.as_ref().map_or(&[], |tracks| &tracks.entries)
    }

    /// Skips damage; false at the end.
    fn resync(&mut self) -> io::Result<bool> {
        let expected = self.blocks.expected(self.entries());
        self.blocks.note_damage();
        self.resync.find(&mut self.bytes, &expected)
    }

    fn process_element(&mut self, id: u32, content: &[u8]) {
        match id {
            id::EBML => {
                // An accidental match is not the start of a recording.
                if resync::has_known_doc_type(content) && self.tracks.is_some() {
                    self.new_recording = Some(NewRecording::SameTracks);
                    self.blocks.timestamp_scale_ns = blocks::DEFAULT_TIMESTAMP_SCALE_NS;
                }
                self.first_cluster = None;
            }
            id::INFO => {
                if let Some(scale) = child(content, id::TIMESTAMP_SCALE) {
                    self.blocks.timestamp_scale_ns = unsigned(scale);
                }
            }
            id::TRACKS => self.read_tracks(content),
            id::TIMESTAMP => self.blocks.cluster_timestamp = unsigned(content),
            _ => {
                self.begin_recording();
                let entries = self
                    .tracks
                    .as_ref()
                    .map_or(&[][..], |tracks| &tracks.entries);
                if id == id::SIMPLE_BLOCK {
                    self.blocks
                        .add_simple_block(entries, content, &mut self.packets);
                } else {
                    self.blocks
                        .add_block_group(entries, content, &mut self.packets);
                }
            }
        }
    }

    fn read_tracks(&mut self, content: &[u8]) {
        let is_first = self.tracks.is_none();
        if !is_first && self.tracks_content == content {
            return;
        }
        let tracks = Tracks::parse(content);
        // A damaged copy is ignored.
        if !is_first && tracks.entries.is_empty() {
            return;
        }
        if !is_first {
            self.new_recording = Some(NewRecording::OtherTracks);
        }
        self.tracks_content = content.to_vec();
        self.tracks = Some(tracks);
    }

    fn is_followed_by_an_element(&mut self, bytes: u64) -> io::Result<bool> {
        let Some(ahead) = usize::try_from(bytes)
            .ok()
            .filter(|_| bytes <= MAX_UNKNOWN_BYTES)
        else {
            return Ok(false);
        };
        let next = self.bytes.peek(ahead + MAX_HEADER_BYTES)?;
        let next = next.get(ahead..).unwrap_or_default();
        Ok(next.is_empty() || Element::parse(next).is_some_and(|next| is_known(next.id)))
    }

    /// At the first block after a header, decides whether a separate recording has begun.
    fn begin_recording(&mut self) {
        let Some(new_recording) = self.new_recording.take() else {
            return;
        };
        // A live stream repeats its header with a continuing clock.
        if new_recording == NewRecording::OtherTracks || self.blocks.has_jumped_back() {
            self.set_tracks();
            self.is_reset_due = true;
        }
    }
}

impl PacketSource for MatroskaReader {
    fn info(&self) -> &FormatInfo {
        &INFO
    }

    fn tracks(&self) -> &[Track] {
        &self.symphonia_tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if std::mem::take(&mut self.is_reset_due) {
                return reset_error();
            }
            if let Some(packet) = self.packets.pop_front() {
                return Ok(Some(packet));
            }
            if !self.step()? {
                return Ok(None);
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.bytes.into_file()
    }
}

/// Whether elements with this identifier are read whole.
fn is_read_whole(id: u32) -> bool {
    matches!(
        id,
        id::EBML | id::INFO | id::TRACKS | id::TIMESTAMP | id::SIMPLE_BLOCK | id::BLOCK_GROUP
    )
}

/// Whether elements with this identifier are skipped.
fn is_skipped(id: u32) -> bool {
    matches!(
        id,
        id::VOID
            | id::CRC_32
            | id::SEEK_HEAD
            | id::CUES
            | id::TAGS
            | id::CHAPTERS
            | id::ATTACHMENTS
            | id::SILENT_TRACKS
            | id::POSITION
            | id::PREV_SIZE
            | id::ENCRYPTED_BLOCK
    )
}

fn is_known(id: u32) -> bool {
    is_read_whole(id) || is_skipped(id) || matches!(id, id::SEGMENT | id::CLUSTER)
}

#[cfg(test)]
pub mod tests;
