//! Gathers decoded packets into one mono 16 kHz stream.
//!
//! Every channel counts the same: the result is their average. That is exact for the usual cases
//! (dual mono, a call's two sides, interview microphones), never clips, and loses no speaker; a
//! film's weighting of centre against surround is not attempted.

use symphonia::core::audio::GenericAudioBufferRef;

use super::resample::Resampler;
use super::{AudioError, DecodeLimits};

/// Samples beyond this, infinities and NaN included, are damage. It leaves room for float files
/// that were written on the scale of 16-bit integers.
const MAX_SAMPLE: f32 = 1e6;

/// A recording may be put together from several, but a new rate costs a new filter, and a file made
/// of nothing but changes would keep a core busy for minutes.
const MAX_RATE_CHANGES: u32 = 64;

/// Mixes and resamples packet by packet, so that memory holds the result and one packet.
pub struct MonoStream<'a> {
    limits: &'a DecodeLimits,
    max_samples: usize,
    rate_changes: u32,
    resampler: Option<Resampler>,
    pcm: Vec<f32>,
    planes: Vec<Vec<f32>>,
}

impl<'a> MonoStream<'a> {
    /// An empty stream that may grow to `limits.max_duration`.
    pub fn new(limits: &'a DecodeLimits) -> Self {
        Self {
            limits,
            max_samples: limits.max_samples(),
            rate_changes: 0,
            resampler: None,
            pcm: Vec::new(),
            planes: Vec::new(),
        }
    }

    /// Adds a decoded packet. Rate and channels may change from one packet to the next, as they do
    /// in chained Ogg streams.
    ///
    /// # Errors
    /// [`AudioError::TooLong`], or [`AudioError::Undecodable`] for an absurd sample rate or one that
    /// keeps changing.
    pub fn push(&mut self, packet: &GenericAudioBufferRef<'_>) -> Result<(), AudioError> {
        if packet.num_planes() == 0 || packet.is_empty() {
            return Ok(());
        }
        let rate_hz = packet.spec().rate();
        if self.resampler.as_ref().map(Resampler::rate_hz) != Some(rate_hz) {
            self.flush();
            self.rate_changes += 1;
            if self.rate_changes > MAX_RATE_CHANGES {
                return Err(undecodable(rate_hz, "the sample rate keeps changing"));
            }
            let resampler = Resampler::new(rate_hz)
                .ok_or_else(|| undecodable(rate_hz, "sample rates from 4 to 384 kHz are taken"))?;
            self.resampler = Some(resampler);
        }
        packet.copy_to_vecs_planar(&mut self.planes);
        if let ([mono, others @ ..], Some(resampler)) =
            (self.planes.as_mut_slice(), &mut self.resampler)
        {
            average_into(mono, others);
            resampler.push(mono, &mut self.pcm);
        }
        self.check_length()
    }

    /// Whether nothing has been heard yet.
    pub fn is_empty(&self) -> bool {
        self.resampler.is_none()
    }

    /// The whole stream.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn finish(mut self) -> Result<Vec<f32>, AudioError> {
        self.flush();
        self.check_length()?;
        Ok(self.pcm)
    }

    fn flush(&mut self) {
        if let Some(resampler) = self.resampler.take() {
            resampler.finish(&mut self.pcm);
        }
    }

    fn check_length(&self) -> Result<(), AudioError> {
        if self.pcm.len() > self.max_samples {
            return Err(AudioError::TooLong {
                limit: self.limits.max_duration,
            });
        }
        Ok(())
    }
}

fn average_into(mono: &mut [f32], others: &[Vec<f32>]) {
    for other in others {
        for (sum, sample) in mono.iter_mut().zip(other) {
            *sum += sample;
        }
    }
    let scale = 1.0 / (others.len() + 1) as f32;
    for sample in mono {
        *sample *= scale;
        if sample.is_nan() || sample.abs() > MAX_SAMPLE {
            *sample = 0.0;
        }
    }
}

fn undecodable(rate_hz: u32, reason: &str) -> AudioError {
    AudioError::Undecodable {
        found: format!("audio at {rate_hz} Hz"),
        reason: reason.to_owned(),
    }
}
