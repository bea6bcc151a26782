//! Maps times in a window to times in its recording.

use crate::SAMPLE_RATE_HZ;

/// A contiguous part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingSpan {
    /// Its first sample in the recording.
    pub start: usize,
    /// Its length, in samples.
    pub samples: usize,
}

/// Maps times in a window to times in the recording. A window consists of spans of the recording,
/// joined without the silence between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowClock {
    spans: Vec<RecordingSpan>,
}

impl RecordingSpan {
    /// One past its last sample.
    pub fn end(&self) -> usize {
        self.start + self.samples
    }
}

impl WindowClock {
    /// The clock of a window made of `spans`, which must be in order and must not overlap.
    pub fn new(spans: Vec<RecordingSpan>) -> Self {
        Self { spans }
    }

    /// The spans of the window, in order.
    pub fn spans(&self) -> &[RecordingSpan] {
        &self.spans
    }

    /// Recording time of something that starts at `window_s` in the window, in seconds. A time at the
    /// boundary of two spans belongs to the later one. Times outside the window are clamped.
    pub fn original_start_s(&self, window_s: f64) -> f64 {
        let sample = nearest_sample(window_s);
        self.original_s(window_s, |span_end| sample < span_end)
    }

    /// Recording time of something that ends at `window_s` in the window, in seconds. A time at the
    /// boundary of two spans belongs to the earlier one. Times outside the window are clamped.
    pub fn original_end_s(&self, window_s: f64) -> f64 {
        let sample = nearest_sample(window_s);
        self.original_s(window_s, |span_end| sample <= span_end)
    }

    /// Start of the window in the recording, in seconds.
    pub fn start_s(&self) -> f64 {
        self.spans.first().map_or(0.0, |span| seconds(span.start))
    }

    /// End of the window in the recording, in seconds.
    pub fn end_s(&self) -> f64 {
        self.spans.last().map_or(0.0, |span| seconds(span.end()))
    }

    /// Length of the window, in seconds.
    pub fn duration_s(&self) -> f64 {
        seconds(self.spans.iter().map(|span| span.samples).sum())
    }

    /// The clock of the window without its first `samples` samples. An empty tail keeps one empty span
    /// with its position.
    pub(super) fn tail_from(&self, samples: usize) -> Self {
        let mut skip = samples;
        let mut spans: Vec<RecordingSpan> = self
            .spans
            .iter()
            .map(|span| {
                let skipped = skip.min(span.samples);
                skip -= skipped;
                RecordingSpan {
                    start: span.start + skipped,
                    samples: span.samples - skipped,
                }
            })
            .collect();
        let empty = spans.iter().take_while(|span| span.samples == 0).count();
        spans.drain(..empty.min(spans.len().saturating_sub(1)));
        Self { spans }
    }

    /// Maps `window_s` through the first span for which `holds` is true, given the span's end in the
    /// window, or else through the last span.
    fn original_s(&self, window_s: f64, holds: impl Fn(usize) -> bool) -> f64 {
        let mut original_s = 0.0;
        let mut before = 0;
        for span in &self.spans {
            let within_s = (window_s - seconds(before)).clamp(0.0, seconds(span.samples));
            original_s = seconds(span.start) + within_s;
            before += span.samples;
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

/// Rounds, because times in seconds never fall exactly on a boundary.
fn nearest_sample(seconds: f64) -> usize {
    (seconds * f64::from(SAMPLE_RATE_HZ)).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans from 1 to 3 s and from 10 to 14.5 s.
    fn clock() -> WindowClock {
        WindowClock::new(vec![
            RecordingSpan {
                start: 16_000,
                samples: 32_000,
            },
            RecordingSpan {
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
    fn the_tail_keeps_its_times() {
        let clock = clock();
        for (samples, start_s, duration_s) in [
            (0, 1.0, 6.5),
            (16_000, 2.0, 5.5),
            (32_000, 10.0, 4.5),
            (48_000, 11.0, 3.5),
            (104_000, 14.5, 0.0),
            (999_999, 14.5, 0.0),
        ] {
            let tail = clock.tail_from(samples);
            assert_eq!((tail.start_s(), tail.duration_s()), (start_s, duration_s));
            assert_eq!(tail.end_s(), 14.5);
        }
    }
}
