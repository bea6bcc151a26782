//! Groups spans of speech into windows, as soon as the probabilities suffice.
//!
//! Decisions are final, so the windows of a recording do not depend on how many probabilities are
//! known in advance.

use std::mem;

use super::clock::RecordingSpan;
use super::pause::{longest_pause, quietest_position};
use super::{ENERGY_SEARCH_SAMPLES, MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES};
use crate::vad::{NextSpan, SpanTracker, VadOptions};
use crate::{SAMPLE_RATE_HZ, samples_in};

/// How far before the latest possible cut a pause is searched. A longer search finds better pauses,
/// but each second may add a second of padding to the window.
const PAUSE_SEARCH_SAMPLES: usize = 15 * SAMPLE_RATE_HZ as usize;

/// A window of at least this length is closed rather than filled by cutting the next span.
const WELL_FILLED_SAMPLES: usize = 20 * SAMPLE_RATE_HZ as usize;

/// A longer silence closes the window, which bounds the lookahead.
const MAX_GAP_SAMPLES: usize = 60 * SAMPLE_RATE_HZ as usize;

/// Maximum silence kept before the first span, whatever `min_silence` is.
pub const MAX_LEAD_SAMPLES: usize = 10 * SAMPLE_RATE_HZ as usize;

/// Packs spans of speech into windows.
pub struct Packer {
    tracker: SpanTracker,
    probabilities: Vec<f32>,
    silence_threshold: f32,
    min_silence: usize,
    /// Maximum speech without a cut, in samples.
    max_speech: usize,
    /// Spans of the window being filled.
    spans: Vec<RecordingSpan>,
    /// Position up to which the recording is packed, in samples.
    packed: usize,
}

/// The next window, as far as the probabilities determine it.
#[derive(Debug, PartialEq, Eq)]
pub enum PackedWindow {
    /// The spans of the window, never empty.
    Complete(Vec<RecordingSpan>),
    /// More probabilities are needed.
    Pending,
    /// There are no more windows.
    End,
}

impl Packer {
    /// A packer for a recording of `samples` samples.
    pub fn new(samples: usize, options: &VadOptions) -> Self {
        // Allows for windows of minimum length on both sides of any cut.
        let min_speech_limit = 3 * MIN_WINDOW_SAMPLES;
        Self {
            tracker: SpanTracker::new(samples, options),
            probabilities: Vec::new(),
            silence_threshold: options.silence_threshold(),
            min_silence: samples_in(options.min_silence),
            max_speech: samples_in(options.max_speech).clamp(min_speech_limit, MAX_WINDOW_SAMPLES),
            spans: Vec::new(),
            packed: 0,
        }
    }

    /// Adds the probabilities of the next frames.
    pub fn push(&mut self, probabilities: &[f32]) {
        for probability in probabilities {
            self.tracker.push(*probability);
        }
        self.probabilities.extend_from_slice(probabilities);
    }

    /// The next window of the recording `pcm`.
    pub fn next(&mut self, pcm: &[f32]) -> PackedWindow {
        loop {
            let (speech, is_complete) = match self.tracker.next_span() {
                NextSpan::Complete(span) => (span, true),
                NextSpan::Partial(span) => (span, false),
                NextSpan::NotBefore(sample) if self.is_far(sample) => return self.close(),
                NextSpan::NotBefore(_) => return PackedWindow::Pending,
                NextSpan::End => return self.close(),
            };
            let start = self.span_start(speech.start);
            if self.is_far(start) {
                return self.close();
            }
            let filled: usize = self.spans.iter().map(|span| span.samples).sum();
            // Silence kept before the first span counts towards the window, but not as speech.
            let speech_start = speech.start.max(self.packed);
            let latest_end =
                (speech_start + self.max_speech).min(start + MAX_WINDOW_SAMPLES - filled);
            if is_complete && speech.end <= latest_end {
                self.add_span(start, speech.end);
                self.tracker.pop();
                continue;
            }
            if speech.end > latest_end && filled >= WELL_FILLED_SAMPLES {
                return self.close();
            }
            if !is_complete && speech.end < latest_end + MIN_WINDOW_SAMPLES {
                return PackedWindow::Pending;
            }
            let latest = latest_end.min(speech.end - MIN_WINDOW_SAMPLES);
            if let Some(cut) = self.cut_position(pcm, speech_start, latest) {
                self.add_span(start, cut);
            }
            return self.close();
        }
    }

    /// Where to start a span whose speech begins at `start`: after the part that an earlier window
    /// contains. Short silence before the first span is kept, as between spans, because it may contain
    /// a soft first word.
    fn span_start(&self, start: usize) -> usize {
        if self.packed == 0 && start < self.min_silence.min(MAX_LEAD_SAMPLES) {
            0
        } else {
            start.max(self.packed)
        }
    }

    /// Whether `sample` is too far from the end of the current window to be added to it.
    fn is_far(&self, sample: usize) -> bool {
        !self.spans.is_empty() && sample > self.packed.saturating_add(MAX_GAP_SAMPLES)
    }

    /// Where to cut speech from `start` that is too long, `latest` at the latest. `None` if it has no
    /// pause and can start the next window uncut.
    fn cut_position(&self, pcm: &[f32], start: usize, latest: usize) -> Option<usize> {
        let earliest = start + MIN_WINDOW_SAMPLES;
        let search = latest.saturating_sub(PAUSE_SEARCH_SAMPLES).max(earliest)..latest;
        let pause = longest_pause(&self.probabilities, self.silence_threshold, &search);
        if pause.is_some() || !self.spans.is_empty() {
            return pause;
        }
        let search = latest.saturating_sub(ENERGY_SEARCH_SAMPLES).max(earliest)..latest;
        Some(search.start + quietest_position(&pcm[search]))
    }

    fn add_span(&mut self, start: usize, end: usize) {
        match self.spans.last_mut() {
            Some(last) if last.end() == start => last.samples += end - start,
            _ => self.spans.push(RecordingSpan {
                start,
                samples: end - start,
            }),
        }
        self.packed = end;
    }

    fn close(&mut self) -> PackedWindow {
        match mem::take(&mut self.spans) {
            spans if spans.is_empty() => PackedWindow::End,
            spans => PackedWindow::Complete(spans),
        }
    }
}
