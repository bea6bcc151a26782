//! Cuts a recording into windows of at most 30 s.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

mod clock;
mod packer;
mod pause;
mod pieces;

pub use clock::{RecordingSpan, WindowClock};
pub use pieces::{PieceCutter, PieceEdge, PieceFrame};

use super::vad::{FRAME_SAMPLES, Silero, VadOptions};
use super::{SAMPLE_RATE_HZ, samples_in};
use packer::{PackedWindow, Packer};
use pause::quietest_position;

/// Whisper's input length, 30 s.
const MAX_WINDOW_SAMPLES: usize = 30 * SAMPLE_RATE_HZ as usize;

/// Minimum length on both sides of a cut: shorter windows lack context.
const MIN_WINDOW_SAMPLES: usize = SAMPLE_RATE_HZ as usize;

/// How far before the latest possible cut the quietest position is searched. Speakers pause at least
/// every few seconds, and every second searched may add a second of padding to the window.
const ENERGY_SEARCH_SAMPLES: usize = 6 * SAMPLE_RATE_HZ as usize;

/// The network processes this much at a time, 1.5 s: exactly one of its blocks, and little more than
/// a window needs.
const BLOCK_SAMPLES: usize = 48 * FRAME_SAMPLES;

/// Recordings with a lower peak (-20 dB of full scale) are amplified: the network depends on the level
/// and misses soft words in them.
const MIN_PEAK: f32 = 0.1;

/// Maximum gain for quiet recordings, 40 dB; below that level there is only converter noise.
const MAX_GAIN: f32 = 100.0;

/// Up to 30 s of audio for the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The model's input: mono PCM at 16 kHz.
    pub pcm: Vec<f32>,
    /// Maps times in the window to times in the recording.
    pub clock: WindowClock,
}

/// The part of a recording to transcribe; the whole recording by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// Start of the part.
    pub offset: Duration,
    /// Length of the part, up to the end of the recording if `None`. The recording may end earlier.
    pub duration: Option<Duration>,
}

/// Cuts a recording into windows, lazily and in order.
///
/// With voice activity detection, a window contains as many spans of speech as fit into 30 s, joined
/// without the silence between them. A span that does not fit, or that would leave the window less
/// than two thirds full, is cut in a pause. Without detection, the windows are contiguous and cut at
/// the quietest positions.
///
/// The network processes no more audio than the next window needs, so the first window of a long
/// recording is available early. The recording is held in memory once.
pub struct WindowCutter {
    pcm: Arc<Vec<f32>>,
    /// Start of `pcm` in the recording, in samples.
    offset: usize,
    method: CutMethod,
}

/// Result of a bounded search for the next window.
#[derive(Debug, PartialEq)]
pub enum NextWindow {
    /// The next window.
    Ready(Window),
    /// The limit was reached before the window was complete; call again.
    Pending,
    /// There are no more windows.
    End,
}

enum CutMethod {
    /// By energy; the position up to which windows were cut, in samples.
    Energy(usize),
    VoiceActivity(Box<SpeechCutter>),
}

struct SpeechCutter {
    detector: SpeechDetector,
    packer: Packer,
}

/// Detects speech in a recording, block by block, at a level that suits the network.
pub struct SpeechDetector {
    /// On the heap, because it is large.
    network: Box<Silero>,
    /// Amplifies quiet recordings.
    gain: f32,
    /// Samples processed by the network.
    processed: usize,
}

impl Window {
    /// The part of the window from `at_s` seconds on; empty past the end.
    #[must_use]
    pub fn tail_from(&self, at_s: f64) -> Self {
        let samples = (at_s * f64::from(SAMPLE_RATE_HZ)).round() as usize;
        Self {
            pcm: self.pcm.get(samples..).unwrap_or_default().to_vec(),
            clock: self.clock.tail_from(samples),
        }
    }
}

impl Clip {
    /// The samples of the part in a recording of this many.
    #[must_use]
    pub fn range(&self, samples: usize) -> Range<usize> {
        let start = samples_in(self.offset).min(samples);
        let length = self.duration.map_or(usize::MAX, samples_in);
        start..start.saturating_add(length).min(samples)
    }
}

