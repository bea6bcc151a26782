//! The local speakers of a window: when each speaks, and how the voice sounds.

use super::embedding::{Embedding, VoiceVector};
use super::filter_bank::{self, Frame};
use super::segmentation::{
    CLASSES, ClassProbabilities, FIRST_FRAME_MIDDLE, FRAME_STEP, LOCAL_SPEAKERS, Segmentation,
    WINDOW_FRAMES,
};

/// Minimum number of feature frames, of 10 ms each, for a vector.
const MIN_VECTOR_FRAMES: usize = 25;

/// Maximum number of feature frames for a vector. More take longer and hardly change it.
const MAX_VECTOR_FRAMES: usize = 400;

/// What the networks say about a window.
pub struct LocalSpeakers {
    /// Which of them speak in each frame.
    pub activities: Vec<Activity>,
    /// The voice of each, if it was alone for long enough.
    pub voices: [Option<LocalVoice>; LOCAL_SPEAKERS],
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
    let voices = std::array::from_fn(|speaker| {
        let alone = |frame: usize| CLASSES[activities[nearest_frame(frame)].class] == [speaker];
        voice_of(embedding, &features, alone)
    });
    LocalSpeakers { activities, voices }
}

/// The voice in those feature frames that `is_alone` selects.
fn voice_of(
    embedding: &Embedding,
    features: &[Frame],
    is_alone: impl Fn(usize) -> bool,
) -> Option<LocalVoice> {
    let mut runs: Vec<&[Frame]> = Vec::new();
    let mut start = None;
    for frame in 0..=features.len() {
        let alone = frame < features.len() && is_alone(frame);
        match start {
            None if alone => start = Some(frame),
            Some(first) if !alone => {
                runs.push(&features[first..frame]);
                start = None;
            }
            _ => {}
        }
    }
    let frames = runs.iter().map(|run| run.len()).sum();
    if frames < MIN_VECTOR_FRAMES {
        return None;
    }
    Some(LocalVoice {
        vector: embedding.vector(&selected(&runs)),
        frames,
    })
}

/// At most [`MAX_VECTOR_FRAMES`], from the longest runs, in order of time.
fn selected(runs: &[&[Frame]]) -> Vec<Frame> {
    let mut by_length: Vec<usize> = (0..runs.len()).collect();
    by_length.sort_by_key(|run| std::cmp::Reverse(runs[*run].len()));
    let mut left = MAX_VECTOR_FRAMES;
    let mut taken = vec![0; runs.len()];
    for run in by_length {
        taken[run] = runs[run].len().min(left);
        left -= taken[run];
    }
    let parts = runs
        .iter()
        .zip(taken)
        .flat_map(|(run, taken)| &run[..taken]);
    parts.copied().collect()
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
    fn takes_the_longest_runs_in_order() {
        let frames = |value: f32, count: usize| vec![[value; filter_bank::BINS]; count];
        let runs = [frames(1.0, 100), frames(2.0, 50), frames(3.0, 350)];
        let runs: Vec<&[Frame]> = runs.iter().map(Vec::as_slice).collect();
        let selected: Vec<f32> = selected(&runs).iter().map(|frame| frame[0]).collect();
        let expected = [vec![1.0; 50], vec![3.0; 350]].concat();
        assert_eq!(selected, expected);
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
