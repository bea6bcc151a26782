//! Cuts a turn into pieces for its final text, while it grows.

use std::ops::Range;
use std::time::Duration;

use super::pause::{longest_pause, quietest_position};
use super::{ENERGY_SEARCH_SAMPLES, MIN_WINDOW_SAMPLES};
use crate::vad::{FRAME_SAMPLES, TurnOptions, VadOptions};
use crate::{SAMPLE_RATE_HZ, samples_in};

/// A piece of at least this length ends in the next pause.
const WELL_FILLED_SAMPLES: usize = 12 * SAMPLE_RATE_HZ as usize;

/// Maximum length of a piece.
const MAX_PIECE_SAMPLES: usize = 15 * SAMPLE_RATE_HZ as usize;

/// How far before the maximum length a pause is searched if there is none behind the first 12 s.
const PAUSE_SEARCH_SAMPLES: usize = 9 * SAMPLE_RATE_HZ as usize;

/// Silence after which a piece is complete unless speech goes on.
const PAUSE_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 5;

/// Silence after which a piece is complete in any case: as in uploads, more silence than this is not given to the
/// model.
const END_SAMPLES: usize = 2 * SAMPLE_RATE_HZ as usize;

/// A frame of the stream.
#[derive(Clone, Copy, Debug)]
pub struct PieceFrame {
    /// Its speech probability.
    pub probability: f32,
    /// Its length.
    pub samples: usize,
    /// [`TurnTracker::silent_since`](crate::TurnTracker::silent_since) behind it.
    pub silent_since: Option<usize>,
}

/// What a frame has changed. Ranges are in samples of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceEdge {
    /// This piece is complete.
    Closed(Range<usize>),
    /// Speech has paused: this piece is complete unless speech goes on.
    Paused(Range<usize>),
    /// Speech goes on, so the paused piece is not complete.
    Resumed,
}

/// Cuts one turn into pieces of at most 15 s. A piece begins with speech, its padding included, and ends
/// - in the first pause of 200 ms behind 12 s,
/// - at 15 s in the longest pause behind 12 s; if there is none, in the longest one behind 6 s, or at the quietest
///   position of the last 6 s,
/// - in a pause that becomes longer than 2 s, or
/// - with the turn.
///
/// All of it depends on audio alone.
pub struct PieceCutter {
    silence_threshold: f32,
    prefix_padding: usize,
    /// The end of the last frame.
    position: usize,
    /// The end of the last piece: the next does not begin before it.
    earliest: usize,
    piece: Option<Piece>,
}

/// The piece in progress.
struct Piece {
    start: usize,
    /// Where the frame of the first of `probabilities` begins.
    first_frame: usize,
    probabilities: Vec<f32>,
    /// The piece as it is if speech does not go on.
    paused: Option<Range<usize>>,
}

impl PieceCutter {
    /// The cutter of a turn that begins at `start`; its first frame begins at `position`.
    #[must_use]
    pub fn new(start: usize, position: usize, options: &TurnOptions) -> Self {
        let thresholds = VadOptions {
            threshold: options.threshold,
            ..VadOptions::default()
        };
        // More padding than this would leave too little of a piece.
        let prefix_padding = options.prefix_padding.min(Duration::from_secs(2));
        Self {
            silence_threshold: thresholds.silence_threshold(),
            prefix_padding: samples_in(prefix_padding),
            position,
            earliest: start,
            piece: None,
        }
    }

    /// Processes the next frame of the turn. `audio` is the audio that ends with it, at least [from](Self::needs) the
    /// position that is needed.
    pub fn push(&mut self, frame: PieceFrame, audio: &[f32]) -> Option<PieceEdge> {
        let frame_start = self.position;
        self.position += frame.samples;
        let earliest = frame_start
            .saturating_sub(self.prefix_padding)
            .max(self.earliest);
        if self.piece.is_none() && frame.silent_since.is_none() {
            self.piece = Some(Piece::new(earliest, frame_start));
        }
        let piece = self.piece.as_mut()?;
        piece.probabilities.push(frame.probability);
        let Some(since) = frame.silent_since else {
            if piece.paused.take().is_some() {
                return Some(PieceEdge::Resumed);
            }
            return self.cut_at_maximum(audio, None);
        };
        let silence = self.position - since;
        if let Some(paused) = &piece.paused {
            return (silence >= END_SAMPLES)
                .then(|| paused.clone())
                .map(|paused| self.close(paused));
        }
        if silence < PAUSE_SAMPLES {
            return self.cut_at_maximum(audio, Some(since));
        }
        if since >= piece.start + WELL_FILLED_SAMPLES {
            let range = piece.start..usize::midpoint(since, self.position);
            return Some(self.close(range));
        }
        let range = piece.start..self.position;
        piece.paused = Some(range.clone());
        Some(PieceEdge::Paused(range))
    }

