//! Finds the turns of a speaker in a stream, frame by frame.

use std::time::Duration;

use super::VadOptions;
use crate::samples_in;

/// How turns are derived from the probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnOptions {
    /// Speech starts at a frame of at least this probability, 0 to 1.
    pub threshold: f32,
    /// Audio before the speech that belongs to the turn.
    pub prefix_padding: Duration,
    /// Silence that ends the turn; it belongs to the turn.
    pub silence: Duration,
}

/// The begin or the end of a turn, in samples of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEdge {
    /// A turn has begun at this position, its padding included.
    Begin(usize),
    /// The turn has ended at this position, its silence included.
    End(usize),
}

/// Finds turns by the rules of [`SpanTracker`](super::SpanTracker), which wants a whole recording: a frame of at
/// least the threshold begins speech or ends a silence, a frame below the lower threshold begins a silence or
/// continues it, and frames between the two change nothing. But the frame that ends a turn counts as silence, so
/// that a turn ends as soon as it can.
pub struct TurnTracker {
    threshold: f32,
    silence_threshold: f32,
    prefix_padding: usize,
    silence: usize,
    /// The end of the last frame.
    position: usize,
    /// No turn begins before this position.
    earliest: usize,
    is_in_turn: bool,
    silent_since: Option<usize>,
}

impl TurnTracker {
    /// A tracker at the beginning of a stream.
    #[must_use]
    pub fn new(options: &TurnOptions) -> Self {
        let mut tracker = Self {
            threshold: 0.0,
            silence_threshold: 0.0,
            prefix_padding: 0,
            silence: 0,
            position: 0,
            earliest: 0,
            is_in_turn: false,
            silent_since: None,
        };
        tracker.set_options(options);
        tracker
    }

    /// Changes the options from the next frame on.
    pub fn set_options(&mut self, options: &TurnOptions) {
        let TurnOptions {
            threshold,
            prefix_padding,
            silence,
        } = *options;
        let thresholds = VadOptions {
            threshold,
            ..VadOptions::default()
        };
        self.threshold = threshold;
        self.silence_threshold = thresholds.silence_threshold();
        self.prefix_padding = samples_in(prefix_padding);
        self.set_silence(silence);
    }

    /// Changes the silence that ends a turn, from the next frame on.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = samples_in(silence);
    }

    /// Processes the next frame, which has `samples` samples.
    pub fn push(&mut self, probability: f32, samples: usize) -> Option<TurnEdge> {
        let start = self.position;
        self.position += samples;
        if probability >= self.threshold {
            self.silent_since = None;
            if self.is_in_turn {
                return None;
            }
            self.is_in_turn = true;
            let padded = start.saturating_sub(self.prefix_padding);
            return Some(TurnEdge::Begin(padded.max(self.earliest)));
        }
        if !self.is_in_turn || probability >= self.silence_threshold {
            return None;
        }
        let since = *self.silent_since.get_or_insert(start);
        (self.position - since >= self.silence).then(|| {
            self.end_turn();
            TurnEdge::End(self.position)
        })
    }

    /// Ends the turn, if there is one, after the last frame: the next begins at its end at the earliest.
    pub fn end_turn(&mut self) {
        self.earliest = self.position;
        self.is_in_turn = false;
        self.silent_since = None;
    }

    /// The end of the last frame.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether the last frame belongs to speech, rather than to a silence.
    #[must_use]
    pub fn is_speech(&self) -> bool {
        self.is_in_turn && self.silent_since.is_none()
    }

    /// Where the silence in a turn has begun that lasts until now.
    #[must_use]
    pub fn silent_since(&self) -> Option<usize> {
        self.silent_since
    }
}

#[cfg(test)]
mod tests {
    use super::super::FRAME_SAMPLES;
    use super::super::silero::test_signals::sample_pcm;
    use super::super::stream::StreamDetector;
    use super::*;

    const OPTIONS: TurnOptions = TurnOptions {
        threshold: 0.5,
        prefix_padding: Duration::from_millis(64),
        silence: Duration::from_millis(96),
    };

    /// One frame a character: `#` is speech, `+` is between the thresholds, `.` is silence, `|` ends the turn.
    fn edges(frames: &str, options: &TurnOptions) -> Vec<TurnEdge> {
        let mut tracker = TurnTracker::new(options);
        let mut edges = Vec::new();
        for frame in frames.chars() {
            let probability = match frame {
                '#' => 0.5,
                '+' => 0.36,
                '|' => {
                    tracker.end_turn();
                    continue;
                }
                _ => 0.34,
            };
            edges.extend(tracker.push(probability, FRAME_SAMPLES));
        }
        edges
    }

    #[track_caller]
    fn check(frames: &str, expected: &[(usize, Option<usize>)]) {
        let mut turns = Vec::new();
        for edge in edges(frames, &OPTIONS) {
            match (edge, turns.last_mut()) {
                (TurnEdge::Begin(at), _) => turns.push((at / FRAME_SAMPLES, None)),
                (TurnEdge::End(at), Some((_, end))) => *end = Some(at / FRAME_SAMPLES),
                (TurnEdge::End(_), None) => panic!("no turn has begun"),
            }
        }
        assert_eq!(turns, expected, "{frames}");
    }

    #[test]
    fn a_turn_has_its_padding_and_its_silence() {
        check("", &[]);
        check("...++...", &[]);
        check("....##...", &[(2, Some(9))]);
        check("....##..", &[(2, None)]);
        check("#...", &[(0, Some(4))]);
    }

    #[test]
    fn thresholds_are_those_of_spans() {
        // Frames between the thresholds belong to what was before them.
        check("....#+++++...", &[(2, Some(13))]);
        check("....#..+.", &[(2, Some(9))]);
        check("....#..+", &[(2, None)]);
        check("....#..#...", &[(2, Some(11))]);
    }

    #[test]
    fn turns_do_not_overlap() {
        check("....#....#...", &[(2, Some(8)), (8, Some(13))]);
        check("....##|##|....#", &[(2, None), (6, None), (10, None)]);
    }

    #[test]
    fn finds_the_turn_of_a_sentence() {
        let (mut pcm, silence) = (vec![0.0; 16_000], vec![0.0; 32_000]);
        pcm.extend(sample_pcm());
        pcm.extend(silence);
        let mut detector = StreamDetector::new();
        let mut tracker = TurnTracker::new(&TurnOptions {
            prefix_padding: Duration::from_millis(300),
            silence: Duration::from_millis(1_500),
            ..OPTIONS
        });
        let edges: Vec<TurnEdge> = detector
            .push(&pcm)
            .into_iter()
            .filter_map(|probability| tracker.push(probability, FRAME_SAMPLES))
            .collect();
        let [TurnEdge::Begin(begin), TurnEdge::End(end)] = edges[..] else {
            panic!("{edges:?}");
        };
        // The sentence lasts from 0.3 to 10.6 s of its recording of 11 s.
        assert!((11_200..22_400).contains(&begin), "{begin}");
        assert!((205_000..219_000).contains(&end), "{end}");
    }
}
