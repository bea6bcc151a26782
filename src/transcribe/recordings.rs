//! The decoded recordings of a request.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::transcript::{DropReason, DroppedSpan, Speaker};
use halkspeech_audio::{Clip, DecodedAudio, NextWindow, SAMPLE_RATE_HZ, VadOptions, WindowCutter};
use halkspeech_whisper::features::{HOP_SAMPLES, WINDOW_FRAMES};

/// Samples per step of the speech detection, 10 minutes. A step takes less than a second.
pub const MAX_VAD_SAMPLES: usize = 600 * SAMPLE_RATE_HZ as usize;

/// The recordings of a request, one per channel if channels are split.
pub struct Recordings {
    /// The channels that are not completely cut into windows yet.
    pub cutters: VecDeque<(Option<Speaker>, WindowCutter)>,
    /// The length of the recording.
    pub duration: Duration,
    /// The parts that could not be decoded.
    pub damaged: Vec<DroppedSpan>,
}

impl Recordings {
    /// The part `clip` of `decoded`.
    pub fn new(decoded: DecodedAudio, clip: Clip, vad: Option<VadOptions>) -> Self {
        let channels = decoded.streams;
        let samples = channels.first().map_or(0, Vec::len);
        let is_split = channels.len() > 1;
        let cutter = |(number, pcm)| {
            let speaker = is_split.then(|| Speaker::numbered(number));
            (speaker, WindowCutter::new(pcm, clip, vad))
        };
        Self {
            cutters: channels.into_iter().enumerate().map(cutter).collect(),
            duration: Duration::from_secs_f64(seconds(samples)),
            damaged: decoded.lost_ranges.into_iter().map(damaged).collect(),
        }
    }

    /// The part of the recording that is transcribed, as mono PCM, and its start in samples; called before
    /// any window is cut.
    pub fn clip(&self) -> (Arc<Vec<f32>>, usize) {
        let first = self.cutters.front();
        first.map_or_else(Default::default, |(_, cutter)| cutter.clip())
    }

    /// The next step: a window, or [`NextWindow::Pending`] if the bounded step did not complete one.
    pub fn next_window(&mut self) -> (Option<Speaker>, NextWindow) {
        while let Some((speaker, cutter)) = self.cutters.front_mut() {
            match cutter.next_within(MAX_VAD_SAMPLES) {
                NextWindow::End => self.cutters.pop_front(),
                step => return (speaker.clone(), step),
            };
        }
        (None, NextWindow::End)
    }
}

/// Maximum number of mel bands of any model (large-v3).
const MAX_MELS: usize = 128;

/// A window of the longest length.
const WINDOW_SAMPLES: usize = WINDOW_FRAMES * HOP_SAMPLES;

/// Memory of decoded channels in bytes, including up to `windows` windows in flight: a copy of their PCM
/// and their features.
pub fn bytes_of(channels: &[Vec<f32>], windows: usize) -> u64 {
    let samples: usize = channels.iter().map(Vec::len).sum();
    let in_flight = samples.min(windows.saturating_mul(WINDOW_SAMPLES));
    let pcm = (samples + in_flight) * size_of::<f32>();
    let features = in_flight / HOP_SAMPLES * MAX_MELS * size_of::<f32>();
    (pcm + features) as u64
}

/// The length of this many samples, in seconds.
pub fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE_HZ)
}

fn damaged(samples: Range<usize>) -> DroppedSpan {
    DroppedSpan {
        start_s: seconds(samples.start),
        end_s: seconds(samples.end),
        reason: DropReason::Damaged,
        text: String::new(),
    }
}