    /// Ends the turn at `end`: the piece in progress, which is the paused one if speech has paused.
    #[must_use]
    pub fn finish(&mut self, end: usize) -> Option<Range<usize>> {
        let piece = self.piece.take()?;
        Some(piece.paused.unwrap_or(piece.start..end))
    }

    /// The first sample that a later piece may contain.
    #[must_use]
    pub fn needs(&self) -> usize {
        match &self.piece {
            Some(piece) => piece.start,
            None => self
                .position
                .saturating_sub(self.prefix_padding)
                .max(self.earliest),
        }
    }

    /// Cuts the piece if another frame would make it too long. The next one begins there, unless there is only
    /// silence behind it.
    fn cut_at_maximum(&mut self, audio: &[f32], silent_since: Option<usize>) -> Option<PieceEdge> {
        let piece = self.piece.as_mut()?;
        if self.position + FRAME_SAMPLES <= piece.start + MAX_PIECE_SAMPLES {
            return None;
        }
        let cut = piece.cut_position(self.position, self.silence_threshold, audio);
        let range = piece.start..cut;
        if silent_since.is_some_and(|since| since <= cut) {
            return Some(self.close(range));
        }
        piece.start = cut;
        piece.forget_frames_before(cut);
        self.earliest = cut;
        Some(PieceEdge::Closed(range))
    }

    fn close(&mut self, range: Range<usize>) -> PieceEdge {
        self.piece = None;
        self.earliest = range.end;
        PieceEdge::Closed(range)
    }
}

impl Piece {
    fn new(start: usize, first_frame: usize) -> Self {
        Self {
            start,
            first_frame,
            probabilities: Vec::new(),
            paused: None,
        }
    }

    /// Where to cut, before `end`, at which `audio` ends.
    fn cut_position(&self, end: usize, silence_threshold: f32, audio: &[f32]) -> usize {
        let earliest_pauses = [
            WELL_FILLED_SAMPLES,
            MAX_PIECE_SAMPLES - PAUSE_SEARCH_SAMPLES,
        ];
        let pause = earliest_pauses.into_iter().find_map(|earliest| {
            let from = (self.start + earliest).saturating_sub(self.first_frame);
            let within = from..end - self.first_frame;
            longest_pause(&self.probabilities, silence_threshold, &within)
        });
        if let Some(pause) = pause {
            return self.first_frame + pause;
        }
        let audio = &audio[audio.len().saturating_sub(ENERGY_SEARCH_SAMPLES)..];
        let searched = &audio[..audio.len().saturating_sub(MIN_WINDOW_SAMPLES)];
        end - audio.len() + quietest_position(searched)
    }

