//! Reads MPEG audio, layers I to III, as a stream of frames (ISO/IEC 11172-3 and 13818-3, MPEG 2.5).
//!
//! Unlike symphonia's reader, it ignores frame counts in headers, supports format changes, and finds the
//! frames of concatenated files between their tags. It trims the encoder delay stated by LAME's tag, and
//! the padding if the number of frames is the stated one.

use std::collections::VecDeque;
use std::io;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::{Result, reset_error};
use symphonia::core::formats::well_known::FORMAT_ID_MP3;
use symphonia::core::formats::{FormatInfo, Track};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::frames::{self, FrameHeader, Frames, OpenedFrames};
use super::lookahead::Lookahead;
use super::tags;
use super::{ContainerClock, Demuxer};
use crate::AudioError;
use encoder_tag::EncoderTag;
use header::MpegAudioFormat;
pub use header::MpegAudioHeader;

mod header;
mod encoder_tag;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_MP3,
    short_name: "mp3",
    long_name: "MPEG audio",
};

/// How far into a WAV file its samples may start.
const WAV_HEADER_BYTES: usize = 8_192;

/// Opens a file whose first frame is at its beginning, after tags, after a little junk or in a WAV file.
///
/// # Errors
/// [`AudioError::Read`], and [`AudioError::NeedsFfmpeg`] for a free bit rate, which has no decoder here.
pub fn open(file: Box<dyn MediaSource>) -> std::result::Result<OpenResult, AudioError> {
    let mut bytes = Lookahead::new(file).map_err(AudioError::Read)?;
    skip_wav_header(&mut bytes).map_err(AudioError::Read)?;
    match frames::open(bytes).map_err(AudioError::Read)? {
        Ok(opened) => Ok(OpenResult::Opened(Demuxer {
            reader: Box::new(ForwardReader::new(MpegAudioReader::new(opened))),
            clock: ContainerClock::None,
        })),
        Err(mut bytes) => {
            bytes.seek(0).map_err(AudioError::Read)?;
            let head = tags::peek_after_tags(&mut bytes).map_err(AudioError::Read)?;
            if has_free_bit_rate(head) {
                let format_name = "MPEG audio with a free bit rate".to_owned();
                return Err(AudioError::NeedsFfmpeg { format_name });
            }
            Ok(OpenResult::Unrecognized(bytes.into_file()))
        }
    }
}

struct MpegAudioReader {
    frames: Frames<MpegAudioHeader>,
    format: MpegAudioFormat,
    tracks: Vec<Track>,
    /// The next frame, if it was read already.
    pending: Option<(MpegAudioHeader, Vec<u8>)>,
    /// Packets that may have to be trimmed at the end of the recording.
    delayed: VecDeque<Packet>,
    recording: JoinedRecording,
    next_sample: u64,
}

/// One of the recordings in a concatenated file.
#[derive(Default)]
struct JoinedRecording {
    tag: EncoderTag,
    /// Samples still to be trimmed from the start.
    delay_left: u64,
    frames: u64,
}

impl MpegAudioReader {
    fn new((frames, first): OpenedFrames<MpegAudioHeader>) -> Self {
        let format = first.0.format();
        let tag = EncoderTag::read(first.0, &first.1).unwrap_or_default();
        Self {
            frames,
            format,
            tracks: vec![track(format, tag)],
            pending: Some(first),
            delayed: VecDeque::new(),
            recording: JoinedRecording::default(),
            next_sample: 0,
        }
    }

    /// Appends a packet of this frame to the delayed ones.
    fn push_delayed(&mut self, data: Vec<u8>) {
        let samples = self.format.samples();
        let trim = self.recording.delay_left.min(samples);
        self.recording.delay_left -= trim;
        self.recording.frames += 1;
        let pts = Timestamp::new(self.next_sample.cast_signed());
        self.next_sample += samples;
        let mut packet = Packet::new(0, pts, Duration::new(samples - trim), data);
        packet.trim_start = Duration::new(trim);
        self.delayed.push_back(packet);
    }

