//! Reads AAC in an Audio Data Transport Stream (ISO/IEC 14496-3, 1.A.3.2).
//!
//! Unlike symphonia's reader, it finds frames after junk and tags without mistaking a sync word within a
//! frame for a header, supports format changes, and splits frames of several blocks. A packet without data
//! represents a damaged frame.

use std::collections::VecDeque;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::errors::{Result, reset_error};
use symphonia::core::formats::well_known::FORMAT_ID_ADTS;
use symphonia::core::formats::{FormatInfo, Track};
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::forward_reader::{ForwardReader, OpenResult, PacketSource};
use super::frames::{self, FrameHeader, Frames};
use super::lookahead::Lookahead;
use super::{ContainerClock, Demuxer};
use crate::AudioError;

const INFO: FormatInfo = FormatInfo {
    format: FORMAT_ID_ADTS,
    short_name: "aac",
    long_name: "Audio Data Transport Stream",
};

/// Samples of each channel in a raw data block (ISO/IEC 14496-3, 4.5.2.1.1).
const BLOCK_SAMPLES: u64 = 1024;

/// Sample rates by index (ISO/IEC 14496-3, table 1.18).
const SAMPLE_RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

const HEADER_BYTES: usize = 7;
const CRC_BYTES: usize = 2;

/// Opens a file whose first frame is at its beginning, after tags or after a little junk.
///
/// # Errors
/// [`AudioError::Read`], and [`AudioError::NeedsFfmpeg`] for frames that cannot be split.
pub fn open(file: Box<dyn MediaSource>) -> std::result::Result<OpenResult, AudioError> {
    let bytes = Lookahead::new(file).map_err(AudioError::Read)?;
    let (frames, (header, frame)) =
        match frames::open::<AdtsHeader>(bytes).map_err(AudioError::Read)? {
            Ok(opened) => opened,
            Err(bytes) => return Ok(OpenResult::Unrecognized(bytes.into_file())),
        };
    let Some(blocks) = split(header, &frame) else {
        return Err(AudioError::NeedsFfmpeg {
            format_name: "ADTS with several blocks in a frame".to_owned(),
        });
    };
    let reader = AdtsReader {
        frames,
        format: header.format,
        tracks: vec![header.format.track()],
        blocks,
        next_sample: 0,
    };
    Ok(OpenResult::Opened(Demuxer {
        reader: Box::new(ForwardReader::new(reader)),
        clock: ContainerClock::None,
    }))
}

struct AdtsReader {
    frames: Frames<AdtsHeader>,
    format: AdtsFormat,
    tracks: Vec<Track>,
    /// The remaining raw data blocks of the current frame.
    blocks: VecDeque<Box<[u8]>>,
    next_sample: u64,
}

impl PacketSource for AdtsReader {
    fn info(&self) -> &FormatInfo {
        &INFO
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                let pts = Timestamp::new(self.next_sample.cast_signed());
                self.next_sample += BLOCK_SAMPLES;
                let duration = Duration::new(BLOCK_SAMPLES);
                return Ok(Some(Packet::new(0, pts, duration, block)));
            }
            let Some((header, frame)) = self.frames.next()? else {
                return Ok(None);
            };
            // An empty packet represents a damaged frame: most likely the header is damaged, too.
            self.blocks = split(header, &frame).unwrap_or_else(|| [Box::default()].into());
            if header.format != self.format {
                self.format = header.format;
                self.tracks = vec![header.format.track()];
                self.next_sample = 0;
                return reset_error();
            }
        }
    }

    fn into_source(self) -> Box<dyn MediaSource> {
        self.frames.into_bytes().into_file()
    }
}

/// The fixed part of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct AdtsFormat {
    /// The audio object type less one.
    profile: u8,
    rate_index: u8,
    /// 0 if the blocks state the layout.
    channels: u8,
}

impl AdtsFormat {
    fn track(self) -> Track {
        let rate_hz = SAMPLE_RATES_HZ[usize::from(self.rate_index)];
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_AAC)
            .with_sample_rate(rate_hz)
            .with_extra_data(Box::new(self.specific_config()));
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(params));
        track
    }

    /// The `AudioSpecificConfig` of an MP4 file (ISO/IEC 14496-3, 1.6.2.1), from which the decoder
    /// reads the object type.
    fn specific_config(self) -> [u8; 2] {
        let object_type = self.profile + 1;
        [
            object_type << 3 | self.rate_index >> 1,
            (self.rate_index & 1) << 7 | self.channels << 3,
        ]
    }
}

#[derive(Clone, Copy)]
struct AdtsHeader {
    format: AdtsFormat,
    frame_bytes: usize,
    has_crc: bool,
    blocks: usize,
}

impl FrameHeader for AdtsHeader {
    type Format = AdtsFormat;

    const MAX_FRAME_BYTES: usize = (1 << 13) - 1;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g] = bytes.first_chunk::<HEADER_BYTES>()?;
        // The sync word, and the layer, which is always 0.
        if a != 0xff || b & 0xf6 != 0xf0 {
            return None;
        }
        let format = AdtsFormat {
            profile: c >> 6,
            rate_index: c >> 2 & 0xf,
            channels: (c & 1) << 2 | d >> 6,
        };
        let frame_bytes = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f >> 5);
        let header = Self {
            format,
            frame_bytes,
            has_crc: b & 1 == 0,
            blocks: usize::from(g & 3) + 1,
        };
        let is_valid = usize::from(format.rate_index) < SAMPLE_RATES_HZ.len()
            && frame_bytes >= header.header_bytes();
        is_valid.then_some(header)
    }

    fn format(&self) -> AdtsFormat {
        self.format
    }

    fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }
}

