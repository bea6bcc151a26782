//! Reads MPEG audio, layers I to III, as a stream of frames (ISO/IEC 11172-3 and 13818-3, MPEG 2.5).
//!
//! Unlike symphonia's reader it reads all frames whatever a header counts, follows changes of the format,
//! and finds the frames of joined files between their tags. It trims the encoder's delay that LAME's tag
//! states, and the padding where there are as many frames as the tag states.

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

use super::forward_reader::{OpenResult, ForwardReader, PacketSource};
use super::frames::{self, FrameHeader, Frames, OpenedFrames};
use super::lookahead::Lookahead;
use super::tags;
use super::{ContainerClock, Demuxer};
use crate::audio::AudioError;
use header::MpegAudioFormat;
pub use header::MpegAudioHeader;
use encoder_tag::EncoderTag;

mod header;
mod encoder_tag;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_MP3,
    short_name: "mp3",
    long_name: "MPEG audio",
};

/// How far into a WAV file its samples may begin.
const WAV_HEADER_BYTES: usize = 8_192;

/// Opens a file whose first frame is found at its beginning, behind tags or behind a little junk, or in
/// a WAV file.
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
    /// The frame behind those that were given out.
    pending: Option<(MpegAudioHeader, Vec<u8>)>,
    /// Packets that the end of the recording may trim.
    delayed: VecDeque<Packet>,
    recording: JoinedRecording,
    next_sample: u64,
}

/// One of the recordings that may have been joined.
#[derive(Default)]
struct JoinedRecording {
    info: EncoderTag,
    /// Samples that are still to be trimmed from the front.
    delay_left: u64,
    frames: u64,
}

impl MpegAudioReader {
    fn new((frames, first): OpenedFrames<MpegAudioHeader>) -> Self {
        let format = first.0.format();
        let info = EncoderTag::read(first.0, &first.1).unwrap_or_default();
        Self {
            frames,
            format,
            tracks: vec![track(format, info)],
            pending: Some(first),
            delayed: VecDeque::new(),
            recording: JoinedRecording::default(),
            next_sample: 0,
        }
    }

    /// Makes a packet of a frame, and holds it back.
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

    /// Trims the padding from the last packets, if all frames of the recording were there.
    fn end_recording(&mut self) {
        let recording = std::mem::take(&mut self.recording);
        if recording.info.frames != Some(recording.frames) {
            return;
        }
        let mut padding = Duration::new(recording.info.padding);
        for packet in self.delayed.iter_mut().rev() {
            packet.trim_end = padding.min(packet.dur);
            packet.dur = packet.dur.saturating_sub(packet.trim_end);
            padding = padding.saturating_sub(packet.trim_end);
        }
    }

    /// How many packets are held back: those that padding may reach, and one.
    fn max_delayed(&self) -> usize {
        (self.recording.info.padding / self.format.samples()) as usize + 1
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
            let info = EncoderTag::read(header, &frame);
            if info.is_some() || format != self.format {
                self.end_recording();
                if let Some(packet) = self.delayed.pop_front() {
                    self.pending = Some((header, frame));
                    return Ok(Some(packet));
                }
            }
            if format != self.format {
                self.pending = Some((header, frame));
                self.format = format;
                self.tracks = vec![track(format, info.unwrap_or_default())];
                self.next_sample = 0;
                return reset_error();
            }
            let Some(info) = info else {
                self.push_delayed(frame);
                continue;
            };
            self.recording = JoinedRecording {
                info,
                delay_left: info.delay,
                frames: 0,
            };
            self.tracks = vec![track(format, info)];
            // Another recording has a padding of its own, and nothing to do with the sound before.
            if self.next_sample > 0 {
                return reset_error();
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.frames.into_bytes().into_file()
    }
}

fn track(format: MpegAudioFormat, info: EncoderTag) -> Track {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(format.codec())
        .with_sample_rate(format.rate_hz);
    let mut track = Track::new(0);
    track.with_codec_params(CodecParameters::Audio(params));
    track.padding = u32::try_from(info.padding).ok();
    track
}

/// Steps into a WAV file whose samples are MPEG audio (RFC 2361, A.14 and A.16).
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

/// The names of the chunks of a RIFF file, and where their content begins.
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

/// Whether a file begins with frames that do not state their length: the same header comes again at one
/// distance, give or take the padding.
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
