//! Gathers decoded packets into 16 kHz streams: one of all channels, or one per channel.
//!
//! Mixed, every channel counts the same: the result is their average. That is exact for the usual
//! cases (dual mono, a call's two sides, interview microphones), never clips, and loses no speaker;
//! a film's weighting of centre against surround is not attempted. Channels in opposite phase, whose
//! average is silence, give way to the louder one.

use symphonia::core::audio::GenericAudioBufferRef;

use super::resample::Resampler;
use super::{AudioError, Channels, DecodeLimits, MAX_SPLIT_CHANNELS, PcmClaim, SAMPLE_RATE_HZ};

mod mix;
mod scale;

use mix::Mixer;
use scale::Scale;

/// Samples beyond this, infinities and NaN included, are damage. It leaves space for float files
/// that were written on the scale of 16-bit integers.
const MAX_SAMPLE: f32 = 1e6;

/// A recording may be put together from several, but a new rate costs a new filter for each channel,
/// and a file made of nothing but changes would keep a core busy for minutes.
const MAX_RESAMPLERS: usize = 64;

/// A stream of this many samples, 17 minutes, is a long one.
const LONG_SAMPLES: usize = 16 << 20;

/// Beyond the longest duration: what a packet may add before that is noticed.
const SPARE_SAMPLES: usize = 1 << 20;

/// Resamples packet by packet, so that memory holds the result and one packet.
pub struct ChannelStreams<'a> {
    channels: Channels,
    limits: &'a DecodeLimits,
    memory: &'a PcmClaim,
    resamplers_made: usize,
    rate_hz: Option<u32>,
    streams: Vec<Stream>,
    planes: Vec<Vec<f32>>,
    mixer: Mixer,
    scale: Scale,
    /// Samples of the result that stand for what came before the present rate.
    samples_before: usize,
    /// Frames at the present rate.
    frames: u64,
    /// Silence that goes in front of the first packet, in seconds: its rate is not known before.
    leading_s: f64,
}

/// What is cut off a decoded packet, in frames of its own rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trim {
    /// From its start.
    pub start_frames: usize,
    /// From its end.
    pub end_frames: usize,
}

/// All streams are equally long at any time.
#[derive(Default)]
struct Stream {
    resampler: Option<Resampler>,
    pcm: Vec<f32>,
}