impl AdtsHeader {
    /// Length of the header, including the positions of the blocks after the first and the check sum.
    fn header_bytes(self) -> usize {
        HEADER_BYTES + if self.has_crc { self.blocks * 2 } else { 0 }
    }
}

/// The raw data blocks of a frame; `None` if only decoding could find their ends.
fn split(header: AdtsHeader, frame: &[u8]) -> Option<VecDeque<Box<[u8]>>> {
    let content = frame.get(header.header_bytes()..)?;
    if header.blocks == 1 {
        return Some([content.into()].into());
    }
    if !header.has_crc {
        return None;
    }
    // Positions are relative to the first block; each block is followed by its check sum.
    let positions = frame.get(HEADER_BYTES..)?.chunks_exact(2);
    let positions = positions
        .take(header.blocks - 1)
        .map(|position| usize::from(u16::from_be_bytes([position[0], position[1]])));
    let ends: Vec<usize> = positions.chain([content.len()]).collect();
    let mut start = 0;
    let mut blocks = VecDeque::new();
    for end in ends {
        blocks.push_back(content.get(start..end.checked_sub(CRC_BYTES)?)?.into());
        start = end;
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use symphonia::core::errors::Error;

    use super::*;

    const LC_44K1_STEREO: AdtsFormat = AdtsFormat {
        profile: 1,
        rate_index: 4,
        channels: 2,
    };

    /// A frame without a check sum, but with the check sum flag if it has several blocks.
    fn frame(format: AdtsFormat, blocks: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len() + HEADER_BYTES;
        let mut frame = vec![
            0xff,
            if blocks == 1 { 0xf1 } else { 0xf0 },
            format.profile << 6 | format.rate_index << 2 | format.channels >> 2,
            format.channels << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc | (blocks - 1),
        ];
        frame.extend(content);
        frame
    }

    /// The content of all packets, and the rate and configuration at each format change.
    fn read(file: Vec<u8>) -> Vec<String> {
        let OpenResult::Opened(mut demuxer) = open(Box::new(Cursor::new(file))).unwrap() else {
            return vec!["unrecognized".to_owned()];
        };
        let mut found = Vec::new();
        loop {
            match demuxer.reader.next_packet() {
                Ok(Some(packet)) => {
                    found.push(String::from_utf8_lossy(&packet.data).into_owned());
                }
                Ok(None) => return found,
                Err(Error::ResetRequired) => {
                    let params = demuxer.reader.tracks()[0].codec_params.clone();
                    let params = params.unwrap().audio().unwrap().clone();
                    let config = params.extra_data.unwrap();
                    found.push(format!("{} Hz {config:x?}", params.sample_rate.unwrap()));
                }
                Err(error) => {
                    panic!("{error}");
                }
            }
        }
    }

    #[test]
    fn reads_frames_after_tags_and_junk() {
        let one = |content: &[u8]| frame(LC_44K1_STEREO, 1, content);
        let id3 = b"ID3\x04\0\0\0\0\0\x04\xff\xf1\xff\xf1";
        let file = [
            &id3[..],
            &one(b"a"),
            &one(b"b"),
            id3,
            &one(b"c"),
            b"\xff\xf1junk",
            // A frame that contains the header of another.
            &one(&one(b"inner")[..HEADER_BYTES]),
            &one(b"d"),
            &one(b"e"),
            b"TAG",
            &[0; 125],
        ];
        let found = read(file.concat());
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(
            (&found[..3], &found[4..]),
            (
                &["a".to_owned(), "b".to_owned(), "c".to_owned()][..],
                &["d".to_owned(), "e".to_owned()][..]
            )
        );
    }

    #[test]
    fn a_change_of_rate_or_channels_needs_a_new_decoder() {
        let mono = AdtsFormat {
            rate_index: 8,
            channels: 1,
            ..LC_44K1_STEREO
        };
        let file = [
            frame(LC_44K1_STEREO, 1, b"a").repeat(3),
            frame(mono, 1, b"b").repeat(3),
        ];
        assert_eq!(
            read(file.concat()),
            ["a", "a", "a", "16000 Hz [14, 8]", "b", "b", "b"]
        );
    }

    #[test]
    fn splits_frames_of_several_blocks_by_their_positions() {
        // Two positions and the check sum of the header; three blocks, each with a check sum.
        let content = b"\0\x05\0\x09##one##to##three##";
        let file = frame(LC_44K1_STEREO, 3, content).repeat(2);
        assert_eq!(read(file), ["one", "to", "three"].repeat(2));
    }

    #[test]
    fn names_ffmpeg_for_several_blocks_without_positions() {
        let mut several = frame(LC_44K1_STEREO, 2, b"onetwo");
        several[1] |= 1;
        let opened = open(Box::new(Cursor::new(several.clone())));
        assert!(matches!(opened, Err(AudioError::NeedsFfmpeg { .. })));

        // After other frames, it is damage.
        let one = frame(LC_44K1_STEREO, 1, b"a");
        let file = [&one[..], &several, &one].concat();
        assert_eq!(read(file), ["a", "", "a"]);
    }

    #[test]
    fn refuses_damaged_block_positions() {
        let content = b"\xff\xff\0\x09##one##to##three##";
        let file = frame(LC_44K1_STEREO, 3, content);
        assert!(open(Box::new(Cursor::new(file))).is_err());
    }

    #[test]
    fn does_not_open_other_formats() {
        let frames = frame(LC_44K1_STEREO, 1, b"a").repeat(9);
        for head in [&b"RIFF____AVI LIST"[..], b"____ftypisom", b"OggS"] {
            assert_eq!(read([head, &frames].concat()), ["unrecognized"]);
        }
        assert_eq!(read(vec![0xff; 1_000]), ["unrecognized"]);
        assert_eq!(read(Vec::new()), ["unrecognized"]);
    }
}
