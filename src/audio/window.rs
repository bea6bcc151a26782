//! Cuts a recording into windows the model can take.

use std::time::Duration;

mod clock;
mod packer;
mod pause;

pub use clock::{Clock, Piece};

use super::vad::{FRAME_SAMPLES, Silero, VadOptions};
use super::{SAMPLE_RATE_HZ, samples_in};
use packer::{Packed, Packer};
use pause::quietest_place;

/// Whisper's context is 30 s.
const MAX_WINDOW_SAMPLES: usize = 30 * SAMPLE_RATE_HZ as usize;

/// A cut leaves at least this much on both sides, so that no window is a scrap without context.
const MIN_WINDOW_SAMPLES: usize = SAMPLE_RATE_HZ as usize;

/// How far back from the last possible place the quietest one is looked for. People pause at least
/// every few seconds, and every second looked at here may become another of padding in the window.
const ENERGY_SEARCH_SAMPLES: usize = 6 * SAMPLE_RATE_HZ as usize;

/// The network is run over this much at a time, 1.5 s: little is heard in vain, and a block of its
/// own is full.
const BLOCK_SAMPLES: usize = 48 * FRAME_SAMPLES;

/// A recording without a sample above this (-20 dB of full scale) is faint: the network, which hears
/// levels as they are, then misses soft words.
const FAINT_PEAK: f32 = 0.1;

/// Faint recordings are raised by 40 dB at most; below that there is nothing but the noise of the
/// converter.
const MAX_GAIN: f32 = 100.0;

/// Up to 30 s for the model, and where they were in the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What the model hears.
    pub pcm: Vec<f32>,
    /// Its place in the recording.
    pub clock: Clock,
}

/// The part of a recording that is wanted; the default is all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// Where it begins.
    pub offset: Duration,
    /// How long it is; none: up to the end. A recording may end before.
    pub duration: Option<Duration>,
}

/// Cuts a recording into windows, in order, as they are asked for.
///
/// With voice activity detection a window is made of spans of speech, joined without the silence
/// between them, as many as fit into 30 s. A stretch that does not fit is cut in a pause; so is one
/// that would otherwise leave the window less than two thirds full. Without detection the windows
/// follow each other without a gap and are cut at the quietest places.
///
/// The network hears no more than the next window needs, so that the first window of a long
/// recording leaves at once. Memory holds the recording once.
pub struct Cutter {
    pcm: Vec<f32>,
    /// Where `pcm` begins in the recording.
    offset: usize,
    method: Method,
}

/// What a bounded part of the work gave.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The next window.
    Window(Window),
    /// Nothing yet; there is more to be examined.
    Unsettled,
    /// There are no more windows.
    End,
}

enum Method {
    /// Everything up to here is in a window.
    Quietest(usize),
    Speech(Box<Speech>),
}

struct Speech {
    network: Silero,
    /// Raises a faint recording to the level of the network's own.
    gain: f32,
    /// The network has heard everything up to here.
    heard: usize,
    packer: Packer,
}

impl Window {
    /// What follows `at_s` seconds of the window, as a window of its own; empty past the end.
    #[must_use]
    pub fn rest(&self, at_s: f64) -> Self {
        let samples = (at_s * f64::from(SAMPLE_RATE_HZ)).round() as usize;
        Self {
            pcm: self.pcm.get(samples..).unwrap_or_default().to_vec(),
            clock: self.clock.rest(samples),
        }
    }
}

impl Cutter {
    /// Cuts `clip` of a recording, with detection if there are options for it.
    #[must_use]
    pub fn new(mut pcm: Vec<f32>, clip: Clip, vad: Option<VadOptions>) -> Self {
        let offset = samples_in(clip.offset).min(pcm.len());
        if let Some(duration) = clip.duration {
            pcm.truncate(offset.saturating_add(samples_in(duration)));
        }
        pcm.drain(..offset);
        let method = match vad {
            None => Method::Quietest(0),
            Some(options) => Method::Speech(Box::new(Speech {
                network: Silero::new(),
                gain: gain(&pcm),
                heard: 0,
                packer: Packer::new(pcm.len(), &options),
            })),
        };
        Self {
            pcm,
            offset,
            method,
        }
    }

    /// The length of what is cut, in samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.pcm.len()
    }

    /// As [`next`](Self::next), but stops once the network has examined `samples`, so that hours
    /// without speech are not one piece of work.
    pub fn step(&mut self, samples: usize) -> Step {
        let packed = match &mut self.method {
            Method::Quietest(cut) => match next_piece(&self.pcm, cut) {
                Some(piece) => Packed::Window(vec![piece]),
                None => Packed::End,
            },
            Method::Speech(speech) => speech.next(&self.pcm, samples),
        };
        match packed {
            Packed::Window(pieces) => Step::Window(self.window(pieces)),
            Packed::Unsettled => Step::Unsettled,
            Packed::End => Step::End,
        }
    }

    fn window(&self, mut pieces: Vec<Piece>) -> Window {
        let samples = pieces.iter().map(|piece| piece.samples).sum();
        let mut pcm = Vec::with_capacity(samples);
        for piece in &mut pieces {
            pcm.extend_from_slice(&self.pcm[piece.start..piece.end()]);
            piece.start += self.offset;
        }
        Window {
            pcm,
            clock: Clock::new(pieces),
        }
    }
}

impl Iterator for Cutter {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        loop {
            match self.step(usize::MAX) {
                Step::Window(window) => return Some(window),
                Step::End => return None,
                Step::Unsettled => {}
            }
        }
    }
}

impl Speech {
    /// The next window, unless more than `samples` have to be examined for it.
    fn next(&mut self, pcm: &[f32], samples: usize) -> Packed {
        let stop = self.heard.saturating_add(samples);
        loop {
            match self.packer.next(pcm) {
                Packed::Unsettled if self.heard < stop => {
                    let end = pcm.len().min(self.heard + BLOCK_SAMPLES);
                    let block: Vec<f32> = pcm[self.heard..end]
                        .iter()
                        .map(|sample| sample * self.gain)
                        .collect();
                    self.packer.push(&self.network.probabilities(&block));
                    self.heard = end;
                }
                packed => return packed,
            }
        }
    }
}

/// What brings the loudest sample of a faint recording to [`FAINT_PEAK`]; 1 for any other.
fn gain(pcm: &[f32]) -> f32 {
    let peak = pcm
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    (FAINT_PEAK / peak).clamp(1.0, MAX_GAIN)
}

/// The next 30 s at most, from `cut` on, which is moved behind them.
fn next_piece(pcm: &[f32], cut: &mut usize) -> Option<Piece> {
    let start = *cut;
    *cut = match pcm.len() - start {
        0 => return None,
        1..=MAX_WINDOW_SAMPLES => pcm.len(),
        rest => {
            let latest = start + MAX_WINDOW_SAMPLES.min(rest - MIN_WINDOW_SAMPLES);
            let earliest = latest - ENERGY_SEARCH_SAMPLES;
            earliest + quietest_place(&pcm[earliest..latest])
        }
    };
    Some(Piece {
        start,
        samples: *cut - start,
    })
}

#[cfg(test)]
mod tests;