    /// Drops the probabilities of frames that end before `position`.
    fn forget_frames_before(&mut self, position: usize) {
        let frames = (position.saturating_sub(self.first_frame) / FRAME_SAMPLES)
            .min(self.probabilities.len());
        self.probabilities.drain(..frames);
        self.first_frame += frames * FRAME_SAMPLES;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vad::{TurnEdge, TurnTracker};

    const OPTIONS: TurnOptions = TurnOptions {
        threshold: 0.5,
        prefix_padding: Duration::from_millis(300),
        silence: Duration::MAX,
    };

    /// Cuts a turn whose speech has pauses, given in frames as alternating lengths of speech and silence.
    fn cut(runs: &[usize]) -> Vec<PieceEdge> {
        let mut tracker = TurnTracker::new(&OPTIONS);
        let mut cutter = None;
        let mut audio = Vec::new();
        let mut edges = Vec::new();
        for (index, frames) in runs.iter().enumerate() {
            let probability = if index % 2 == 0 { 0.9 } else { 0.1 };
            for _ in 0..*frames {
                // Loudness falls slowly, so the quietest position is the latest.
                let loudness = 1.0 / (1.0 + audio.len() as f32);
                audio.extend([loudness; FRAME_SAMPLES]);
                if let Some(TurnEdge::Begin(start)) = tracker.push(probability, FRAME_SAMPLES) {
                    let position = tracker.position() - FRAME_SAMPLES;
                    cutter = Some(PieceCutter::new(start, position, &OPTIONS));
                }
                let frame = PieceFrame {
                    probability,
                    samples: FRAME_SAMPLES,
                    silent_since: tracker.silent_since(),
                };
                let cutter = cutter.as_mut().unwrap();
                edges.extend(cutter.push(frame, &audio));
                assert!(cutter.needs() + MAX_PIECE_SAMPLES >= tracker.position());
            }
        }
        let rest = cutter.and_then(|mut cutter| cutter.finish(tracker.position()));
        edges.extend(rest.map(PieceEdge::Closed));
        edges
    }

    /// Pieces as frames; a middle of a pause is rounded down.
    #[track_caller]
    fn check(runs: &[usize], expected: &[(usize, usize)]) {
        let edges = cut(runs);
        let closed: Vec<(usize, usize)> = edges
            .iter()
            .filter_map(|edge| match edge {
                PieceEdge::Closed(range) => {
                    Some((range.start / FRAME_SAMPLES, range.end / FRAME_SAMPLES))
                }
                _ => None,
            })
            .collect();
        assert_eq!(closed, expected, "{edges:?}");
    }

    #[test]
    fn a_short_turn_is_one_piece() {
        check(&[100], &[(0, 100)]);
        check(&[50, 3, 47], &[(0, 100)]);
        // What follows the first 224 ms of silence is not a part of it.
        check(&[100, 30], &[(0, 107)]);
    }

    #[test]
    fn a_pause_is_complete_unless_speech_goes_on() {
        let edges = cut(&[100, 20, 50]);
        assert_eq!(
            edges,
            [
                PieceEdge::Paused(0..107 * FRAME_SAMPLES),
                PieceEdge::Resumed,
                PieceEdge::Closed(0..170 * FRAME_SAMPLES),
            ]
        );
    }

    #[test]
    fn a_long_silence_ends_a_piece() {
        // The second begins 300 ms before its speech.
        check(&[100, 100, 50], &[(0, 107), (190, 250)]);
        check(&[100, 62, 50], &[(0, 212)]);
        check(&[100, 63, 50], &[(0, 107), (153, 213)]);
    }

    #[test]
    fn the_first_pause_behind_12_s_ends_a_piece() {
        check(&[374, 20, 50], &[(0, 444)]);
        // 375 frames are 12 s; the piece ends in the middle of the first seven frames of the pause.
        check(&[375, 20, 50], &[(0, 378), (385, 445)]);
        check(&[375, 8], &[(0, 378)]);
    }

    #[test]
    fn at_15_s_a_piece_ends_in_its_longest_pause() {
        // 15 s are 468.75 frames.
        check(&[380, 4, 20, 6, 20, 5, 100], &[(0, 407), (407, 535)]);
        // None behind 12 s: the longest one behind 6 s.
        check(&[100, 6, 200, 4, 200], &[(0, 308), (308, 510)]);
        // None at all: the quietest position, which is as late as possible.
        let edges = cut(&[600]);
        let [PieceEdge::Closed(first), PieceEdge::Closed(rest)] = &edges[..] else {
            panic!("{edges:?}");
        };
        assert!((13 * 16_000..14 * 16_000).contains(&first.end), "{first:?}");
        assert_eq!(*rest, first.end..600 * FRAME_SAMPLES);
    }

    proptest! {
        /// Every frame of speech is in exactly one piece, and pieces are short and in order.
        #[test]
        fn pieces_contain_all_speech(runs in prop::collection::vec(1..120_usize, 1..40)) {
            let mut pieces = Vec::new();
            let mut paused = None;
            for edge in cut(&runs) {
                match edge {
                    PieceEdge::Closed(range) => {
                        prop_assert!(paused.take().is_none_or(|paused| paused == range));
                        pieces.push(range);
                    }
                    PieceEdge::Paused(range) => paused = Some(range),
                    PieceEdge::Resumed => prop_assert!(paused.take().is_some()),
                }
            }
            let mut end = 0;
            for piece in &pieces {
                prop_assert!(piece.start >= end && piece.end > piece.start);
                prop_assert!(piece.len() <= MAX_PIECE_SAMPLES);
                end = piece.end;
            }
            let mut frame = 0;
            for (index, frames) in runs.iter().enumerate() {
                if index % 2 == 0 {
                    for frame in frame..frame + frames {
                        let middle = frame * FRAME_SAMPLES + FRAME_SAMPLES / 2;
                        prop_assert!(pieces.iter().any(|piece| piece.contains(&middle)));
                    }
                }
                frame += frames;
            }
        }
    }
}
