//! Assembles the packets of a logical stream and reads its headers.

use std::collections::VecDeque;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_SPEEX, CODEC_ID_VORBIS};
use symphonia::core::codecs::video::VideoCodecParameters;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use super::granules::{GranuleTracker, PagePackets};
use super::page::Page;
use super::theora;
use crate::demux::{flac, opus, vorbis};

/// Maximum packet size. Audio is far smaller, but comments may contain pictures.
const MAX_PACKET_BYTES: usize = 16 << 20;

/// Magic bytes of streams other than audio: Theora, Skeleton, Dirac, VP8, Kate, CMML, `OggMNG`.
const NON_AUDIO: [&[u8]; 7] = [
    b"\x80theora",
    b"fishead\0",
    b"BBCD\0",
    b"OVP80",
    b"\x80kate\0\0\0",
    b"CMML\0\0\0\0",
    b"\x8aMNG",
];

/// A logical stream. Packets of streams other than audio are skipped.
pub struct LogicalStream {
    serial: u32,
    codec: OggCodec,
    track: Option<Track>,
    /// The packet being assembled; `None` between packets, or if its start is missing.
    partial: Option<Vec<u8>>,
    next_sequence: u32,
    /// Whether pages before the next packet are missing.
    follows_missing_pages: bool,
    granules: GranuleTracker,
    /// End of the last packet, including gaps.
    position: i64,
    delay_left: u64,
}

enum OggCodec {
    Opus {
        /// False before the first packet, which may be comments.
        has_begun: bool,
    },
    Vorbis {
        identification: Vec<u8>,
        lengths: Option<vorbis::PacketLengths>,
    },
    Flac {
        /// The length of the last frame.
        samples: u64,
    },
    /// Video. Each page yields one empty packet for its time stamp.
    Theora(theora::TheoraClock),
    /// Audio without a decoder, or not audio.
    Other,
}

impl LogicalStream {
    /// A stream that starts with this page.
    pub fn new(page: &Page) -> Self {
        let parts = page.parts();
        let head = parts.first().map_or(&[][..], |part| part.data);
        let mut delay_left = 0;
        let (codec, params) = if let Some(head) = opus::OpusHead::parse(head) {
            delay_left = head.pre_skip;
            let params = CodecParameters::Audio(head.params());
            (OggCodec::Opus { has_begun: false }, Some(params))
        } else if head.starts_with(b"\x01vorbis") {
            let identification = head.to_vec();
            let lengths = None;
            let codec = OggCodec::Vorbis {
                identification,
                lengths,
            };
            // The setup header is needed for the track.
            (codec, None)
        } else if let Some(params) = flac_params(head) {
            (
                OggCodec::Flac { samples: 0 },
                Some(CodecParameters::Audio(params)),
            )
        } else if let Some(clock) = theora::TheoraClock::parse(head) {
            let params = CodecParameters::Video(VideoCodecParameters::default());
            (OggCodec::Theora(clock), Some(params))
        } else if head.starts_with(b"Speex   ") {
            let mut params = AudioCodecParameters::new();
            params.for_codec(CODEC_ID_SPEEX);
            (OggCodec::Other, Some(CodecParameters::Audio(params)))
        } else if NON_AUDIO.iter().any(|magic| head.starts_with(magic)) {
            let params = VideoCodecParameters::default();
            (OggCodec::Other, Some(CodecParameters::Video(params)))
        } else {
            (OggCodec::Other, None)
        };
        let is_ready = !matches!(codec, OggCodec::Vorbis { .. });
        let mut track = is_ready.then(|| track(page.serial, params));
        if let (OggCodec::Theora(clock), Some(track)) = (&codec, &mut track) {
            track.with_time_base(clock.time_base);
        }
        Self {
            serial: page.serial,
            codec,
            track,
            partial: None,
            next_sequence: page.sequence,
            follows_missing_pages: false,
            granules: GranuleTracker::default(),
            // Granule positions of Opus include the pre-skip (RFC 7845, 4.3).
            position: 0_i64.saturating_sub_unsigned(delay_left),
            delay_left,
        }
    }

    /// Serial number.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The track, once all headers are complete.
    pub fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    /// Whether the stream is audio that can be decoded.
    pub fn is_audio(&self) -> bool {
        !matches!(self.codec, OggCodec::Other | OggCodec::Theora(_))
    }