impl<'a> ChannelStreams<'a> {
    /// Empty streams that may grow to `limits.max_duration` together; what they take counts into
    /// `memory`.
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
            scale: Scale::default(),
            samples_before: 0,
            frames: 0,
            leading_s: 0.0,
        }
    }

    /// Adds a decoded packet. Rate and channels may change from one packet to the next, as they do
    /// in chained Ogg streams: a channel is silent where a packet does not have it.
    ///
    /// # Errors
    /// [`AudioError::TooLong`] and [`AudioError::TooManyChannels`], or [`AudioError::Undecodable`]
    /// for an absurd sample rate or one that keeps changing.
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
        let wanted = match self.channels {
            Channels::Mix => 1,
            Channels::Split => packet.num_planes(),
        };
        if wanted > MAX_SPLIT_CHANNELS {
            return Err(AudioError::TooManyChannels {
                channels: wanted,
                limit: MAX_SPLIT_CHANNELS,
            });
        }
        let rate_hz = packet.spec().rate();
        if self.rate_hz != Some(rate_hz) || self.streams.len() < wanted {
            self.restart(rate_hz, wanted)?;
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

    /// Adds silence to every stream, in front of the first packet too.
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

    /// Whether there was no packet yet.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The length of the result so far, in samples at 16 kHz, with what the resamplers still hold.
    pub fn position(&self) -> usize {
        (self.position_s() * f64::from(SAMPLE_RATE_HZ)).round() as usize
    }

    /// The length of the result so far, in seconds.
    pub fn position_s(&self) -> f64 {
        let before_s = self.samples_before as f64 / f64::from(SAMPLE_RATE_HZ);
        let since_s = self
            .rate_hz
            .map_or(0.0, |rate_hz| self.frames as f64 / f64::from(rate_hz));
        self.leading_s + before_s + since_s
    }

    /// The whole streams; an empty one where there was no packet.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn finish(mut self) -> Result<Vec<Vec<f32>>, AudioError> {
        self.flush();
        self.check_length()?;
        self.streams
            .resize_with(self.streams.len().max(1), Stream::default);
        let streams = self.streams.into_iter().map(|stream| stream.pcm);
        let mut streams: Vec<Vec<f32>> = streams.collect();
        self.scale.apply(&mut streams);
        Ok(streams)
    }

    /// Hands the planes to the resamplers; a stream without a plane is silent.
    fn resample(&mut self, frames: usize) -> Result<(), AudioError> {
        if self.planes.len() < self.streams.len() {
            self.planes.resize_with(self.streams.len(), Vec::new);
        }
        let most = self.limits.max_samples() / self.streams.len().max(1);
        for (stream, plane) in self.streams.iter_mut().zip(&mut self.planes) {
            plane.resize(frames, 0.0);
            reserve_if_long(&mut stream.pcm, most.saturating_add(SPARE_SAMPLES));
            if let Some(resampler) = &mut stream.resampler {
                resampler.push(plane, &mut stream.pcm);
            }
        }
        self.frames += frames as u64;
        self.check_length()
    }

    /// Begins anew behind what there is, at another rate or with more channels. One that joins has
    /// been silent until now.
    fn restart(&mut self, rate_hz: u32, wanted: usize) -> Result<(), AudioError> {
        self.flush();
        self.rate_hz = Some(rate_hz);
        let samples_before = self.streams.first().map_or(0, |stream| stream.pcm.len());
        let channels = self.streams.len().max(wanted);
        self.resamplers_made += channels;
        if self.resamplers_made > MAX_RESAMPLERS {
            let reason = "its sample rate or its channels keep changing";
            return Err(undecodable(rate_hz, reason));
        }
        self.streams.resize_with(channels, Stream::default);
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

    /// Each of the streams has an equal share of the longest duration.
    fn too_long(&self) -> Result<(), AudioError> {
        let limit = self.limits.max_duration / self.streams.len().max(1) as u32;
        Err(AudioError::TooLong { limit })
    }
}

/// Gives a long stream room for all that it may become.
///
/// That takes addresses, and memory only where something is written. A vector that grows by doubling
/// has what it leaves behind in memory as well, twice the stream at times. Where the system refuses, it
/// grows so all the same.
fn reserve_if_long(pcm: &mut Vec<f32>, most: usize) {
    if pcm.len() >= LONG_SAMPLES && pcm.capacity() < most {
        let _refused = pcm.try_reserve_exact(most - pcm.len());
    }
}

const RATES: &str = "sample rates from 4 to 384 kHz are taken, above 48 kHz multiples of 10 Hz";

fn silence_damage(sample: &mut f32) {
    // Not a number is not at most anything. Without a branch, this takes vectors.
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
    use crate::audio::FfmpegMode;

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

    /// 100 frames at 16 kHz for each packet, which is given by its channels' samples.
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
    fn a_chain_of_rates_makes_a_bounded_number_of_resamplers() {
        for (channels, links) in [(1, 64), (4, 16)] {
            let mut streams =
                ChannelStreams::new(Channels::Split, &LIMITS, PcmClaim::unlimited());
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
        let place = streams.streams[0].pcm.as_ptr();
        assert!(streams.streams[0].pcm.capacity() >= limits.max_samples());
        streams.push_silence(1_900.0).unwrap();
        assert_eq!(streams.streams[0].pcm.as_ptr(), place);
    }

    #[test]
    fn a_long_stream_gets_its_room_once() {
        let mut pcm = vec![0.0; LONG_SAMPLES - 1];
        let most = 4 * LONG_SAMPLES;
        reserve_if_long(&mut pcm, most);
        assert!(pcm.capacity() < most);
        pcm.push(0.0);
        reserve_if_long(&mut pcm, most);
        let capacity = pcm.capacity();
        assert!(capacity >= most);
        reserve_if_long(&mut pcm, most);
        assert_eq!(pcm.capacity(), capacity);
    }

    #[test]
    fn mixes_the_channels_there_are() {
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
