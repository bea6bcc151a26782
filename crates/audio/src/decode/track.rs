//! The selected track of a container, with its decoder.

use std::sync::LazyLock;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::formats::{FormatReader, Track, TrackFlags};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration as Ticks, TimeBase, Timestamp};
use symphonia_adapter_libopus::OpusDecoder;

use super::aac_config;
use super::end_trim::EndTrimRule;
use crate::AudioError;
use crate::channels::Trim;
use crate::demux::{ContainerClock, Demuxer};
use crate::format_names;

/// Sample rate of decoded Opus, whatever rate the container states (RFC 7845, 5.1).
const OPUS_RATE_HZ: u32 = 48_000;

/// Maximum frames per packet, for which decoders allocate their buffers. Real packets have at most 65,536
/// (FLAC); a forged header could require more memory than is available.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// Maximum number of new decoders after failed packets: a stream needs one per format change, but a
/// damaged file could require one per packet.
const MAX_NEW_DECODERS: u32 = 64;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

/// A track with its decoder.
pub struct SelectedTrack {
    /// `None` while no track of the container can be decoded.
    track_id: Option<u32>,
    params: AudioCodecParameters,
    decoder: Box<dyn AudioDecoder>,
    time_base: Option<TimeBase>,
    padding_frames: u32,
    /// Whether the current decoder has decoded a packet.
    has_decoded: bool,
    new_decoders: u32,
    /// Duration of the last decoded packet, for packets without a stated duration.
    last_duration_s: f64,
    /// Names of container and codec, for messages.
    pub format_name: String,
    /// Error of the last packet that failed.
    pub last_error: Option<String>,
}

impl SelectedTrack {
    /// Selects the first audio track that has a decoder, preferring default tracks.
    ///
    /// # Errors
    /// [`AudioError::NeedsFfmpeg`] if no audio track has a decoder, [`AudioError::NoAudioTrack`] if there
    /// is no audio track.
    pub fn of(reader: &dyn FormatReader) -> Result<Self, AudioError> {
        let info = reader.format_info();
        let mut missing_codec = None;
        let (default, other): (Vec<&Track>, Vec<&Track>) = reader
            .tracks()
            .iter()
            .partition(|track| track.flags.contains(TrackFlags::DEFAULT));
        for track in default.into_iter().chain(other) {
            match (&track.codec_params, track.track_type()) {
                (Some(CodecParameters::Audio(params)), _) => {
                    let format_name =
                        format_names::container_with_codec(info, &codec_name(params.codec));
                    match make_decoder(params) {
                        Some(decoder) => return Ok(Self::new(track, params, decoder, format_name)),
                        None => missing_codec = missing_codec.or(Some(format_name)),
                    }
                }
                // The container reader does not know the type of this track.
                (None, _) => {
                    let format_name = format_names::container_with_codec(info, "an unknown codec");
                    missing_codec = missing_codec.or(Some(format_name));
                }
                _ => {}
            }
        }
        Err(match missing_codec {
            Some(format_name) => AudioError::NeedsFfmpeg { format_name },
            None => AudioError::NoAudioTrack {
                format_name: format_names::container(info).to_owned(),
            },
        })
    }

    fn new(
        track: &Track,
        params: &AudioCodecParameters,
        decoder: Box<dyn AudioDecoder>,
        format_name: String,
    ) -> Self {
        Self {
            track_id: Some(track.id),
            params: params.clone(),
            decoder,
            time_base: track.time_base,
            padding_frames: track.padding.unwrap_or(0),
            has_decoded: false,
            new_decoders: 0,
            last_duration_s: 0.0,
            format_name,
            last_error: None,
        }
    }

    /// Deselects the track after the container's tracks changed.
    pub fn deselect(&mut self, error: &AudioError) {
        self.track_id = None;
        self.last_error = Some(error.to_string());
    }

    /// Whether a packet belongs to the track.
    pub fn contains(&self, packet: &Packet) -> bool {
        self.track_id == Some(packet.track_id)
    }

    /// The rule for trimming padding at the end of the track.
    pub fn end_trim_rule(&self, demuxer: &Demuxer) -> EndTrimRule {
        match (demuxer.clock, self.params.codec) {
            (ContainerClock::FromZero, _) => EndTrimRule::Trusted,
            // The frame count may be an estimate; the stated padding is exact.
            (
                ContainerClock::None,
                codec::CODEC_ID_MP1 | codec::CODEC_ID_MP2 | codec::CODEC_ID_MP3,
            ) => EndTrimRule::Exactly(u64::from(self.padding_frames)),
            _ => {
                let rate_hz = self.params.sample_rate.unwrap_or(OPUS_RATE_HZ);
                EndTrimRule::AtMost(u64::from(rate_hz) / 4)
            }
        }
    }

