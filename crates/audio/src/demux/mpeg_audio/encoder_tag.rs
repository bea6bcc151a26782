//! The frame with a tag about the stream instead of audio: Xing, Info or VBRI.
//!
//! There is no specification: the first two are written by LAME's `VbrTag.c`, the third by Fraunhofer's
//! encoder.

use super::header::MpegAudioHeader;
use crate::demux::frames::FrameHeader;

/// Decoder delay in samples, in addition to the encoder's (LAME's `DECDELAY`).
const DECODER_DELAY: u64 = 528 + 1;

/// Delay, padding and length of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderTag {
    /// Encoder and decoder delay: samples before the recording.
    pub delay: u64,
    /// Samples after the recording, up to the end of the last frame.
    pub padding: u64,
    /// Number of frames after this one.
    pub frames: Option<u64>,
}

impl EncoderTag {
    /// Reads the tag of a frame; `None` if the frame contains audio.
    pub fn read(header: MpegAudioHeader, frame: &[u8]) -> Option<Self> {
        let side_info = header.format().side_info_bytes()?;
        // The side information of a frame without audio is zero. A check sum does not move the tag.
        let is_at = |at: usize, name: &[u8]| {
            let is_silent = frame
                .get(header.header_bytes()..at)
                .is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
            is_silent && frame[at..].starts_with(name)
        };
        if is_at(4 + 32, b"VBRI") {
            return Some(Self::default());
        }
        let at = 4 + side_info;
        if !is_at(at, b"Xing") && !is_at(at, b"Info") {
            return None;
        }
        Some(Self::read_xing(&frame[at + 4..]).unwrap_or_default())
    }

    fn read_xing(mut tag: &[u8]) -> Option<Self> {
        let flags = u32::from_be_bytes(*tag.split_off(..4)?.first_chunk()?);
        let mut info = Self::default();
        if flags & 1 != 0 {
            let frames = u32::from_be_bytes(*tag.split_off(..4)?.first_chunk()?);
            info.frames = Some(frames.into());
        }
        // The length in bytes, the seek table, the quality.
        for (flag, bytes) in [(2, 4), (4, 100), (8, 4)] {
            if flags & flag != 0 {
                tag = tag.get(bytes..)?;
            }
        }
        // LAME's extension, also written by libavformat: name, levels and rates.
        let is_named = [b"LAME", b"Lavf", b"Lavc"]
            .iter()
            .any(|name| tag.starts_with(*name));
        if let (true, Some([a, b, c])) = (is_named, tag.get(21..24)) {
            let delay = u64::from(*a) << 4 | u64::from(b >> 4);
            let padding = u64::from(b & 0xf) << 8 | u64::from(*c);
            if delay > 0 || padding > 0 {
                info.delay = delay + DECODER_DELAY;
                info.padding = padding.saturating_sub(DECODER_DELAY);
            }
        }
        Some(info)
    }
}
