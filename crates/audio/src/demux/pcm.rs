//! Reads the containers of uncompressed audio: WAV, RF64, BW64, Wave64, AIFF, AIFC, AU and CAF.
//!
//! Lengths in such files are often wrong: they were written before the recording, do not fit into 32
//! bits, or the file was truncated. So the samples end at a stated length only if something else
//! confirms it: the end of the file, or another chunk at that position.

use std::num::NonZero;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, well_known as codec};
use symphonia::core::errors::{Result as SymphoniaResult, reset_error};
use symphonia::core::formats::well_known::FORMAT_ID_WAVE;
use symphonia::core::formats::{FormatInfo, Track};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::{ContainerClock, Demuxer};
use crate::AudioError;

mod input;
mod container;
mod chunks;
mod wave;
mod aiff;
mod caf;
mod au;

use chunks::{Chunks, SampleRange};
use input::PcmInput;

/// Maximum frames and bytes of a packet, which contains at least one block.
const MAX_PACKET_FRAMES: u32 = 4_096;
const MAX_PACKET_BYTES: u32 = 65_536;

/// Maximum number of channels; more are a sign of a forged header. Real files have 64 at most.
const MAX_CHANNELS: u32 = 256;

/// Why a header has no valid [`DataFormat`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// The codec with this name is not supported.
    Codec(String),
    /// The header is inconsistent or too short; the reason.
    Malformed(&'static str),
}

/// Format of the samples in a data chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFormat {
    codec: AudioCodecId,
    rate_hz: NonZero<u32>,
    channels: u16,
    /// Size of the smallest unit that can be decoded alone: a frame of PCM or a block of ADPCM.
    block_bytes: NonZero<u32>,
    block_frames: NonZero<u32>,
}

impl DataFormat {
    /// PCM with a fixed number of bytes per sample.
    fn pcm(codec: AudioCodecId, rate_hz: u32, channels: u32) -> Result<Self, HeaderError> {
        let sample_bytes = match codec {
            codec::CODEC_ID_PCM_S8
            | codec::CODEC_ID_PCM_U8
            | codec::CODEC_ID_PCM_ALAW
            | codec::CODEC_ID_PCM_MULAW => 1,
            codec::CODEC_ID_PCM_S16LE | codec::CODEC_ID_PCM_S16BE => 2,
            codec::CODEC_ID_PCM_S24LE | codec::CODEC_ID_PCM_S24BE => 3,
            codec::CODEC_ID_PCM_F64LE | codec::CODEC_ID_PCM_F64BE => 8,
            _ => 4,
        };
        Self::blocks(
            codec,
            rate_hz,
            channels,
            (channels.saturating_mul(sample_bytes), 1),
        )
    }

    /// A codec with blocks of `(bytes, frames)`.
    fn blocks(
        codec: AudioCodecId,
        rate_hz: u32,
        channels: u32,
        (bytes, frames): (u32, u32),
    ) -> Result<Self, HeaderError> {
        if channels == 0 || channels > MAX_CHANNELS {
            return Err(HeaderError::Malformed(
                "its number of channels is not possible",
            ));
        }
        Ok(Self {
            codec,
            rate_hz: NonZero::new(rate_hz)
                .ok_or(HeaderError::Malformed("its sample rate is not possible"))?,
            channels: u16::try_from(channels)
                .map_err(|_| HeaderError::Malformed("its number of channels is not possible"))?,
            block_bytes: NonZero::new(bytes)
                .ok_or(HeaderError::Malformed("its blocks are empty"))?,
            block_frames: NonZero::new(frames)
                .ok_or(HeaderError::Malformed("its blocks are empty"))?,
        })
    }

    fn blocks_per_packet(&self) -> u32 {
        let by_frames = MAX_PACKET_FRAMES / self.block_frames;
        let by_bytes = MAX_PACKET_BYTES / self.block_bytes;
        by_frames.min(by_bytes).max(1)
    }

    fn track(&self) -> Track {
        let packet_frames =
            u64::from(self.blocks_per_packet()) * u64::from(self.block_frames.get());
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(self.codec)
            .with_sample_rate(self.rate_hz.get())
            // The loudspeaker positions of channels do not matter for speech, and the masks that state
            // them are often wrong.
            .with_channels(Channels::Discrete(self.channels))
            .with_max_frames_per_packet(packet_frames)
            .with_frames_per_block(u64::from(self.block_frames.get()));
        let mut track = Track::new(0);
        track
            .with_codec_params(CodecParameters::Audio(params))
            .with_time_base(TimeBase::from_recip(self.rate_hz));
        track
    }
}

