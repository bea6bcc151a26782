//! Reads Ogg (RFC 3533) with Opus (RFC 7845), Vorbis and FLAC (RFC 9639, 10.1).
//!
//! Unlike symphonia's reader, it needs no comment header, trims at most the first page of Vorbis and the
//! last page of a stream whatever their granule positions are, and accepts pages with a wrong check sum or
//! a missing end. After a gap in the page numbers, granule positions determine the length of the gap;
//! otherwise packets are contiguous.

use std::collections::VecDeque;
use std::io;

use symphonia::core::errors::{Result, reset_error};
use symphonia::core::formats::well_known::FORMAT_ID_OGG;
use symphonia::core::formats::{FormatInfo, Track};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::lookahead::Lookahead;
use super::{ContainerClock, Demuxer, tags};
use crate::AudioError;
use page::{Page, Pages};
use stream::LogicalStream;

mod page;
mod granules;
mod stream;
mod theora;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_OGG,
    short_name: "ogg",
    long_name: "Ogg",
};

/// How far into a file the first page may start.
const MAX_JUNK_BYTES: usize = 64 * 1024;

/// Maximum number of concurrent streams; real files have a few.
const MAX_STREAMS: usize = 64;

/// Maximum number of packets read before the headers of all streams are complete.
const MAX_EARLY_PACKETS: usize = 256;

/// Opens a file that starts with the first page of a stream, possibly after a little junk.
///
/// # Errors
/// [`AudioError::Read`].
pub fn open(file: Box<dyn MediaSource>) -> std::result::Result<OpenResult, AudioError> {
    let mut bytes = Lookahead::new(file).map_err(AudioError::Read)?;
    let Some(first) = find_first_page(&mut bytes).map_err(AudioError::Read)? else {
        return Ok(OpenResult::Unrecognized(bytes.into_file()));
    };
    let mut reader = OggReader {
        bytes,
        pages: Pages::default(),
        streams: Vec::new(),
        tracks: Vec::new(),
        packets: VecDeque::new(),
        pending: None,
    };
    reader.begin(&first).map_err(AudioError::Read)?;
    Ok(OpenResult::Opened(Demuxer {
        reader: Box::new(ForwardReader::new(reader)),
        clock: ContainerClock::Samples,
    }))
}

fn find_first_page(bytes: &mut Lookahead) -> io::Result<Option<Page>> {
    let head = bytes.peek(MAX_JUNK_BYTES)?;
    if !head.starts_with(b"OggS") {
        if tags::is_container(head) {
            return Ok(None);
        }
        let head = &head[..head.len().min(MAX_JUNK_BYTES)];
        let Some(junk) = head.windows(5).position(|bytes| bytes == b"OggS\0") else {
            return Ok(None);
        };
        bytes.skip(junk as u64)?;
    }
    let mut pages = Pages::default();
    let end = bytes.position() + MAX_JUNK_BYTES as u64;
    while let Some(page) = pages.next(bytes)? {
        if page.is_first {
            return Ok(Some(page));
        }
        if bytes.position() > end {
            break;
        }
    }
    Ok(None)
}

struct OggReader {
    bytes: Lookahead,
    pages: Pages,
    streams: Vec<LogicalStream>,
    tracks: Vec<Track>,
    packets: VecDeque<Packet>,
    /// A page that was read in advance.
    pending: Option<Page>,
}

impl OggReader {
    /// Reads the headers of the streams that start together with this page. They replace the previous
    /// streams, unless they contain no audio; false then.
    fn begin(&mut self, first: &Page) -> io::Result<bool> {
        let mut streams = Vec::new();
        let mut early = VecDeque::new();
        let begin = |page: &Page, early: &mut VecDeque<Packet>| {
            let mut stream = LogicalStream::new(page);
            stream.add_page(page, early);
            stream
        };
        streams.push(begin(first, &mut early));
        let mut is_head = true;
        while early.len() < MAX_EARLY_PACKETS {
            let Some(page) = self.pages.next(&mut self.bytes)? else {
                break;
            };
            if page.is_first && is_head {
                if streams.len() < MAX_STREAMS {
                    streams.push(begin(&page, &mut early));
                }
                continue;
            }
            if is_head && !streams.iter().any(LogicalStream::is_audio) && !self.streams.is_empty() {
                self.pending = Some(page);
                return Ok(false);
            }
            is_head = false;
            // The next streams start before these are complete.
            if page.is_first {
                self.pending = Some(page);
                break;
            }
            if let Some(stream) = find(&mut streams, page.serial) {
                stream.add_page(&page, &mut early);
            }
            if streams.iter().all(|stream| stream.track().is_some()) {
                break;
            }
        }
        self.tracks = streams
            .iter()
            .filter_map(|stream| stream.track().cloned())
            .collect();
        self.streams = streams;
        self.packets.extend(early);
        Ok(true)
    }
}

fn find(streams: &mut [LogicalStream], serial: u32) -> Option<&mut LogicalStream> {
    streams.iter_mut().find(|stream| stream.serial() == serial)
}

impl PacketSource for OggReader {
    fn info(&self) -> &FormatInfo {
        &INFO
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Ok(Some(packet));
            }
            let page = match self.pending.take() {
                Some(page) => Some(page),
                None => self.pages.next(&mut self.bytes)?,
            };
            let Some(page) = page else {
                return Ok(None);
            };
            if page.is_first {
                if self.begin(&page)? {
                    return reset_error();
                }
            } else if let Some(stream) = find(&mut self.streams, page.serial) {
                stream.add_page(&page, &mut self.packets);
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.bytes.into_file()
    }
}

#[cfg(test)]
mod tests;
