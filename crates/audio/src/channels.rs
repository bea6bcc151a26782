//! Resamples decoded packets to 16 kHz streams: one of all channels, or one per channel.
//!
//! Mixing averages all channels with equal weights. This is exact for the usual cases (dual mono, two
//! sides of a call, interview microphones), never clips, and loses no speaker; there is no special
//! weighting of surround channels. If channels in opposite phase cancel each other, the loudest channel
//! is used instead.

use symphonia::core::audio::GenericAudioBufferRef;

use super::resample::Resampler;
use super::{AudioError, Channels, DecodeLimits, MAX_SPLIT_CHANNELS, PcmClaim, SAMPLE_RATE_HZ};

mod mix;
mod scale;

use mix::Mixer;
use scale::ScaleDetector;

/// Larger samples, infinities and NaN are damage. The limit allows for float files in the range of 16-bit
/// integers.
const MAX_SAMPLE: f32 = 1e6;

/// Maximum number of resamplers. The sample rate may change in concatenated recordings, but each change
/// needs a new filter per channel, and a forged file could occupy a core for minutes.
const MAX_RESAMPLERS: usize = 64;

/// Length from which a stream's memory is reserved at once, 17 minutes.
const LONG_SAMPLES: usize = 16 << 20;

/// Reserved beyond the maximum duration: a packet may exceed it before the check.
const SPARE_SAMPLES: usize = 1 << 20;

/// Resamples packet by packet, so only the result and one packet are in memory.
pub struct ChannelStreams<'a> {
    channels: Channels,
    limits: &'a DecodeLimits,
    memory: &'a PcmClaim,
    resamplers_made: usize,
    rate_hz: Option<u32>,
    streams: Vec<ChannelStream>,
    planes: Vec<Vec<f32>>,
    mixer: Mixer,
    scale: ScaleDetector,
    /// Output samples from before the current rate.
    samples_before: usize,
    /// Input frames at the current rate.
    frames: u64,
    /// Silence before the first packet in seconds, added once the rate is known.
    leading_s: f64,
}

/// Frames to trim from a decoded packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// From its start.
    pub start_frames: usize,
    /// From its end.
    pub end_frames: usize,
}

/// One output stream. All streams always have the same length.
#[derive(Default)]
struct ChannelStream {
    resampler: Option<Resampler>,
    pcm: Vec<f32>,
}

impl<'a> ChannelStreams<'a> {
    /// Empty streams, limited to a total of `limits.max_duration`. Their memory is claimed from `memory`.
    pub fn new(channels: Channels, limits: &'a DecodeLimits, memory: &'a PcmClaim) -> Self {
        Self {
            channels,
            limits,
            memory,
            resamplers_made: 0,
            rate_hz: None,
            streams: Vec::new(),
            planes: Vec::new(),
            mixer: Mixer::default(),
            scale: ScaleDetector::default(),
            samples_before: 0,
            frames: 0,
            leading_s: 0.0,
        }
    }

    /// Appends a decoded packet. Sample rate and number of channels may change between packets, as in
    /// chained Ogg streams; channels missing in a packet are silent.
    ///
    /// # Errors
    /// [`AudioError::TooLong`], [`AudioError::TooManyChannels`], memory errors, or
    /// [`AudioError::Undecodable`] for an unsupported or repeatedly changing sample rate.
    pub fn push(
        &mut self,
        packet: &GenericAudioBufferRef<'_>,
        trim: Trim,
    ) -> Result<(), AudioError> {
        let cut = trim.start_frames.saturating_add(trim.end_frames);
        let frames = packet.frames().saturating_sub(cut);
        if packet.num_planes() == 0 || frames == 0 {
            return Ok(());
        }
        let stream_count = match self.channels {
            Channels::Mix => 1,
            Channels::Split => packet.num_planes(),
        };
        if stream_count > MAX_SPLIT_CHANNELS {
            return Err(AudioError::TooManyChannels {
                channels: stream_count,
                limit: MAX_SPLIT_CHANNELS,
            });
        }
        let rate_hz = packet.spec().rate();
        if self.rate_hz != Some(rate_hz) || self.streams.len() < stream_count {
            self.restart(rate_hz, stream_count)?;
        }
        packet.copy_to_vecs_planar(&mut self.planes);
        for plane in &mut self.planes {
            plane.truncate(trim.start_frames + frames);
            plane.drain(..trim.start_frames);
            plane.iter_mut().for_each(silence_damage);
        }
        self.scale.observe(packet, &self.planes);
        if self.channels == Channels::Mix {
            self.mixer.mix_into_first(&mut self.planes);
        }
        self.resample(frames)
    }

