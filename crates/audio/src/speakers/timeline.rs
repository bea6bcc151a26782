//! When each speaker speaks, by the votes of overlapping windows.

use std::collections::VecDeque;
use std::ops::Range;

use super::cluster::Assignment;
use super::segmentation::{CLASSES, FIRST_FRAME_MIDDLE, FRAME_STEP, WINDOW_FRAMES};
use super::window::LocalSpeakers;
use crate::SAMPLE_RATE_HZ;

/// A speaker without interruption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpeakerSpan {
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds; after its start.
    pub end_s: f64,
    /// The speaker, counted from 0.
    pub speaker: usize,
}

/// The spans of the speakers, by the votes of the windows for each frame.
///
/// Windows are added in order of their starts, so that only the frames of the last window are undecided: the
/// memory depends on the number of spans, not on that of frames or speakers.
#[derive(Default)]
pub struct Timeline {
    /// The first undecided frame.
    first: usize,
    undecided: VecDeque<Votes>,
    /// First frame and speaker of the spans that have not ended.
    open: Vec<(usize, usize)>,
    /// Frames and speaker of the others.
    ended: Vec<(Range<usize>, usize)>,
}

/// Votes of the windows for a frame.
#[derive(Default)]
struct Votes {
    /// Speakers, each with the sum of the windows' probabilities.
    scores: Vec<(usize, f32)>,
    /// Sum of the windows' numbers of speakers.
    speakers: f32,
    /// Sum of the windows' weights.
    weights: f32,
}

impl Timeline {
    /// Adds a window that starts at frame `first`, not before the one added before.
    pub fn add(&mut self, first: usize, window: &LocalSpeakers, assignment: &Assignment) {
        self.decide(first);
        let mut speakers = vec![assignment.locals; window.activities.len()];
        for (piece, speaker) in window.pieces.iter().zip(&assignment.pieces) {
            for frame in &mut speakers[piece.frames.clone()] {
                frame[piece.local] = Some(*speaker);
            }
        }
        let frames = window.activities.len().max(self.undecided.len());
        self.undecided.resize_with(frames, Votes::default);
        let activities = window.activities.iter().zip(&speakers).enumerate();
        for ((index, (activity, speakers)), votes) in activities.zip(&mut self.undecided) {
            // The network knows more about the middle of a window than about its ends.
            let weight = weight(index);
            for (probability, speaker) in activity.probabilities.iter().zip(speakers) {
                if let Some(speaker) = speaker {
                    votes.add(*speaker, weight * probability);
                }
            }
            let mut active: Vec<usize> = CLASSES[activity.class]
                .iter()
                .filter_map(|local| speakers[*local])
                .collect();
            active.dedup();
            votes.speakers += weight * active.len() as f32;
            votes.weights += weight;
        }
    }

    /// The spans of all speakers, each at most until `end_s`: by start, then by speaker.
    pub fn spans(mut self, end_s: f64) -> Vec<SpeakerSpan> {
        self.decide(usize::MAX);
        self.ended
            .retain(|(frames, _)| edge_s(frames.start) < end_s);
        self.ended
            .sort_unstable_by_key(|(frames, speaker)| (frames.start, *speaker));
        let span = |(frames, speaker): (Range<usize>, usize)| SpeakerSpan {
            start_s: edge_s(frames.start),
            end_s: edge_s(frames.end).min(end_s),
            speaker,
        };
        self.ended.into_iter().map(span).collect()
    }

    /// Decides the frames before frame `end`.
    fn decide(&mut self, end: usize) {
        while self.first < end
            && let Some(votes) = self.undecided.pop_front()
        {
            self.show(&votes.active());
            self.first += 1;
        }
        if self.first < end {
            // Nobody speaks between windows.
            self.show(&[]);
            self.first = end;
        }
    }

    /// Ends the spans of the speakers who are not active in the first undecided frame, and begins those of the
    /// others.
    fn show(&mut self, active: &[usize]) {
        let frame = self.first;
        let ended = self
            .open
            .extract_if(.., |(_, speaker)| !active.contains(speaker));
        self.ended
            .extend(ended.map(|(start, speaker)| (start..frame, speaker)));
        for &speaker in active {
            if self.open.iter().all(|(_, open)| *open != speaker) {
                self.open.push((frame, speaker));
            }
        }
    }
}

impl Votes {
    fn add(&mut self, speaker: usize, score: f32) {
        match self.scores.iter_mut().find(|(other, _)| *other == speaker) {
            Some((_, sum)) => *sum += score,
            None => self.scores.push((speaker, score)),
        }
    }

