//! Recognises float recordings on the scale of 16-bit integers. Pure.
//!
//! Float samples lie between -1 and 1, but some programs write those of 16-bit recordings as they
//! are, from -32,768 to 32,767.

use symphonia::core::audio::GenericAudioBufferRef;

/// A recording between -1 and 1 may be driven beyond that, but rarely and not so far.
const BEYOND_FLOAT: f32 = 4.0;

/// Speech on the scale of integers is beyond it most of the time; clicks on the scale of floats are
/// not.
const MIN_SHARE: f64 = 0.05;

/// Full scale of 16-bit integers.
const FULL_SCALE: f32 = 32_768.0;

/// Counts the float samples of a recording.
#[derive(Debug, Default)]
pub struct Scale {
    samples: u64,
    beyond: u64,
}

impl Scale {
    /// Counts a packet, whose samples are in `planes`.
    pub fn observe(&mut self, packet: &GenericAudioBufferRef<'_>, planes: &[Vec<f32>]) {
        let is_float = matches!(
            packet,
            GenericAudioBufferRef::F32(_) | GenericAudioBufferRef::F64(_)
        );
        if is_float {
            self.count(planes);
        }
    }

    fn count(&mut self, planes: &[Vec<f32>]) {
        for plane in planes {
            self.samples += plane.iter().filter(|&&sample| sample != 0.0).count() as u64;
            let beyond = plane.iter().filter(|sample| sample.abs() > BEYOND_FLOAT);
            self.beyond += beyond.count() as u64;
        }
    }

    /// Brings the recording to the scale of floats where it is on that of integers.
    pub fn apply(&self, streams: &mut [Vec<f32>]) {
        if self.beyond == 0 || (self.beyond as f64) < MIN_SHARE * self.samples as f64 {
            return;
        }
        for sample in streams.iter_mut().flatten() {
            *sample /= FULL_SCALE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(samples: &[f32], expected: &[f32]) {
        let mut scale = Scale::default();
        let mut streams = [samples.to_vec()];
        scale.count(&streams);
        scale.apply(&mut streams);
        assert_eq!(streams[0], expected);
    }

    #[test]
    fn only_recordings_on_the_scale_of_integers_are_divided() {
        check(
            &[16_384.0, -8_192.0, 1.0, 0.0],
            &[0.5, -0.25, 1.0 / 32_768.0, 0.0],
        );
        check(&[0.5, -1.5, 3.9], &[0.5, -1.5, 3.9]);
        check(&[0.0; 3], &[0.0; 3]);
        let mut clicks = vec![0.25; 1_000];
        clicks[500] = 30_000.0;
        check(&clicks, &clicks);
    }
}