    /// Appends the packets that end on a page to `packets`, except the identification header.
    pub fn add_page(&mut self, page: &Page, packets: &mut VecDeque<Packet>) {
        if let OggCodec::Theora(clock) = &self.codec {
            let start = clock.start(page);
            packets.extend(
                start.map(|start| Packet::new(self.serial, start, Duration::ZERO, Vec::new())),
            );
            return;
        }
        let follows_missing_pages = page.sequence != self.next_sequence;
        self.follows_missing_pages |= follows_missing_pages;
        if follows_missing_pages || !page.is_continued {
            self.partial = None;
        }
        self.next_sequence = page.sequence.wrapping_add(1);
        let mut lacks_beginning = page.is_continued && self.partial.is_none();
        let start = self.position;
        let first = packets.len();
        for part in page.parts().iter().skip(usize::from(page.is_first)) {
            let fits = |partial: &Vec<u8>| partial.len() + part.data.len() <= MAX_PACKET_BYTES;
            if !lacks_beginning && self.partial.as_ref().is_none_or(fits) {
                let partial = self.partial.get_or_insert_default();
                partial.extend(part.data);
            } else {
                self.partial = None;
                lacks_beginning = true;
            }
            if part.is_end {
                if let Some(packet) = self.partial.take() {
                    packets.extend(self.packet(packet));
                }
                lacks_beginning = false;
            }
        }
        if packets.len() == first {
            return;
        }
        let samples = self.position - start;
        if page.is_last {
            let padding = self.granules.padding(page.granule, samples);
            trim_end(packets.range_mut(first..), padding);
        }
        let shift = self.granules.push(
            page.granule,
            PagePackets {
                samples,
                follow_missing_pages: std::mem::take(&mut self.follows_missing_pages),
                // Vorbis I specification, A.2.
                may_start_before_zero: matches!(self.codec, OggCodec::Vorbis { .. })
                    && !page.is_last,
            },
        );
        self.position = self.position.saturating_add(shift);
        if shift < 0 {
            trim_start(packets.range_mut(first..), shift.unsigned_abs());
        }
        for packet in packets.range_mut(first..) {
            let start = packet.pts.get().saturating_add(shift);
            // Dropped samples have no duration.
            let earliest = 0_i64.saturating_sub_unsigned(packet.trim_start.get());
            packet.pts = Timestamp::new(start.max(earliest));
        }
    }

    /// Creates a packet of audio. `None` for headers, which are evaluated or dropped.
    fn packet(&mut self, data: Vec<u8>) -> Option<Packet> {
        if data.is_empty() {
            return None;
        }
        let samples = match &mut self.codec {
            OggCodec::Opus { has_begun } => {
                // Comments are not needed, and may be truncated.
                if !std::mem::replace(has_begun, true) && data.starts_with(b"OpusTags") {
                    return None;
                }
                opus::packet_samples(&data)
            }
            OggCodec::Vorbis {
                identification,
                lengths,
            } => {
                // Headers have odd types.
                if data[0] & 1 != 0 {
                    if self.track.is_none() && data.starts_with(b"\x05vorbis") {
                        *lengths = vorbis::PacketLengths::parse(identification, &data);
                        let params = vorbis_params(identification, &data)?;
                        let params = Some(CodecParameters::Audio(params));
                        self.track = Some(track(self.serial, params));
                    }
                    return None;
                }
                self.track.as_ref()?;
                lengths.as_mut().map_or(0, |lengths| lengths.next(&data))
            }
            // Metadata blocks precede frames, which begin with a sync word.
            OggCodec::Flac { .. } if data[0] != 0xff => return None,
            OggCodec::Flac { samples } => {
                *samples = flac::frame_samples(&data).unwrap_or(*samples);
                *samples
            }
            OggCodec::Theora(_) | OggCodec::Other => return None,
        };
        let trim = self.delay_left.min(samples);
        self.delay_left -= trim;
        let pts = Timestamp::new(self.position);
        self.position = self.position.saturating_add_unsigned(samples);
        let mut packet = Packet::new(self.serial, pts, Duration::new(samples - trim), data);
        packet.trim_start = Duration::new(trim);
        Some(packet)
    }
}

/// Trims samples from the start of these packets.
fn trim_start<'a>(packets: impl Iterator<Item = &'a mut Packet>, mut samples: u64) {
    for packet in packets {
        let trim = Duration::new(samples).min(packet.dur);
        packet.trim_start = packet.trim_start.saturating_add(trim);
        packet.dur = packet.dur.saturating_sub(trim);
        samples -= trim.get();
    }
}

/// Trims samples from the end of these packets.
fn trim_end<'a>(packets: impl DoubleEndedIterator<Item = &'a mut Packet>, mut samples: u64) {
    for packet in packets.rev() {
        let trim = Duration::new(samples).min(packet.dur);
        packet.trim_end = trim;
        packet.dur = packet.dur.saturating_sub(trim);
        samples -= trim.get();
    }
}

fn track(serial: u32, params: Option<CodecParameters>) -> Track {
    let mut track = Track::new(serial);
    match params {
        Some(params) => {
            track.with_codec_params(params);
        }
        None => track.time_base = TimeBase::try_from_recip(opus::RATE_HZ),
    }
    track
}

/// The decoder's parameters of Vorbis (Vorbis I specification, 4.2.2).
fn vorbis_params(identification: &[u8], setup: &[u8]) -> Option<AudioCodecParameters> {
    let rate_hz = u32::from_le_bytes(*identification.get(12..)?.first_chunk()?);
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_VORBIS)
        .with_sample_rate(rate_hz)
        .with_extra_data([identification, setup].concat().into());
    Some(params)
}

/// Parses the first packet of FLAC in Ogg (RFC 9639, 10.1): magic bytes, version, number of headers and
/// `STREAMINFO`.
fn flac_params(head: &[u8]) -> Option<AudioCodecParameters> {
    const INFO_AT: usize = 17;
    const INFO_BYTES: usize = 34;
    if !head.starts_with(b"\x7fFLAC\x01") || head.get(9..13)? != b"fLaC" {
        return None;
    }
    let info = head.get(INFO_AT..INFO_AT + INFO_BYTES)?;
    let &[a, b, c] = info.get(10..)?.first_chunk()?;
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_FLAC)
        .with_sample_rate(u32::from_be_bytes([0, a, b, c]) >> 4)
        .with_extra_data(info.into());
    Some(params)
}