    /// The speakers: as many as the windows say, those with the highest scores, of equal ones the first.
    fn active(mut self) -> Vec<usize> {
        let count = if self.weights > 0.0 {
            (self.speakers / self.weights).round() as usize
        } else {
            0
        };
        self.scores.retain(|(_, score)| *score > 0.0);
        self.scores
            .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let speakers = self.scores.into_iter().map(|(speaker, _)| speaker);
        speakers.take(count).collect()
    }
}

/// Weight of a frame of a window: half at its ends, one in its middle.
fn weight(frame: usize) -> f32 {
    let to_end = frame.min(WINDOW_FRAMES - 1 - frame) as f32;
    0.5 + to_end / (WINDOW_FRAMES - 1) as f32
}

/// Where a frame begins: half a step before its middle.
fn edge_s(frame: usize) -> f64 {
    let sample = (frame * FRAME_STEP + FIRST_FRAME_MIDDLE - FRAME_STEP / 2) as f64;
    sample / f64::from(SAMPLE_RATE_HZ)
}

#[cfg(test)]
mod tests {
    use super::super::cluster::Locals;
    use super::super::embedding::DIMENSIONS;
    use super::super::window::{Activity, Piece};
    use super::*;

    /// A window with the probability of one for each of these classes.
    fn window(classes: &[usize]) -> LocalSpeakers {
        let activity = |class: &usize| Activity {
            probabilities: [0, 1, 2].map(|local| f32::from(CLASSES[*class].contains(&local))),
            class: *class,
        };
        LocalSpeakers {
            activities: classes.iter().map(activity).collect(),
            voices: [None, None, None],
            pieces: Vec::new(),
        }
    }

    fn locals(locals: Locals) -> Assignment {
        Assignment {
            locals,
            pieces: Vec::new(),
        }
    }

    #[track_caller]
    fn check(timeline: Timeline, expected: &[(usize, usize, usize)]) {
        let spans = timeline.spans(f64::MAX);
        let expected: Vec<SpeakerSpan> = expected
            .iter()
            .map(|&(start, end, speaker)| SpeakerSpan {
                start_s: edge_s(start),
                end_s: edge_s(end),
                speaker,
            })
            .collect();
        assert_eq!(spans, expected);
    }

    #[test]
    fn frames_become_spans_of_the_assigned_speakers() {
        // Local speaker 1, both, local speaker 0, nobody, and one who is not assigned.
        let window = window(&[2, 2, 4, 1, 1, 0, 3, 1]);
        let timeline = || {
            let mut timeline = Timeline::default();
            timeline.add(0, &window, &locals([Some(0), Some(1), None]));
            timeline
        };
        check(timeline(), &[(0, 3, 1), (2, 5, 0), (7, 8, 0)]);
        assert_eq!(timeline().spans(edge_s(4))[1].end_s, edge_s(4));
        let before_the_third = timeline().spans(edge_s(7));
        assert_eq!(before_the_third.len(), 2, "the third starts at the end");
    }

    #[test]
    fn the_window_whose_middle_is_nearer_decides() {
        let mut timeline = Timeline::default();
        timeline.add(
            0,
            &window(&[1; WINDOW_FRAMES]),
            &locals([Some(0), None, None]),
        );
        timeline.add(
            1,
            &window(&[2; WINDOW_FRAMES]),
            &locals([None, Some(1), None]),
        );
        let middle = WINDOW_FRAMES / 2 + 1;
        check(timeline, &[(0, middle, 0), (middle, WINDOW_FRAMES + 1, 1)]);
    }

    #[test]
    fn local_speakers_of_one_voice_count_once() {
        let mut timeline = Timeline::default();
        timeline.add(0, &window(&[4, 4]), &locals([Some(0), Some(0), None]));
        check(timeline, &[(0, 2, 0)]);
    }

    #[test]
    fn a_piece_may_have_another_speaker_than_the_rest() {
        let mut timeline = Timeline::default();
        let mut window = window(&[1; 6]);
        window.pieces.push(Piece {
            local: 0,
            frames: 2..4,
            vector: [0.0; DIMENSIONS],
        });
        let mut assignment = locals([Some(0), None, None]);
        assignment.pieces.push(1);
        timeline.add(0, &window, &assignment);
        check(timeline, &[(0, 2, 0), (2, 4, 1), (4, 6, 0)]);
    }
}
