//! Tests what follows the networks, on made windows.

use super::embedding::DIMENSIONS;
use super::segmentation::{CLASSES, LOCAL_SPEAKERS};
use super::window::{Activity, LocalVoice};
use super::*;

/// The vector of one of some people.
fn vector(person: usize) -> VoiceVector {
    let mut vector = [0.0; DIMENSIONS];
    vector[person] = 1.0;
    vector
}

/// A window whose local speakers are these people, with runs of classes and their lengths in frames.
fn window(people: [Option<usize>; LOCAL_SPEAKERS], runs: &[(usize, usize)]) -> LocalSpeakers {
    let activity = |class: usize| Activity {
        probabilities: [0, 1, 2].map(|local| f32::from(CLASSES[class].contains(&local))),
        class,
    };
    let voice = |person| LocalVoice {
        vector: vector(person),
        frames: 200,
    };
    LocalSpeakers {
        activities: runs
            .iter()
            .flat_map(|(class, frames)| std::iter::repeat_n(activity(*class), *frames))
            .collect(),
        voices: people.map(|person| person.map(voice)),
        pieces: Vec::new(),
    }
}

/// Speaker, first and last frame of each span.
fn frames_of(diarization: &Diarization) -> Vec<(usize, usize, usize)> {
    let frame = |seconds: f64| ((seconds * 16_000.0 - 360.0) / 270.0).round() as usize;
    let spans = diarization.spans.iter();
    spans
        .map(|span| (span.speaker, frame(span.start_s), frame(span.end_s)))
        .collect()
}

#[test]
fn speakers_are_numbered_by_their_first_words() {
    let windows = [
        window([Some(7), Some(3), None], &[(2, 200), (1, 389)]),
        window([None, Some(7), Some(3)], &[(2, 293), (3, 296)]),
    ];
    let diarization = diarize(&[0, 296], &windows, 100.0, SpeakerCount::default());
    let expected = [(0, 0, 200), (1, 200, 589), (0, 589, 885)];
    assert_eq!(frames_of(&diarization), expected);
    let voices: Vec<usize> = diarization
        .voices
        .iter()
        .map(|voice| voice.0.iter().position(|value| *value == 1.0).unwrap())
        .collect();
    assert_eq!(voices, [3, 7]);
}

#[test]
fn a_voice_of_less_than_a_second_joins_another() {
    let windows = [window(
        [Some(0), Some(1), None],
        &[(1, 300), (2, 50), (1, 239)],
    )];
    let found = diarize(&[0], &windows, 100.0, SpeakerCount::default());
    assert_eq!(frames_of(&found), [(0, 0, 589)]);
    let windows = [window(
        [Some(0), Some(1), None],
        &[(1, 300), (2, 60), (1, 229)],
    )];
    let found = diarize(&[0], &windows, 100.0, SpeakerCount::default());
    assert_eq!(found.voices.len(), 2, "60 frames are more than a second");
    // As long as there are as many speakers as the caller knows of.
    let windows = [window(
        [Some(0), Some(1), None],
        &[(1, 300), (2, 50), (1, 239)],
    )];
    let two = SpeakerCount::exactly(NonZeroUsize::new(2).unwrap());
    assert_eq!(diarize(&[0], &windows, 100.0, two).voices.len(), 2);
}

#[test]
fn nobody_speaks_in_silence() {
    let windows = [window([None; 3], &[(0, 589)])];
    let found = diarize(&[0], &windows, 10.0, SpeakerCount::default());
    assert!(found.spans.is_empty() && found.voices.is_empty());
    let found = diarize(&[], &[], 0.0, SpeakerCount::default());
    assert!(found.spans.is_empty());
}

#[test]
fn the_memory_of_a_recording_is_bounded() {
    let hour = 3_600 * 16_000;
    let megabytes = |hours: usize| Diarizer::bytes_of(hours * hour) >> 20;
    assert_eq!([1, 2, 24].map(megabytes), [85, 136, 1_242]);
    assert!(Diarizer::bytes_of(0) < 1 << 20);
}
