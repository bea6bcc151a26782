//! Detects float recordings in the range of 16-bit integers. Pure.
//!
//! Float samples are between -1 and 1, but some programs write 16-bit samples unscaled, from -32,768 to
//! 32,767.

use symphonia::core::audio::GenericAudioBufferRef;

/// Larger samples are outside the float range; overdriven recordings rarely exceed it.
const MAX_FLOAT_SAMPLE: f32 = 4.0;

/// Minimum share of samples outside the float range for integer samples: most of speech, but not clicks.
const MIN_SHARE: f64 = 0.05;

/// Full scale of 16-bit integers.
const FULL_SCALE: f32 = 32_768.0;

/// Counts the float samples of a recording inside and outside the float range.
#[derive(Debug, Default)]
pub struct ScaleDetector {
    samples: u64,
    out_of_range: u64,
}

impl ScaleDetector {
    /// Counts the samples of a packet, which are in `planes`.
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
            let out_of_range = plane
                .iter()
                .filter(|sample| sample.abs() > MAX_FLOAT_SAMPLE);
            self.out_of_range += out_of_range.count() as u64;
        }
    }

    /// Scales the recording to the float range if it is in the integer range.
    pub fn apply(&self, streams: &mut [Vec<f32>]) {
        if self.out_of_range == 0 || (self.out_of_range as f64) < MIN_SHARE * self.samples as f64 {
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
        let mut scale = ScaleDetector::default();
        let mut streams = [samples.to_vec()];
        scale.count(&streams);
        scale.apply(&mut streams);
        assert_eq!(streams[0], expected);
    }

    #[test]
    fn scales_only_recordings_in_the_integer_range() {
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
