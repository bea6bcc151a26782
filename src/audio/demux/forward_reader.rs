//! A symphonia reader that only goes forward: what a decoder of whole files needs of `FormatReader`.

use symphonia::core::errors::{Result, SeekErrorKind, seek_error};
use symphonia::core::formats::{
    FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::Packet;

use super::Demuxer;

/// What a reader made of a file.
pub enum OpenResult {
    /// The file is of its format.
    Opened(Demuxer),
    /// It is not; the file stands at its beginning.
    Unrecognized(Box<dyn MediaSource>),
}

/// The part of a reader that differs between formats.
pub trait PacketSource: Send + Sync {
    /// The format, for messages.
    fn info(&self) -> &FormatInfo;

    /// The audio tracks as they are now.
    fn tracks(&self) -> &[Track];

    /// The next packet; None at the end.
    ///
    /// # Errors
    /// `ResetRequired` where [`tracks`](Self::tracks) has changed, and any other error of symphonia.
    fn next_packet(&mut self) -> Result<Option<Packet>>;

    /// Gives the file back.
    fn into_source(self) -> Box<dyn MediaSource>;
}

/// A [`PacketSource`] as a symphonia reader: without seeking, tags and chapters.
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
