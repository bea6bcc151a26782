//! The track of a container that is decoded.

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
use crate::audio::AudioError;
use crate::audio::channels::Trim;
use crate::audio::demux::{ContainerClock, Demuxer};
use crate::audio::format_names;

/// Opus always decodes at this rate, whatever a container says about the recording (RFC 7845, 5.1).
const OPUS_RATE_HZ: u32 = 48_000;

/// A decoder allocates its buffers for as many frames as a header says a packet may hold. Real ones
/// hold at most 65,536 (FLAC); a forged header could demand more memory than there is.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// How often a decoder is made anew because a packet failed: a format that changes in mid-stream
/// needs one at each change, a damaged file could demand one per packet.
const MAX_NEW_DECODERS: u32 = 64;

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry
});

/// A track with its decoder.
pub struct SelectedTrack {
    /// None while no track of the container can be decoded.
    track_id: Option<u32>,
    params: AudioCodecParameters,
    decoder: Box<dyn AudioDecoder>,
    time_base: Option<TimeBase>,
    padding_frames: u32,
    /// Whether the decoder has decoded a packet since it was made.
    has_decoded: bool,
    new_decoders: u32,
    /// The length of the last decoded packet, for those that do not state theirs.
    last_duration_s: f64,
    /// Container and codec, for messages.
    pub format_name: String,
    /// Why the last packet that failed did.
    pub last_error: Option<String>,
}

impl SelectedTrack {
    /// Takes the first audio track that has a decoder, those marked as default first.
    ///
    /// # Errors
    /// [`AudioError::NeedsFfmpeg`] where audio has no decoder, [`AudioError::NoAudioTrack`] where
    /// there is none.
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
                    let format_name = format_names::container_with_codec(info, &codec_name(params.codec));
                    match make_decoder(params) {
                        Some(decoder) => return Ok(Self::new(track, params, decoder, format_name)),
                        None => missing_codec = missing_codec.or(Some(format_name)),
                    }
                }
                // The container reader could not even tell the kind of this track.
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

    /// Takes no more packets, because of the tracks that the container has now.
    pub fn leave(&mut self, error: &AudioError) {
        self.track_id = None;
        self.last_error = Some(error.to_string());
    }

    /// Whether a packet belongs to the track.
    pub fn holds(&self, packet: &Packet) -> bool {
        self.track_id == Some(packet.track_id)
    }

    /// What proves that the end of the track is padding.
    pub fn end_trim_rule(&self, demuxer: &Demuxer) -> EndTrimRule {
        match (demuxer.clock, self.params.codec) {
            (ContainerClock::FromZero, _) => EndTrimRule::Trusted,
            // The count of frames may be an estimate; the encoder's own padding is not.
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

    /// Where the sound of a packet begins on the container's clock, in seconds.
    pub fn start_s(&self, packet: &Packet) -> f64 {
        seconds(self.time_base, packet.pts.saturating_add(packet.trim_start))
    }

    /// How long a packet is, in seconds; as long as the last one where it does not say.
    pub fn duration_s(&self, packet: &Packet) -> f64 {
        match packet.block_dur() {
            Ticks::ZERO => self.last_duration_s,
            ticks => self.time_base.map_or(0.0, |base| {
                base.calc_duration_saturating(ticks).as_secs_f64()
            }),
        }
    }

    /// Decodes a packet; none where it is damaged, or empty, by which readers say that it was. One
    /// that fails is tried once more with a new decoder, for its format may differ from the ones
    /// before.
    pub fn decode(&mut self, mut packet: Packet) -> Option<(GenericAudioBufferRef<'_>, Trim)> {
        if packet.data.is_empty() {
            return None;
        }
        // Not every decoder trims, so none does.
        let (trim_start, trim_end) = (packet.trim_start, packet.trim_end);
        packet.trim_start = Ticks::ZERO;
        packet.trim_end = Ticks::ZERO;
        if let Err(error) = self.decoder.decode(&packet) {
            self.last_error = Some(error.to_string());
            if !self.renew() || self.decoder.decode(&packet).is_err() {
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

    /// Makes a new decoder, unless the present one has decoded nothing.
    fn renew(&mut self) -> bool {
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

/// Where a packet of any track begins on the container's clock, in seconds.
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
        let core = params.extra_data.as_deref().and_then(aac_config::core);
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
