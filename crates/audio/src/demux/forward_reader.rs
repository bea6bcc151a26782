//! A sequential symphonia reader: the part of `FormatReader` that decoding whole files needs.

use symphonia::core::errors::{Result, SeekErrorKind, seek_error};
use symphonia::core::formats::{
    FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::Packet;

use super::Demuxer;

/// Result of opening a file with one of the readers.
pub enum OpenResult {
    /// The file has the reader's format.
    Opened(Demuxer),
    /// It has another format. The file is at its beginning.
    Unrecognized(Box<dyn MediaSource>),
}

/// The format-specific part of a reader.
pub trait PacketSource: Send + Sync {
    /// The format, for messages.
    fn info(&self) -> &FormatInfo;

    /// The current audio tracks.
    fn tracks(&self) -> &[Track];

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// `ResetRequired` if [`tracks`](Self::tracks) changed, or any other symphonia error.
    fn next_packet(&mut self) -> Result<Option<Packet>>;

    /// Returns the file.
    fn into_source(self) -> Box<dyn MediaSource>;
}

/// Adapts a [`PacketSource`] to symphonia's `FormatReader`, without seeking, tags or chapters.
pub struct ForwardReader<S> {
    source: S,
    media_info: MediaInfo,
    metadata: MetadataLog,
}

impl<S> ForwardReader<S> {
    /// Wraps a source of packets.
    pub fn new(source: S) -> Self {
        Self {
            source,
            media_info: MediaInfo::new(),
            metadata: MetadataLog::default(),
        }
    }
}

impl<S: PacketSource> FormatReader for ForwardReader<S> {
    fn format_info(&self) -> &FormatInfo {
        self.source.info()
    }

    fn media_info(&self) -> &MediaInfo {
        &self.media_info
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.metadata.metadata()
    }

    fn seek(&mut self, _mode: SeekMode, _to: SeekTo) -> Result<SeekedTo> {
        seek_error(SeekErrorKind::Unseekable)
    }

    fn tracks(&self) -> &[Track] {
        self.source.tracks()
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        self.source.next_packet()
    }

    fn into_inner<'s>(self: Box<Self>) -> MediaSourceStream<'s>
    where
        Self: 's,
    {
        MediaSourceStream::new(
            self.source.into_source(),
            MediaSourceStreamOptions::default(),
        )
    }
}
