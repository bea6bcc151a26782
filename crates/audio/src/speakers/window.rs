//! The local speakers of a window: when each speaks, and how the voice sounds.

use std::ops::Range;

use super::embedding::{Embedding, VoiceVector, normalised};
use super::filter_bank::{self, Frame};
use super::segmentation::{
    CLASSES, ClassProbabilities, FIRST_FRAME_MIDDLE, FRAME_STEP, LOCAL_SPEAKERS, Segmentation,
    WINDOW_FRAMES, WINDOW_SAMPLES,
};

/// Minimum number of feature frames, of 10 ms each, for a vector.
const MIN_VECTOR_FRAMES: usize = 25;

/// Minimum number for a vector of a piece. Vectors of less are too noisy to form clusters.
const MIN_PIECE_FRAMES: usize = 100;

/// Most pieces of a window: they do not overlap.
pub const MAX_PIECES: usize = WINDOW_SAMPLES / filter_bank::FRAME_STEP / MIN_PIECE_FRAMES;

/// Maximum number for a vector. Within a window, the segmentation may take two voices for one, so that a
/// piece is short enough to hold one voice.
const MAX_PIECE_FRAMES: usize = 300;

/// What the networks say about a window.
pub struct LocalSpeakers {
    /// Which of them speak in each frame.
    pub activities: Vec<Activity>,
    /// The voice of each, if it was alone for long enough.
    pub voices: [Option<LocalVoice>; LOCAL_SPEAKERS],
    /// The voices in longer pieces of speech without interruption.
    pub pieces: Vec<Piece>,
}

/// A piece of speech of one local speaker, while nobody else speaks.
pub struct Piece {
    pub local: usize,
    /// Frames of the window.
    pub frames: Range<usize>,
    pub vector: VoiceVector,
}

/// Who speaks in a frame of a window.
#[derive(Clone, Copy)]
pub struct Activity {
    /// Probability that each local speaker speaks.
    pub probabilities: [f32; LOCAL_SPEAKERS],
    /// Index of the most probable of the [`CLASSES`].
    pub class: usize,
}

/// The voice of a local speaker.
pub struct LocalVoice {
    pub vector: VoiceVector,
    /// Feature frames in which nobody else speaks.
    pub frames: usize,
}

/// Applies both networks to a window.
pub fn analyse(segmentation: &Segmentation, embedding: &Embedding, pcm: &[f32]) -> LocalSpeakers {
    let activities: Vec<Activity> = segmentation
        .probabilities(pcm)
        .iter()
        .map(Activity::new)
        .collect();
    let features = filter_bank::compute(pcm);
    let mut pieces = Vec::new();
    let voices = std::array::from_fn(|local| {
        let alone = |frame: usize| CLASSES[activities[nearest_frame(frame)].class] == [local];
        let runs = runs(features.len(), alone);
        let first = pieces.len();
        for piece in runs.iter().flat_map(divide) {
            pieces.push(Piece {
                local,
                frames: nearest_frame(piece.start)..nearest_frame(piece.end),
                vector: embedding.vector(&features[piece]),
            });
        }
        voice_of(embedding, &features, &runs, &pieces[first..])
    });
    LocalSpeakers {
        activities,
        voices,
        pieces,
    }
}

/// Ranges of feature frames in which a local speaker is alone.
fn runs(count: usize, is_alone: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for frame in (0..count).filter(|frame| is_alone(*frame)) {
        match runs.last_mut() {
            Some(run) if run.end == frame => run.end += 1,
            _ => runs.push(frame..frame + 1),
        }
    }
    runs
}

/// Divides a run into equal pieces; a short run has none.
fn divide(run: &Range<usize>) -> Vec<Range<usize>> {
    if run.len() < MIN_PIECE_FRAMES {
        return Vec::new();
    }
    let count = run.len().div_ceil(MAX_PIECE_FRAMES);
    let border = |index: usize| run.start + run.len() * index / count;
    (0..count)
        .map(|index| border(index)..border(index + 1))
        .collect()
}

/// The voice of a local speaker: the mean of its pieces, or without any, the vector of its short runs.
fn voice_of(
    embedding: &Embedding,
    features: &[Frame],
    runs: &[Range<usize>],
    pieces: &[Piece],
) -> Option<LocalVoice> {
    let frames = runs.iter().map(ExactSizeIterator::len).sum();
    if frames < MIN_VECTOR_FRAMES {
        return None;
    }
    let vector = if pieces.is_empty() {
        let parts = runs.iter().flat_map(|run| &features[run.clone()]);
        let parts: Vec<Frame> = parts.take(MAX_PIECE_FRAMES).copied().collect();
        embedding.vector(&parts)
    } else {
        let sum = |index: usize| pieces.iter().map(|piece| piece.vector[index]).sum();
        normalised(&std::array::from_fn(sum))
    };
    Some(LocalVoice { vector, frames })
}

/// The segmentation's frame that is nearest to the middle of a feature frame.
fn nearest_frame(feature_frame: usize) -> usize {
    let middle = feature_frame * filter_bank::FRAME_STEP + filter_bank::FRAME_SAMPLES / 2;
    let since_first = (middle + FRAME_STEP / 2).saturating_sub(FIRST_FRAME_MIDDLE);
    (since_first / FRAME_STEP).min(WINDOW_FRAMES - 1)
}

impl Activity {
    fn new(probabilities: &ClassProbabilities) -> Self {
        let mut of_speakers = [0.0; LOCAL_SPEAKERS];
        let mut class = 0;
        for (index, (probability, speakers)) in probabilities.iter().zip(CLASSES).enumerate() {
            for speaker in speakers {
                of_speakers[*speaker] += probability;
            }
            if *probability > probabilities[class] {
                class = index;
            }
        }
        Self {
            probabilities: of_speakers,
            class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_frames_and_frames_meet_in_their_middle() {
        assert_eq!(nearest_frame(0), 0);
        for frame in 0..998 {
            let middle = frame * 160 + 200;
            let nearest = nearest_frame(frame) * FRAME_STEP + FIRST_FRAME_MIDDLE;
            let inside = (360..=159_255 + 135).contains(&middle);
            assert!(
                !inside || middle.abs_diff(nearest) <= FRAME_STEP / 2,
                "{frame}"
            );
        }
    }

    #[test]
    fn runs_are_divided_into_pieces_of_one_to_three_seconds() {
        let alone = |frame: usize| {
            [0..99, 100..200, 300..902]
                .iter()
                .any(|run| run.contains(&frame))
        };
        let runs = runs(998, alone);
        assert_eq!(runs, [0..99, 100..200, 300..902]);
        let pieces: Vec<Range<usize>> = runs.iter().flat_map(divide).collect();
        assert_eq!(pieces, [100..200, 300..500, 500..701, 701..902]);
    }

    #[test]
    fn the_probability_of_a_speaker_is_that_of_all_its_classes() {
        let activity = Activity::new(&[0.1, 0.1, 0.0, 0.2, 0.4, 0.2, 0.0]);
        assert_eq!(activity.class, 4);
        let expected = [0.7, 0.4, 0.4];
        for (found, expected) in activity.probabilities.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
