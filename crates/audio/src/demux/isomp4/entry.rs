//! Reads the sample descriptions of an audio track (`stsd`): ISO/IEC 14496-12, 12.2.3, and the
//! versions 0 to 2 of Apple's QuickTime File Format.

use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::common::FourCc;

use super::boxes::{BoxType, Fields, boxes_in};
use super::config;
use super::descriptor::StreamDescriptor;
use super::pcm::{ByteOrder, PcmFormat};

/// Maximum number of sample descriptions to read. Real tracks have one, edited ones a few.
const MAX_ENTRIES: usize = 256;

/// IMA ADPCM of QuickTime: frames and bytes of a block of one channel.
const IMA_FRAMES: u32 = 64;
const IMA_BYTES: u32 = 34;

/// Maximum number of frames in a packet of PCM or ADPCM.
pub const MAX_JOINED_FRAMES: u32 = 4_096;

/// A sample description.
#[derive(Clone, Debug, Default)]
pub struct SampleEntry {
    /// The decoder's parameters. The codec is the null codec if the entry is unreadable, and one made of
    /// the entry's four characters if it is unknown.
    pub params: AudioCodecParameters,
    /// Layout of the frames, if they have a constant size.
    pub layout: Option<FrameLayout>,
    /// Opus pre-skip: frames at 48 kHz before the start of the recording.
    pub pre_skip_frames: u16,
}

/// Size of a group of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLayout {
    /// Frames of a group: 1 for PCM.
    pub frames: u32,
    /// Bytes of a group, for all channels.
    pub bytes: u32,
}

impl SampleEntry {
    /// Whether both can be decoded by the same decoder.
    pub fn is_compatible_with(&self, other: &Self) -> bool {
        let channels = |entry: &Self| entry.params.channels.as_ref().map(Channels::count);
        self.params.codec == other.params.codec
            && self.params.sample_rate == other.params.sample_rate
            && self.params.extra_data == other.params.extra_data
            && channels(self) == channels(other)
    }

    /// Marks the codec as unknown if its decoder takes the ticks of a packet as its number of frames and
    /// the track's ticks differ.
    pub fn require_ticks_of_frames(&mut self, ticks_per_s: u32) {
        let has_blocks = self.params.frames_per_block.is_some();
        if has_blocks && self.params.sample_rate != Some(ticks_per_s) {
            self.params.codec = AudioCodecId::default();
        }
    }
}

/// Reads the sample descriptions of an `stsd` box of a track with this time scale.
pub fn read_entries(content: &[u8], time_scale: u32) -> Vec<SampleEntry> {
    let mut fields = Fields(content);
    let Some((version, _)) = fields.version_and_flags() else {
        return Vec::new();
    };
    if fields.u32().is_none() {
        return Vec::new();
    }
    boxes_in(fields.0)
        .take(MAX_ENTRIES)
        .map(|(kind, content)| {
            SampleEntryHeader::read(content, version)
                .map(|header| header.entry(kind, time_scale))
                .unwrap_or_default()
        })
        .collect()
}

/// Fields and child boxes of an entry.
struct SampleEntryHeader<'a> {
    channels: u32,
    bits: u32,
    rate_hz: u32,
    /// Version 2: flags, bits per sample and bytes per frame.
    lpcm: Option<(u32, u32, u32)>,
    boxes: ConfigBoxes<'a>,
}

impl<'a> SampleEntryHeader<'a> {
    fn read(content: &'a [u8], stsd_version: u8) -> Option<Self> {
        const RESERVED_AND_REFERENCE: usize = 8;
        const REVISION_AND_VENDOR: usize = 6;
        const COMPRESSION_AND_PACKET: usize = 4;
        const VERSION_1_BYTES: usize = 16;
        let mut fields = Fields(content);
        fields.skip(RESERVED_AND_REFERENCE)?;
        let version = fields.u16()?;
        fields.skip(REVISION_AND_VENDOR)?;
        let channels = u32::from(fields.u16()?);
        let bits = u32::from(fields.u16()?);
        fields.skip(COMPRESSION_AND_PACKET)?;
        // 16.16 bits.
        let rate_hz = fields.u32()? >> 16;
        let mut header = Self {
            channels,
            bits,
            rate_hz,
            lpcm: None,
            boxes: ConfigBoxes::default(),
        };
        match (version, stsd_version) {
            // QuickTime's packet sizes, which are not needed. ISO's version 1 has none.
            (1, 0) => fields.skip(VERSION_1_BYTES)?,
            (2, _) => header.read_version_2(&mut fields)?,
            _ => {}
        }
        header.boxes.read(fields.0);
        if let Some(rate_hz) = header.boxes.rate_hz {
            header.rate_hz = rate_hz;
        }
        Some(header)
    }