    /// Trims the padding from the last packets, if all frames of the recording were read.
    fn end_recording(&mut self) {
        let recording = std::mem::take(&mut self.recording);
        if recording.tag.frames != Some(recording.frames) {
            return;
        }
        let mut padding = Duration::new(recording.tag.padding);
        for packet in self.delayed.iter_mut().rev() {
            packet.trim_end = padding.min(packet.dur);
            packet.dur = packet.dur.saturating_sub(packet.trim_end);
            padding = padding.saturating_sub(packet.trim_end);
        }
    }

    /// Number of packets to delay: those that padding may extend over, plus one.
    fn max_delayed(&self) -> usize {
        (self.recording.tag.padding / self.format.samples()) as usize + 1
    }
}

impl PacketSource for MpegAudioReader {
    fn info(&self) -> &FormatInfo {
        &INFO
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if self.delayed.len() > self.max_delayed() {
                return Ok(self.delayed.pop_front());
            }
            let next = match self.pending.take() {
                Some(next) => Some(next),
                None => self.frames.next()?,
            };
            let Some((header, frame)) = next else {
                self.end_recording();
                return Ok(self.delayed.pop_front());
            };
            let format = header.format();
            let tag = EncoderTag::read(header, &frame);
            if tag.is_some() || format != self.format {
                self.end_recording();
                if let Some(packet) = self.delayed.pop_front() {
                    self.pending = Some((header, frame));
                    return Ok(Some(packet));
                }
            }
            if format != self.format {
                self.pending = Some((header, frame));
                self.format = format;
                self.tracks = vec![track(format, tag.unwrap_or_default())];
                self.next_sample = 0;
                return reset_error();
            }
            let Some(tag) = tag else {
                self.push_delayed(frame);
                continue;
            };
            self.recording = JoinedRecording {
                tag,
                delay_left: tag.delay,
                frames: 0,
            };
            self.tracks = vec![track(format, tag)];
            // Another recording has its own padding and is independent of the previous audio.
            if self.next_sample > 0 {
                return reset_error();
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.frames.into_bytes().into_file()
    }
}

fn track(format: MpegAudioFormat, tag: EncoderTag) -> Track {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(format.codec())
        .with_sample_rate(format.rate_hz);
    let mut track = Track::new(0);
    track.with_codec_params(CodecParameters::Audio(params));
    track.padding = u32::try_from(tag.padding).ok();
    track
}

/// Moves to the samples of a WAV file of MPEG audio (RFC 2361, A.14 and A.16).
fn skip_wav_header(bytes: &mut Lookahead) -> io::Result<()> {
    let head = bytes.peek(WAV_HEADER_BYTES)?;
    if !head.starts_with(b"RIFF") || head.get(8..12) != Some(b"WAVE") {
        return Ok(());
    }
    let chunk = |name: &[u8]| riff_chunks(head).find(|(found, _)| *found == name);
    let codec = chunk(b"fmt ").and_then(|(_, format)| head.get(format..)?.first_chunk());
    let is_mpeg_audio = matches!(codec.copied().map(u16::from_le_bytes), Some(0x50 | 0x55));
    match chunk(b"data") {
        Some((_, content)) if is_mpeg_audio => bytes.skip(content as u64),
        _ => Ok(()),
    }
}

/// The chunks of a RIFF file: name and position of the content.
fn riff_chunks(head: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 12;
    std::iter::from_fn(move || {
        let name = head.get(at..at + 4)?;
        let length = u32::from_le_bytes(*head.get(at + 4..)?.first_chunk()?);
        let content = at + 8;
        // Chunks are padded to an even length.
        at = content.checked_add((length as usize).checked_next_multiple_of(2)?)?;
        Some((name, content))
    })
}

/// Whether a file starts with frames of free bit rate: the same header recurs at a constant distance,
/// apart from the padding.
fn has_free_bit_rate(bytes: &[u8]) -> bool {
    const MAX_BYTES: usize = 4096;
    let Some(format) = header::free_format(bytes) else {
        return false;
    };
    let is_header = |at: usize| bytes.get(at..).and_then(header::free_format) == Some(format);
    (24..MAX_BYTES)
        .any(|length| is_header(length) && (length * 2 - 4..=length * 2 + 4).any(is_header))
}

#[cfg(test)]
mod tests;
