//! When each speaker speaks, by the votes of overlapping windows.

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

/// Votes of the windows for each frame of the recording.
pub struct Timeline {
    speakers: usize,
    /// Sum of the windows' probabilities of each speaker, for each frame.
    scores: Vec<f32>,
    /// Sum of the windows' numbers of speakers, and of the windows' weights.
    counts: Vec<[f32; 2]>,
}

impl Timeline {
    pub fn new(frames: usize, speakers: usize) -> Self {
        Self {
            speakers,
            scores: vec![0.0; frames * speakers],
            counts: vec![[0.0; 2]; frames],
        }
    }

    /// Adds a window that starts at frame `first`.
    pub fn add(&mut self, first: usize, window: &LocalSpeakers, assignment: &Assignment) {
        let mut speakers = vec![assignment.locals; window.activities.len()];
        for (piece, speaker) in window.pieces.iter().zip(&assignment.pieces) {
            for frame in &mut speakers[piece.frames.clone()] {
                frame[piece.local] = Some(*speaker);
            }
        }
        let frames = self.counts.len().saturating_sub(first);
        let activities = window.activities.iter().zip(&speakers).enumerate();
        for (index, (activity, speakers)) in activities.take(frames) {
            // The network knows more about the middle of a window than about its ends.
            let weight = weight(index);
            let frame = first + index;
            let scores = &mut self.scores[frame * self.speakers..][..self.speakers];
            for (probability, speaker) in activity.probabilities.iter().zip(speakers) {
                if let Some(speaker) = speaker {
                    scores[*speaker] += weight * probability;
                }
            }
            let mut active: Vec<usize> = CLASSES[activity.class]
                .iter()
                .filter_map(|local| speakers[*local])
                .collect();
            active.dedup();
            let count = active.len();
            let [sum, weights] = &mut self.counts[frame];
            *sum += weight * count as f32;
            *weights += weight;
        }
    }

    /// The spans of all speakers, each at most until `end_s`: by start, then by speaker.
    pub fn spans(&self, end_s: f64) -> Vec<SpeakerSpan> {
        let active = self.active();
        let mut spans = Vec::new();
        for speaker in 0..self.speakers {
            let frames = active.iter().map(|active| active.contains(&speaker));
            for run in runs(frames) {
                let (start_s, end) = (edge_s(run.start), edge_s(run.end));
                if start_s < end_s {
                    spans.push(SpeakerSpan {
                        start_s,
                        end_s: end.min(end_s),
                        speaker,
                    });
                }
            }
        }
        spans.sort_by(|a, b| {
            a.start_s
                .total_cmp(&b.start_s)
                .then(a.speaker.cmp(&b.speaker))
        });
        spans
    }

    /// The speakers of each frame: as many as the windows say, those with the highest scores.
    fn active(&self) -> Vec<Vec<usize>> {
        let frames = self.counts.iter().enumerate();
        frames
            .map(|(frame, [sum, weights])| {
                let scores = &self.scores[frame * self.speakers..][..self.speakers];
                let count = if *weights > 0.0 {
                    (sum / weights).round() as usize
                } else {
                    0
                };
                let mut by_score: Vec<usize> = (0..self.speakers)
                    .filter(|speaker| scores[*speaker] > 0.0)
                    .collect();
                by_score.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                by_score.truncate(count);
                by_score
            })
            .collect()
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

/// Ranges in which the frames are true.
fn runs(frames: impl Iterator<Item = bool>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (frame, _) in frames.enumerate().filter(|(_, active)| *active) {
        match runs.last_mut() {
            Some(run) if run.end == frame => run.end += 1,
            _ => runs.push(frame..frame + 1),
        }
    }
    runs
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
    fn check(timeline: &Timeline, expected: &[(usize, usize, usize)]) {
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
        let mut timeline = Timeline::new(8, 2);
        // Local speaker 1, both, local speaker 0, nobody, and one who is not assigned.
        let window = window(&[2, 2, 4, 1, 1, 0, 3, 1]);
        timeline.add(0, &window, &locals([Some(0), Some(1), None]));
        check(&timeline, &[(0, 3, 1), (2, 5, 0), (7, 8, 0)]);
        assert_eq!(timeline.spans(edge_s(4))[1].end_s, edge_s(4));
        assert_eq!(
            timeline.spans(edge_s(7)).len(),
            2,
            "the third starts at the end"
        );
    }

    #[test]
    fn the_window_whose_middle_is_nearer_decides() {
        let mut timeline = Timeline::new(WINDOW_FRAMES + 2, 2);
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
        check(&timeline, &[(0, middle, 0), (middle, WINDOW_FRAMES + 1, 1)]);
    }

    #[test]
    fn local_speakers_of_one_voice_count_once() {
        let mut timeline = Timeline::new(2, 2);
        timeline.add(0, &window(&[4, 4]), &locals([Some(0), Some(0), None]));
        check(&timeline, &[(0, 2, 0)]);
    }

    #[test]
    fn a_piece_may_have_another_speaker_than_the_rest() {
        let mut timeline = Timeline::new(6, 2);
        let mut window = window(&[1; 6]);
        window.pieces.push(Piece {
            local: 0,
            frames: 2..4,
            vector: [0.0; DIMENSIONS],
        });
        let mut assignment = locals([Some(0), None, None]);
        assignment.pieces.push(1);
        timeline.add(0, &window, &assignment);
        check(&timeline, &[(0, 2, 0), (2, 4, 1), (4, 6, 0)]);
    }
}