    fn read_version_2(&mut self, fields: &mut Fields<'_>) -> Option<()> {
        let _struct_bytes = fields.u32()?;
        self.rate_hz = fields.take().map(f64::from_be_bytes)?.round() as u32;
        self.channels = fields.u32()?;
        let _always_7f000000 = fields.u32()?;
        let bits = fields.u32()?;
        let flags = fields.u32()?;
        let frame_bytes = fields.u32()?;
        let _frames_per_packet = fields.u32()?;
        self.lpcm = Some((flags, bits, frame_bytes));
        Some(())
    }

    fn entry(self, kind: BoxType, time_scale: u32) -> SampleEntry {
        let mut entry = SampleEntry::default();
        let params = &mut entry.params;
        params.channels = layout(self.channels);
        params.sample_rate = match self.rate_hz {
            // A rate that does not fit into 16 bits is stored as 0.
            0 => Some(time_scale),
            rate_hz => Some(rate_hz),
        };
        if let Some((codec, layout)) = self.constant_size(kind) {
            params.codec = codec;
            entry.layout = Some(layout);
            // Both are required by the decoder of IMA ADPCM.
            if layout.frames > 1 {
                params.frames_per_block = Some(u64::from(layout.frames));
                params.max_frames_per_packet = Some(u64::from(MAX_JOINED_FRAMES));
            }
            return entry;
        }
        params.codec = codec_of(kind);
        self.boxes.configure(kind, &mut entry);
        entry
    }

    /// The codec and frames of PCM and of IMA ADPCM.
    fn constant_size(&self, kind: BoxType) -> Option<(AudioCodecId, FrameLayout)> {
        let (codec, frames, channel_bytes) = match &kind {
            b"ulaw" => (codec::CODEC_ID_PCM_MULAW, 1, 1),
            b"alaw" => (codec::CODEC_ID_PCM_ALAW, 1, 1),
            b"ima4" => (codec::CODEC_ID_ADPCM_IMA_QT, IMA_FRAMES, IMA_BYTES),
            _ => {
                let format = self.pcm_format(kind)?;
                (format.codec()?, 1, format.bits / 8)
            }
        };
        let bytes = self.channels.checked_mul(channel_bytes)?;
        let layout = FrameLayout { frames, bytes };
        (bytes > 0).then_some((codec, layout))
    }

    fn pcm_format(&self, kind: BoxType) -> Option<PcmFormat> {
        const USUAL_BITS: u32 = 16;
        if let (b"lpcm", Some((flags, bits, frame_bytes))) = (&kind, self.lpcm) {
            let bytes = frame_bytes.checked_div(self.channels)?;
            return PcmFormat::of_flags(flags, bits, bytes);
        }
        let (bits, order) = match self.boxes.pcm {
            Some((bits, order)) => (bits, Some(order)),
            None => (self.bits, self.boxes.order),
        };
        let bits = if bits == 0 { USUAL_BITS } else { bits };
        PcmFormat::of_entry(kind, bits, order)
    }
}

/// The boxes of an entry that configure its decoder.
#[derive(Default)]
struct ConfigBoxes<'a> {
    esds: Option<&'a [u8]>,
    alac: Option<&'a [u8]>,
    flac: Option<&'a [u8]>,
    opus: Option<&'a [u8]>,
    order: Option<ByteOrder>,
    /// Bits per sample and byte order of ISO/IEC 23003-5.
    pcm: Option<(u32, ByteOrder)>,
    rate_hz: Option<u32>,
}

