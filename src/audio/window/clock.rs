//! Maps the time of a window to the time of its recording.

use crate::audio::SAMPLE_RATE_HZ;

/// A stretch of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its first sample in the recording.
    pub start: usize,
    /// Its length.
    pub samples: usize,
}

/// Maps a window's time to the recording's: pieces of the recording, joined without the silence
/// between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    pieces: Vec<Piece>,
}

impl Piece {
    /// The first sample behind it.
    pub fn end(&self) -> usize {
        self.start + self.samples
    }
}

impl Clock {
    /// The clock of these pieces, which are in order and do not overlap.
    pub fn new(pieces: Vec<Piece>) -> Self {
        Self { pieces }
    }

    /// What the window is made of, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// When in the recording something begins that begins `window_s` seconds into the window: at the
    /// seam of two pieces it belongs to the later one. A time outside the window counts as its end.
    pub fn original_start_s(&self, window_s: f64) -> f64 {
        let sample = nearest_sample(window_s);
        self.original_s(window_s, |piece_end| sample < piece_end)
    }

    /// When in the recording something ends that ends `window_s` seconds into the window: at the
    /// seam of two pieces it belongs to the earlier one. A time outside the window counts as its
    /// end.
    pub fn original_end_s(&self, window_s: f64) -> f64 {
        let sample = nearest_sample(window_s);
        self.original_s(window_s, |piece_end| sample <= piece_end)
    }

    /// When in the recording the window begins.
    pub fn start_s(&self) -> f64 {
        self.pieces
            .first()
            .map_or(0.0, |piece| seconds(piece.start))
    }

    /// When in the recording the window ends.
    pub fn end_s(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| seconds(piece.end()))
    }

    /// How long the window is.
    pub fn duration_s(&self) -> f64 {
        seconds(self.pieces.iter().map(|piece| piece.samples).sum())
    }

    /// The clock of what follows the window's first `samples`. Of nothing, one empty piece is left
    /// that says where it would be.
    pub(super) fn rest(&self, samples: usize) -> Self {
        let mut skip = samples;
        let mut pieces: Vec<Piece> = self
            .pieces
            .iter()
            .map(|piece| {
                let skipped = skip.min(piece.samples);
                skip -= skipped;
                Piece {
                    start: piece.start + skipped,
                    samples: piece.samples - skipped,
                }
            })
            .collect();
        let empty = pieces.iter().take_while(|piece| piece.samples == 0).count();
        pieces.drain(..empty.min(pieces.len().saturating_sub(1)));
        Self { pieces }
    }

    /// Looks in the first piece that `holds` the time, given the piece's end in the window, or else
    /// in the last one.
    fn original_s(&self, window_s: f64, holds: impl Fn(usize) -> bool) -> f64 {
        let mut original_s = 0.0;
        let mut before = 0;
        for piece in &self.pieces {
            let within_s = (window_s - seconds(before)).clamp(0.0, seconds(piece.samples));
            original_s = seconds(piece.start) + within_s;
            before += piece.samples;
            if holds(before) {
                break;
            }
        }
        original_s
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE_HZ)
}

/// Seconds are never exactly at a seam.
fn nearest_sample(seconds: f64) -> usize {
    (seconds * f64::from(SAMPLE_RATE_HZ)).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces from 1 to 3 s and from 10 to 14.5 s.
    fn clock() -> Clock {
        Clock::new(vec![
            Piece {
                start: 16_000,
                samples: 32_000,
            },
            Piece {
                start: 160_000,
                samples: 72_000,
            },
        ])
    }

    #[test]
    fn maps_times_to_the_recording() {
        let clock = clock();
        for (window_s, start_s, end_s) in [
            (-1.0, 1.0, 1.0),
            (0.0, 1.0, 1.0),
            (1.98, 2.98, 2.98),
            (2.0, 10.0, 3.0),
            (0.02 * 100.0, 10.0, 3.0),
            (2.02, 10.02, 10.02),
            (6.5, 14.5, 14.5),
            (30.0, 14.5, 14.5),
        ] {
            let found = (
                clock.original_start_s(window_s),
                clock.original_end_s(window_s),
            );
            let error = (found.0 - start_s).abs().max((found.1 - end_s).abs());
            assert!(error < 1e-9, "{window_s}: {found:?}");
        }
        assert_eq!(
            (clock.start_s(), clock.end_s(), clock.duration_s()),
            (1.0, 14.5, 6.5)
        );
    }

    #[test]
    fn leaves_the_rest_on_the_same_clock() {
        let clock = clock();
        for (samples, start_s, duration_s) in [
            (0, 1.0, 6.5),
            (16_000, 2.0, 5.5),
            (32_000, 10.0, 4.5),
            (48_000, 11.0, 3.5),
            (104_000, 14.5, 0.0),
            (999_999, 14.5, 0.0),
        ] {
            let rest = clock.rest(samples);
            assert_eq!((rest.start_s(), rest.duration_s()), (start_s, duration_s));
            assert_eq!(rest.end_s(), 14.5);
        }
    }
}