    /// Appends silence to every stream, also before the first packet.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn push_silence(&mut self, seconds: f64) -> Result<(), AudioError> {
        let max_s = self.limits.max_duration.as_secs_f64();
        let Some(rate_hz) = self.rate_hz else {
            self.leading_s += seconds;
            if self.leading_s > max_s {
                return self.too_long();
            }
            return Ok(());
        };
        if seconds > max_s {
            return self.too_long();
        }
        let mut left = (seconds * f64::from(rate_hz)).round() as usize;
        while left > 0 {
            let frames = left.min(rate_hz as usize);
            self.planes.iter_mut().for_each(Vec::clear);
            self.resample(frames)?;
            left -= frames;
        }
        Ok(())
    }

    /// Whether no packet was appended yet.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Length of the result so far, in samples at 16 kHz, including samples buffered by the resamplers.
    pub fn position(&self) -> usize {
        (self.position_s() * f64::from(SAMPLE_RATE_HZ)).round() as usize
    }

    /// Length of the result so far, in seconds.
    pub fn position_s(&self) -> f64 {
        let before_s = self.samples_before as f64 / f64::from(SAMPLE_RATE_HZ);
        let since_s = self
            .rate_hz
            .map_or(0.0, |rate_hz| self.frames as f64 / f64::from(rate_hz));
        self.leading_s + before_s + since_s
    }

    /// Finishes the streams; returns an empty one if there was no packet.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn finish(mut self) -> Result<Vec<Vec<f32>>, AudioError> {
        self.flush();
        self.check_length()?;
        self.streams
            .resize_with(self.streams.len().max(1), ChannelStream::default);
        let streams = self.streams.into_iter().map(|stream| stream.pcm);
        let mut streams: Vec<Vec<f32>> = streams.collect();
        self.scale.apply(&mut streams);
        Ok(streams)
    }

    /// Resamples the planes; a stream without a plane gets silence.
    fn resample(&mut self, frames: usize) -> Result<(), AudioError> {
        if self.planes.len() < self.streams.len() {
            self.planes.resize_with(self.streams.len(), Vec::new);
        }
        let max_samples = self.limits.max_samples() / self.streams.len().max(1);
        for (stream, plane) in self.streams.iter_mut().zip(&mut self.planes) {
            plane.resize(frames, 0.0);
            reserve_if_long(&mut stream.pcm, max_samples.saturating_add(SPARE_SAMPLES));
            if let Some(resampler) = &mut stream.resampler {
                resampler.push(plane, &mut stream.pcm);
            }
        }
        self.frames += frames as u64;
        self.check_length()
    }

    /// Continues at another rate or with more channels. New channels start with silence.
    fn restart(&mut self, rate_hz: u32, stream_count: usize) -> Result<(), AudioError> {
        self.flush();
        self.rate_hz = Some(rate_hz);
        let samples_before = self.streams.first().map_or(0, |stream| stream.pcm.len());
        let channels = self.streams.len().max(stream_count);
        self.resamplers_made += channels;
        if self.resamplers_made > MAX_RESAMPLERS {
            let reason = "its sample rate or its channels keep changing";
            return Err(undecodable(rate_hz, reason));
        }
        self.streams.resize_with(channels, ChannelStream::default);
        for stream in &mut self.streams {
            let resampler = Resampler::new(rate_hz).ok_or_else(|| undecodable(rate_hz, RATES))?;
            stream.resampler = Some(resampler);
            stream.pcm.resize(samples_before, 0.0);
        }
        self.samples_before = samples_before;
        self.frames = 0;
        let leading_s = std::mem::take(&mut self.leading_s);
        self.push_silence(leading_s)
    }

    fn flush(&mut self) {
        for stream in &mut self.streams {
            if let Some(resampler) = stream.resampler.take() {
                resampler.finish(&mut stream.pcm);
            }
        }
    }

    fn check_length(&self) -> Result<(), AudioError> {
        let samples: usize = self.streams.iter().map(|stream| stream.pcm.len()).sum();
        if samples > self.limits.max_samples() {
            return self.too_long();
        }
        self.memory.resize((samples * size_of::<f32>()) as u64)
    }

    /// The error with the limit per stream.
    fn too_long(&self) -> Result<(), AudioError> {
        let limit = self.limits.max_duration / self.streams.len().max(1) as u32;
        Err(AudioError::TooLong { limit })
    }
}

/// Reserves the maximum capacity of a long stream.
///
/// This takes address space, but memory only for written pages, whereas growing by doubling copies the
/// stream. If the reservation fails, the vector grows by doubling.
fn reserve_if_long(pcm: &mut Vec<f32>, max_samples: usize) {
    if pcm.len() >= LONG_SAMPLES && pcm.capacity() < max_samples {
        let _refused = pcm.try_reserve_exact(max_samples - pcm.len());
    }
}

const RATES: &str = "sample rates from 4 to 384 kHz are taken, above 48 kHz multiples of 10 Hz";

fn silence_damage(sample: &mut f32) {
    // The comparison is false for NaN. It compiles to vector instructions without a branch.
    *sample = if sample.abs() <= MAX_SAMPLE {
        *sample
    } else {
        0.0
    };
}

