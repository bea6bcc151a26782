//! When the audio of a session came.

use std::collections::VecDeque;
use std::time::Instant;

/// Audio that is remembered as one arrival, in samples.
const STEP_SAMPLES: u64 = 16_000 / 10;
/// Arrivals that are kept: ten minutes.
const MAX_ARRIVALS: usize = 6_000;

/// The arrivals of audio at 16 kHz; a chunk arrives as a whole.
#[derive(Debug, Default)]
pub struct Arrivals {
    samples: u64,
    newest: Option<Instant>,
    /// The sample that each piece of audio ends with, and when it came.
    pieces: VecDeque<(u64, Instant)>,
}

impl Arrivals {
    /// Adds the next audio.
    pub fn push(&mut self, samples: usize, arrival: Instant) {
        self.samples += samples as u64;
        self.newest = Some(arrival);
        let last = self.pieces.back();
        if last.is_none_or(|(end, _)| self.samples >= end + STEP_SAMPLES) {
            if self.pieces.len() == MAX_ARRIVALS {
                self.pieces.pop_front();
            }
            self.pieces.push_back((self.samples, arrival));
        }
    }

    /// Samples so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// When the newest audio came; none if there is none.
    #[must_use]
    pub fn newest(&self) -> Option<Instant> {
        self.newest
    }

    /// When the audio up to this sample came; none if there is none. Of audio of more than ten minutes ago, when the
    /// oldest came that is remembered.
    #[must_use]
    pub fn of(&self, sample: u64) -> Option<Instant> {
        let at = self.pieces.partition_point(|(end, _)| *end < sample);
        let piece = self.pieces.get(at).map(|(_, arrival)| *arrival);
        piece.or(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn audio_comes_in_pieces_of_a_tenth_of_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut arrivals = Arrivals::default();
        assert_eq!((arrivals.newest(), arrivals.of(0)), (None, None));
        for step in 1..=10 {
            arrivals.push(320, at(20 * step));
        }
        assert_eq!(arrivals.samples(), 3_200);
        assert_eq!(arrivals.newest(), Some(at(200)));
        assert_eq!(arrivals.of(320), Some(at(20)));
        assert_eq!(arrivals.of(321), Some(at(120)));
        assert_eq!(arrivals.of(1_920), Some(at(120)));
        assert_eq!(arrivals.of(3_000), Some(at(200)));
        assert_eq!(arrivals.of(9_999), Some(at(200)));
    }

    #[test]
    fn ten_minutes_are_remembered() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut arrivals = Arrivals::default();
        for second in 1..=7_000 {
            arrivals.push(16_000, at(second));
        }
        assert_eq!(arrivals.of(16_000), Some(at(1_001)));
        assert_eq!(arrivals.of(2_000 * 16_000), Some(at(2_000)));
    }
}
