//! Speakers of a recording that is not complete yet.

use super::Voice;
use super::cluster::MERGE_DISTANCE;
use super::embedding::{VoiceVector, dot, normalised};

/// Maximum number of voices; a further one has the number of the nearest.
const MAX_VOICES: usize = 64;

/// Numbers voices in the order in which they first speak. Numbers are never changed afterwards, so they are less accurate
/// than those of a whole recording.
#[derive(Default)]
pub struct VoiceTracker {
    /// The sum of the vectors of each voice.
    sums: Vec<VoiceVector>,
}

impl VoiceTracker {
    /// The number of this voice, from 0: that of the nearest voice before, unless all are unlike it.
    pub fn number(&mut self, voice: &Voice) -> usize {
        let cosines = self.sums.iter().map(|sum| dot(&normalised(sum), &voice.0));
        let nearest = cosines.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        match nearest {
            Some((number, cosine))
                if 1.0 - cosine <= MERGE_DISTANCE || self.sums.len() == MAX_VOICES =>
            {
                for (sum, value) in self.sums[number].iter_mut().zip(&voice.0) {
                    *sum += value;
                }
                number
            }
            _ => {
                self.sums.push(voice.0);
                self.sums.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::embedding::DIMENSIONS;
    use super::*;

    #[test]
    fn a_voice_has_the_number_of_the_nearest_before_it() {
        let mut tracker = VoiceTracker::default();
        // A cosine of 0.4 is at 66 degrees; the mean of the first voice moves to 30 and then to 50 degrees.
        for (angle, expected) in [(0.0, 0), (180.0, 1), (60.0, 0), (90.0, 0), (200.0, 1)] {
            assert_eq!(tracker.number(&Voice::at_angle(angle)), expected, "{angle}");
        }
        assert_eq!(tracker.number(&Voice::at_angle(-70.0)), 2);
    }

    #[test]
    fn the_number_of_voices_is_bounded() {
        let mut tracker = VoiceTracker::default();
        let axis = |number: usize| {
            let mut vector = [0.0; DIMENSIONS];
            vector[number] = 1.0;
            Voice(vector)
        };
        for number in 0..MAX_VOICES {
            assert_eq!(tracker.number(&axis(number)), number);
        }
        assert!(tracker.number(&axis(MAX_VOICES)) < MAX_VOICES);
    }
}