    /// Time stamp of a packet after trimming, in seconds.
    pub fn start_s(&self, packet: &Packet) -> f64 {
        seconds(self.time_base, packet.pts.saturating_add(packet.trim_start))
    }

    /// Duration of a packet in seconds; that of the last packet if not stated.
    pub fn duration_s(&self, packet: &Packet) -> f64 {
        match packet.block_dur() {
            Ticks::ZERO => self.last_duration_s,
            ticks => self.time_base.map_or(0.0, |base| {
                base.calc_duration_saturating(ticks).as_secs_f64()
            }),
        }
    }

    /// Decodes a packet; `None` if it is damaged, or empty, which readers use to mark damage. After a
    /// failure, a new decoder is tried once, because the format may have changed.
    pub fn decode(&mut self, mut packet: Packet) -> Option<(GenericAudioBufferRef<'_>, Trim)> {
        if packet.data.is_empty() {
            return None;
        }
        // Not every decoder trims, so trimming is left to the caller.
        let (trim_start, trim_end) = (packet.trim_start, packet.trim_end);
        packet.trim_start = Ticks::ZERO;
        packet.trim_end = Ticks::ZERO;
        if let Err(error) = self.decoder.decode(&packet) {
            self.last_error = Some(error.to_string());
            if !self.replace_decoder() || self.decoder.decode(&packet).is_err() {
                return None;
            }
        }
        self.has_decoded = true;
        let rate_hz = self.decoder.last_decoded().spec().rate();
        let frames = |ticks: Ticks| match self.time_base {
            Some(base) => {
                let seconds = base.calc_duration_saturating(ticks).as_secs_f64();
                (seconds * f64::from(rate_hz)).round() as usize
            }
            None => usize::try_from(ticks.get()).unwrap_or(usize::MAX),
        };
        let trim = Trim {
            start_frames: frames(trim_start),
            end_frames: frames(trim_end),
        };
        let decoded = self.decoder.last_decoded();
        if rate_hz > 0 && decoded.frames() > 0 {
            self.last_duration_s = decoded.frames() as f64 / f64::from(rate_hz);
        }
        Some((self.decoder.last_decoded(), trim))
    }

    /// Creates a new decoder, unless the current one has decoded nothing.
    fn replace_decoder(&mut self) -> bool {
        if !self.has_decoded || self.new_decoders >= MAX_NEW_DECODERS {
            return false;
        }
        self.new_decoders += 1;
        self.has_decoded = false;
        match make_decoder(&self.params) {
            Some(decoder) => {
                self.decoder = decoder;
                true
            }
            None => false,
        }
    }
}

/// Time stamp of a packet of any track, in seconds.
pub fn start_s(reader: &dyn FormatReader, packet: &Packet) -> f64 {
    let track = reader
        .tracks()
        .iter()
        .find(|track| track.id == packet.track_id);
    seconds(track.and_then(|track| track.time_base), packet.pts)
}

fn seconds(time_base: Option<TimeBase>, at: Timestamp) -> f64 {
    time_base.map_or(0.0, |base| base.calc_time_saturating(at).as_secs_f64())
}

fn make_decoder(params: &AudioCodecParameters) -> Option<Box<dyn AudioDecoder>> {
    if params.max_frames_per_packet > Some(MAX_PACKET_FRAMES) {
        return None;
    }
    let mut params = params.clone();
    if params.codec == codec::CODEC_ID_OPUS {
        params.sample_rate = Some(OPUS_RATE_HZ);
    }
    if params.codec == codec::CODEC_ID_AAC {
        let core = params
            .extra_data
            .as_deref()
            .and_then(aac_config::core_config);
        params.extra_data = core.or(params.extra_data);
    }
    CODECS
        .make_audio_decoder(&params, &AudioDecoderOptions::default())
        .ok()
}

fn codec_name(id: AudioCodecId) -> String {
    let registered = || Some(CODECS.get_audio_decoder(id)?.codec.info.long_name);
    match format_names::codec(id).or_else(registered) {
        Some(name) => name.to_owned(),
        None => format!("codec {id}"),
    }
}