impl WindowCutter {
    /// Cuts `clip` of a recording, with voice activity detection if `vad` is given.
    #[must_use]
    pub fn new(mut pcm: Vec<f32>, clip: Clip, vad: Option<VadOptions>) -> Self {
        let Range { start: offset, end } = clip.range(pcm.len());
        pcm.truncate(end);
        pcm.drain(..offset);
        let method = match vad {
            None => CutMethod::Energy(0),
            Some(options) => CutMethod::VoiceActivity(Box::new(SpeechCutter {
                detector: SpeechDetector::new(&pcm),
                packer: Packer::new(pcm.len(), &options),
            })),
        };
        Self {
            pcm: Arc::new(pcm),
            offset,
            method,
        }
    }

    /// The clip, and its start in the recording, in samples.
    #[must_use]
    pub fn clip(&self) -> (Arc<Vec<f32>>, usize) {
        (Arc::clone(&self.pcm), self.offset)
    }

    /// The length of the clip, in samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.pcm.len()
    }

    /// Like [`next`](Self::next), but the network processes about `max_samples` samples at most, which
    /// bounds the duration of the call.
    pub fn next_within(&mut self, max_samples: usize) -> NextWindow {
        let packed = match &mut self.method {
            CutMethod::Energy(cut) => match next_energy_span(&self.pcm, cut) {
                Some(span) => PackedWindow::Complete(vec![span]),
                None => PackedWindow::End,
            },
            CutMethod::VoiceActivity(cutter) => cutter.next(&self.pcm, max_samples),
        };
        match packed {
            PackedWindow::Complete(spans) => NextWindow::Ready(self.window(spans)),
            PackedWindow::Pending => NextWindow::Pending,
            PackedWindow::End => NextWindow::End,
        }
    }

    fn window(&self, mut spans: Vec<RecordingSpan>) -> Window {
        let samples = spans.iter().map(|span| span.samples).sum();
        let mut pcm = Vec::with_capacity(samples);
        for span in &mut spans {
            pcm.extend_from_slice(&self.pcm[span.start..span.end()]);
            span.start += self.offset;
        }
        Window {
            pcm,
            clock: WindowClock::new(spans),
        }
    }
}

impl Iterator for WindowCutter {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        loop {
            match self.next_within(usize::MAX) {
                NextWindow::Ready(window) => return Some(window),
                NextWindow::End => return None,
                NextWindow::Pending => {}
            }
        }
    }
}

impl SpeechCutter {
    /// The next window, unless it requires processing more than `max_samples` samples.
    fn next(&mut self, pcm: &[f32], max_samples: usize) -> PackedWindow {
        let stop = self.detector.processed.saturating_add(max_samples);
        loop {
            match self.packer.next(pcm) {
                PackedWindow::Pending if self.detector.processed < stop => {
                    self.packer.push(&self.detector.next_block(pcm));
                }
                packed => return packed,
            }
        }
    }
}

impl SpeechDetector {
    /// For this recording.
    #[must_use]
    pub fn new(pcm: &[f32]) -> Self {
        Self {
            network: Box::new(Silero::new()),
            gain: detection_gain(pcm),
            processed: 0,
        }
    }

    /// Samples of the recording that were processed.
    #[must_use]
    pub fn processed(&self) -> usize {
        self.processed
    }

    /// The speech probabilities of the frames of the recording's next 1.5 s; none at its end.
    pub fn next_block(&mut self, pcm: &[f32]) -> Vec<f32> {
        let end = pcm.len().min(self.processed + BLOCK_SAMPLES);
        let block: Vec<f32> = pcm[self.processed..end]
            .iter()
            .map(|sample| sample * self.gain)
            .collect();
        self.processed = end;
        self.network.probabilities(&block)
    }
}

/// The gain that suits the network of voice activity detection: it raises the peak to -20 dB of full scale, by
/// 40 dB at most; 1 if it is higher already.
fn detection_gain(pcm: &[f32]) -> f32 {
    let peak = pcm
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    (MIN_PEAK / peak).clamp(1.0, MAX_GAIN)
}

/// Cuts at most 30 s from position `cut`, at the quietest position, and advances `cut`.
fn next_energy_span(pcm: &[f32], cut: &mut usize) -> Option<RecordingSpan> {
    let start = *cut;
    *cut = match pcm.len() - start {
        0 => return None,
        1..=MAX_WINDOW_SAMPLES => pcm.len(),
        rest => {
            let latest = start + MAX_WINDOW_SAMPLES.min(rest - MIN_WINDOW_SAMPLES);
            let earliest = latest - ENERGY_SEARCH_SAMPLES;
            earliest + quietest_position(&pcm[earliest..latest])
        }
    };
    Some(RecordingSpan {
        start,
        samples: *cut - start,
    })
}

#[cfg(test)]
mod tests;