fn undecodable(rate_hz: u32, reason: &str) -> AudioError {
    AudioError::Undecodable {
        format_name: format!("audio at {rate_hz} Hz"),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use symphonia::core::audio::{AudioBuffer, AudioMut, AudioSpec, Channels as Layout};

    use super::*;
    use crate::FfmpegMode;

    const LIMITS: DecodeLimits = DecodeLimits {
        max_duration: Duration::from_secs(1),
        ffmpeg: FfmpegMode::Off,
        ffmpeg_timeout: Duration::from_secs(1),
    };

    fn packet(rate_hz: u32, samples: &[f32]) -> AudioBuffer<f32> {
        let layout = Layout::Discrete(samples.len() as u16);
        let mut buffer = AudioBuffer::<f32>::new(AudioSpec::new(rate_hz, layout), 100);
        buffer.render_uninit(Some(100));
        for (index, sample) in samples.iter().enumerate() {
            buffer.plane_mut(index).unwrap().fill(*sample);
        }
        buffer
    }

    /// Resamples packets of 100 frames at 16 kHz, each given by one sample per channel.
    fn streams(channels: Channels, packets: &[&[f32]]) -> Vec<Vec<f32>> {
        let mut streams = ChannelStreams::new(channels, &LIMITS, PcmClaim::unlimited());
        for packet in packets {
            let buffer = self::packet(16_000, packet);
            let packet = GenericAudioBufferRef::F32(&buffer);
            streams.push(&packet, Trim::default()).unwrap();
        }
        streams.finish().unwrap()
    }

    #[test]
    fn keeps_split_channels_equally_long() {
        let streams = streams(Channels::Split, &[&[0.1], &[0.2, 0.3], &[0.4], &[0.5, 0.6]]);
        let expected = [[0.1, 0.2, 0.4, 0.5], [0.0, 0.3, 0.0, 0.6]];
        let expected = expected.map(|samples| samples.map(|sample| [sample; 100]).concat());
        assert_eq!(streams, expected);
    }

    #[test]
    fn limits_the_number_of_resamplers() {
        for (channels, links) in [(1, 64), (4, 16)] {
            let mut streams = ChannelStreams::new(Channels::Split, &LIMITS, PcmClaim::unlimited());
            let mut push = |link: usize| {
                let rate_hz = if link.is_multiple_of(2) {
                    16_000
                } else {
                    8_000
                };
                let buffer = packet(rate_hz, &vec![0.5; channels]);
                streams.push(&GenericAudioBufferRef::F32(&buffer), Trim::default())
            };
            for link in 0..links {
                push(link).unwrap();
            }
            let error = push(links).unwrap_err();
            assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
        }
    }

    #[test]
    fn a_long_recording_is_not_copied_while_it_grows() {
        let limits = DecodeLimits {
            max_duration: Duration::from_secs(3_000),
            ..LIMITS
        };
        let mut streams = ChannelStreams::new(Channels::Mix, &limits, PcmClaim::unlimited());
        let buffer = packet(16_000, &[0.5]);
        let push = |streams: &mut ChannelStreams<'_>| {
            streams.push(&GenericAudioBufferRef::F32(&buffer), Trim::default())
        };
        push(&mut streams).unwrap();
        streams.push_silence(1_060.0).unwrap();
        let address = streams.streams[0].pcm.as_ptr();
        assert!(streams.streams[0].pcm.capacity() >= limits.max_samples());
        streams.push_silence(1_900.0).unwrap();
        assert_eq!(streams.streams[0].pcm.as_ptr(), address);
    }

    #[test]
    fn reserves_the_memory_of_a_long_stream_once() {
        let mut pcm = vec![0.0; LONG_SAMPLES - 1];
        let max_samples = 4 * LONG_SAMPLES;
        reserve_if_long(&mut pcm, max_samples);
        assert!(pcm.capacity() < max_samples);
        pcm.push(0.0);
        reserve_if_long(&mut pcm, max_samples);
        let capacity = pcm.capacity();
        assert!(capacity >= max_samples);
        reserve_if_long(&mut pcm, max_samples);
        assert_eq!(pcm.capacity(), capacity);
    }

    #[test]
    fn mixes_a_changing_number_of_channels() {
        let streams = streams(
            Channels::Mix,
            &[&[0.5], &[0.25, 0.75], &[1.0, 0.0, 0.5, 0.5]],
        );
        assert_eq!(streams, [vec![0.5; 300]]);
    }

    #[test]
    fn silences_damaged_samples_of_a_channel() {
        let streams = streams(Channels::Split, &[&[f32::NAN, 0.5, f32::INFINITY]]);
        assert_eq!(streams, [0.0, 0.5, 0.0].map(|sample| vec![sample; 100]));
    }
}