/// Opens a file that is at its beginning; it need not be seekable.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] for an unsupported codec, [`AudioError::Undecodable`] for an invalid
/// header, [`AudioError::TooCostly`] for too many chunks, [`AudioError::Read`].
pub fn open(file: Box<dyn MediaSource>) -> Result<OpenResult, AudioError> {
    let mut input = PcmInput::new(file);
    let Some(mut chunks) = Chunks::find(&mut input).map_err(AudioError::Read)? else {
        return unrecognized(input);
    };
    let format_name = chunks.name();
    let undecodable = |reason: &str| {
        Err(AudioError::Undecodable {
            format_name: format_name.to_owned(),
            reason: reason.to_owned(),
        })
    };
    match chunks.next_samples(&mut input) {
        Ok(Some(samples)) => Ok(OpenResult::Opened(Demuxer {
            reader: Box::new(ForwardReader::new(PcmReader::new(input, chunks, samples))),
            clock: ContainerClock::None,
        })),
        Ok(None) => undecodable("its header ends before its samples begin"),
        Err(chunks::ChunkError::Compressed) => unrecognized(input),
        // ffmpeg would take seconds for such a file.
        Err(chunks::ChunkError::TooMany) => Err(AudioError::TooCostly {
            format_name: format_name.to_owned(),
            reason: "it has more chunks than any recording".to_owned(),
        }),
        Err(chunks::ChunkError::Read(error)) => Err(AudioError::Read(error)),
        Err(chunks::ChunkError::Header(HeaderError::Malformed(reason))) => undecodable(reason),
        Err(chunks::ChunkError::Header(HeaderError::Codec(codec))) => {
            Err(AudioError::NeedsFfmpeg {
                format_name: format!("{format_name} with {codec}"),
            })
        }
    }
}

fn unrecognized(mut input: PcmInput) -> Result<OpenResult, AudioError> {
    input.go_to(0).map_err(AudioError::Read)?;
    Ok(OpenResult::Unrecognized(input.into_source()))
}

/// Reads the samples of all data chunks, in packets of whole blocks.
struct PcmReader {
    info: FormatInfo,
    input: PcmInput,
    chunks: Chunks,
    samples: SampleRange,
    tracks: [Track; 1],
    frames_read: u64,
}

impl PcmReader {
    fn new(input: PcmInput, chunks: Chunks, samples: SampleRange) -> Self {
        Self {
            info: FormatInfo {
                format: FORMAT_ID_WAVE,
                short_name: chunks.name(),
                long_name: chunks.name(),
            },
            tracks: [samples.format.track()],
            frames_read: 0,
            input,
            chunks,
            samples,
        }
    }

    /// Reads the next packet's bytes of the current data chunk, or fewer at its end.
    fn read(&mut self) -> SymphoniaResult<Vec<u8>> {
        let format = &self.samples.format;
        let packet_bytes =
            u64::from(format.blocks_per_packet()) * u64::from(format.block_bytes.get());
        let left = self.samples.end.saturating_sub(self.input.position());
        // At most 64 KiB, or one larger block.
        let length = usize::try_from(packet_bytes.min(left)).unwrap_or(0);
        Ok(self.input.read_up_to(length)?)
    }

    /// Creates a packet of whole blocks. A truncated last block of ADPCM is padded with zeros, whose frames
    /// are trimmed. An incomplete frame of PCM is dropped.
    fn packet(&mut self, mut data: Vec<u8>) -> Option<Packet> {
        let format = &self.samples.format;
        let (block_bytes, block_frames) = (
            format.block_bytes.get() as usize,
            u64::from(format.block_frames.get()),
        );
        let cut = data.len() % block_bytes;
        let mut trimmed = 0;
        if cut > 0 && block_frames > 1 {
            let kept = cut as u64 * block_frames / block_bytes as u64;
            trimmed = block_frames - kept;
            data.resize(data.len() - cut + block_bytes, 0);
        } else {
            data.truncate(data.len() - cut);
        }
        let frames = (data.len() / block_bytes) as u64 * block_frames;
        if frames == 0 {
            return None;
        }
        let pts = Timestamp::new(i64::try_from(self.frames_read).unwrap_or(i64::MAX));
        let mut packet = Packet::new(0, pts, Duration::new(frames - trimmed), data);
        packet.trim_end = Duration::new(trimmed);
        self.frames_read = self.frames_read.saturating_add(frames - trimmed);
        Some(packet)
    }
}

impl PacketSource for PcmReader {
    fn next_packet(&mut self) -> SymphoniaResult<Option<Packet>> {
        loop {
            let data = self.read()?;
            if let Some(packet) = self.packet(data) {
                return Ok(Some(packet));
            }
            // Errors after the samples are ignored.
            let Ok(Some(next)) = self.chunks.next_samples(&mut self.input) else {
                return Ok(None);
            };
            let changed = next.format != self.samples.format;
            self.samples = next;
            if changed {
                self.frames_read = 0;
                self.tracks = [self.samples.format.track()];
                return reset_error();
            }
        }
    }

    fn info(&self) -> &FormatInfo {
        &self.info
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.input.into_source()
    }
}

#[cfg(test)]
mod tests;