impl<'a> ConfigBoxes<'a> {
    fn read(&mut self, content: &'a [u8]) {
        for (kind, content) in boxes_in(content) {
            // QuickTime wraps the decoder's boxes in another box.
            if kind == *b"wave" {
                boxes_in(content).for_each(|(kind, content)| self.take(kind, content));
            } else {
                self.take(kind, content);
            }
        }
    }

    fn take(&mut self, kind: BoxType, content: &'a [u8]) {
        match &kind {
            b"esds" => self.esds = Some(content),
            b"alac" => self.alac = Some(content),
            b"dfLa" => self.flac = Some(content),
            b"dOps" => self.opus = Some(content),
            b"enda" => {
                self.order = Fields(content).u16().map(|is_little| match is_little {
                    0 => ByteOrder::Big,
                    _ => ByteOrder::Little,
                });
            }
            b"pcmC" => self.pcm = pcm_config(content),
            b"srat" => {
                let mut fields = Fields(content);
                self.rate_hz = fields.version_and_flags().and_then(|_| fields.u32());
            }
            _ => {}
        }
    }

    /// Adds the configuration of a compressed format.
    fn configure(&self, kind: BoxType, entry: &mut SampleEntry) {
        let params = &mut entry.params;
        match &kind {
            b"alac" => params.extra_data = self.alac.and_then(config::alac),
            b"fLaC" => params.extra_data = self.flac.and_then(config::flac),
            b"Opus" => {
                if let Some(opus) = self.opus.and_then(config::opus) {
                    params.channels = layout(u32::from(opus.channels));
                    params.extra_data = Some(opus.header);
                    entry.pre_skip_frames = opus.pre_skip_frames;
                }
            }
            b"mp4a" => {
                let Some(stream) = self.esds.and_then(StreamDescriptor::read) else {
                    return;
                };
                params.codec = stream.codec().unwrap_or_default();
                params.extra_data = stream
                    .config
                    .filter(|config| config.len() >= 2)
                    .map(Into::into);
            }
            _ => {}
        }
    }
}

/// `PCMConfig` of ISO/IEC 23003-5: bits per sample and byte order.
fn pcm_config(content: &[u8]) -> Option<(u32, ByteOrder)> {
    const LITTLE_ENDIAN: u8 = 1;
    let mut fields = Fields(content);
    fields.version_and_flags()?;
    let order = match fields.u8()? & LITTLE_ENDIAN {
        0 => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    Some((u32::from(fields.u8()?), order))
}

/// The codec of a compressed format.
fn codec_of(kind: BoxType) -> AudioCodecId {
    match &kind {
        b"mp4a" => codec::CODEC_ID_AAC,
        b".mp3" | b"mp3 " | b"ms\0\x55" => codec::CODEC_ID_MP3,
        b"alac" => codec::CODEC_ID_ALAC,
        b"fLaC" => codec::CODEC_ID_FLAC,
        b"Opus" => codec::CODEC_ID_OPUS,
        b"ac-3" | b"sac3" => codec::CODEC_ID_AC3,
        b"ec-3" => codec::CODEC_ID_EAC3,
        b"ac-4" => codec::CODEC_ID_AC4,
        b"dtsc" | b"dtsh" | b"dtsl" | b"dtse" => codec::CODEC_ID_DCA,
        b"mlpa" => codec::CODEC_ID_TRUEHD,
        _ => FourCc::try_new(kind).map_or_else(AudioCodecId::default, AudioCodecId::new),
    }
}

/// The channel layout. Beyond stereo, positions do not matter: all channels are mixed alike.
fn layout(channels: u32) -> Option<Channels> {
    match channels {
        0 => None,
        1 => Some(layouts::CHANNEL_LAYOUT_MONO),
        2 => Some(layouts::CHANNEL_LAYOUT_STEREO),
        count => u16::try_from(count).ok().map(Channels::Discrete),
    }
}

#[cfg(test)]
mod tests;
