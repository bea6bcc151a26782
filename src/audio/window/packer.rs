//! Decides which stretches of speech share a window, as soon as the probabilities settle it.
//!
//! Everything decided here holds whatever comes after it: so the windows of a recording do not
//! depend on how far ahead of them its probabilities are known.

use std::mem;

use super::clock::Piece;
use super::pause::{longest_pause, quietest_place};
use super::{ENERGY_SEARCH_SAMPLES, MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES};
use crate::audio::vad::{Sight, SpanTracker, VadOptions};
use crate::audio::{SAMPLE_RATE_HZ, samples_in};

/// How far back from the last possible place a pause is looked for. The farther, the better the
/// pause; but each second may become one of padding in the window.
const PAUSE_SEARCH_SAMPLES: usize = 15 * SAMPLE_RATE_HZ as usize;

/// A window with this much in it is not worth a cut through the next stretch to fill it.
const WELL_FILLED_SAMPLES: usize = 20 * SAMPLE_RATE_HZ as usize;

/// Over a longer silence no window waits for company. This bounds how far is looked ahead.
const MAX_GAP_SAMPLES: usize = 60 * SAMPLE_RATE_HZ as usize;

/// No more silence than this is kept in front of the first stretch, however long silence may be
/// elsewhere.
pub const MAX_LEAD_SAMPLES: usize = 10 * SAMPLE_RATE_HZ as usize;

/// Packs spans of speech into windows.
pub struct Packer {
    tracker: SpanTracker,
    probabilities: Vec<f32>,
    silence_threshold: f32,
    min_silence: usize,
    /// The longest stretch without a cut.
    max_speech: usize,
    /// The window in the making.
    pieces: Vec<Piece>,
    /// The end of what was packed.
    packed: usize,
}

/// What the probabilities so far say about the next window.
#[derive(Debug, PartialEq, Eq)]
pub enum Packed {
    /// It is this, never empty.
    Window(Vec<Piece>),
    /// More of them are needed to tell.
    Unsettled,
    /// There are no more windows.
    End,
}

impl Packer {
    /// Nothing is known yet of a recording of `samples`.
    pub fn new(samples: usize, options: &VadOptions) -> Self {
        // Both sides of a cut are worth a window, wherever it falls.
        let least = 3 * MIN_WINDOW_SAMPLES;
        Self {
            tracker: SpanTracker::new(samples, options),
            probabilities: Vec::new(),
            silence_threshold: options.silence_threshold(),
            min_silence: samples_in(options.min_silence),
            max_speech: samples_in(options.max_speech).clamp(least, MAX_WINDOW_SAMPLES),
            pieces: Vec::new(),
            packed: 0,
        }
    }

    /// Takes the probabilities of the next frames.
    pub fn push(&mut self, probabilities: &[f32]) {
        for probability in probabilities {
            self.tracker.push(*probability);
        }
        self.probabilities.extend_from_slice(probabilities);
    }

    /// The next window of the recording `pcm`.
    pub fn next(&mut self, pcm: &[f32]) -> Packed {
        loop {
            let (stretch, whole) = match self.tracker.sight() {
                Sight::Whole(span) => (span, true),
                Sight::AtLeast(span) => (span, false),
                Sight::NotBefore(sample) if self.is_far(sample) => return self.close(),
                Sight::NotBefore(_) => return Packed::Unsettled,
                Sight::End => return self.close(),
            };
            let start = self.beginning(stretch.start);
            if self.is_far(start) {
                return self.close();
            }
            let filled: usize = self.pieces.iter().map(|piece| piece.samples).sum();
            // Silence that is kept in front of the first stretch takes room, but is no speech.
            let speech_start = stretch.start.max(self.packed);
            let reach = (speech_start + self.max_speech).min(start + MAX_WINDOW_SAMPLES - filled);
            if whole && stretch.end <= reach {
                self.take(start, stretch.end);
                self.tracker.pop();
                continue;
            }
            if stretch.end > reach && filled >= WELL_FILLED_SAMPLES {
                return self.close();
            }
            if !whole && stretch.end < reach + MIN_WINDOW_SAMPLES {
                return Packed::Unsettled;
            }
            let latest = reach.min(stretch.end - MIN_WINDOW_SAMPLES);
            if let Some(cut) = self.place_to_cut(pcm, speech_start, latest) {
                self.take(start, cut);
            }
            return self.close();
        }
    }

    /// Where a stretch that begins at `start` is taken up. The beginning of one that was cut is in
    /// another window. In front of the first, as between any two, a silence stays unless it is long:
    /// a soft first word may be in it.
    fn beginning(&self, start: usize) -> usize {
        if self.packed == 0 && start < self.min_silence.min(MAX_LEAD_SAMPLES) {
            0
        } else {
            start.max(self.packed)
        }
    }

    /// Whether what begins at `sample` is too far from the window in the making to join it.
    fn is_far(&self, sample: usize) -> bool {
        !self.pieces.is_empty() && sample > self.packed.saturating_add(MAX_GAP_SAMPLES)
    }

    /// Where to cut a stretch from `start` that is too long, `latest` at the latest. Without a pause
    /// it is left whole for the next window, unless it has this one for itself already.
    fn place_to_cut(&self, pcm: &[f32], start: usize, latest: usize) -> Option<usize> {
        let earliest = start + MIN_WINDOW_SAMPLES;
        let search = latest.saturating_sub(PAUSE_SEARCH_SAMPLES).max(earliest)..latest;
        let pause = longest_pause(&self.probabilities, self.silence_threshold, &search);
        if pause.is_some() || !self.pieces.is_empty() {
            return pause;
        }
        let search = latest.saturating_sub(ENERGY_SEARCH_SAMPLES).max(earliest)..latest;
        Some(search.start + quietest_place(&pcm[search]))
    }

    fn take(&mut self, start: usize, end: usize) {
        match self.pieces.last_mut() {
            Some(last) if last.end() == start => last.samples += end - start,
            _ => self.pieces.push(Piece {
                start,
                samples: end - start,
            }),
        }
        self.packed = end;
    }

    fn close(&mut self) -> Packed {
        match mem::take(&mut self.pieces) {
            pieces if pieces.is_empty() => Packed::End,
            pieces => Packed::Window(pieces),
        }
    }
}
