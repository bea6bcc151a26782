use std::num::NonZeroUsize;

use super::*;
use crate::speakers::window::LocalVoice;

/// A voice at an angle, in degrees, of a person who has an axis of their own for each hundred.
fn voice(angle: f32) -> VoiceVector {
    let person = 2 * (angle / 100.0) as usize;
    let mut vector = [0.0; DIMENSIONS];
    vector[person] = (angle % 100.0).to_radians().cos();
    vector[person + 1] = (angle % 100.0).to_radians().sin();
    vector
}

/// A window with local speakers of these angles and numbers of frames; a long one is a piece.
fn window(voices: [Option<(f32, usize)>; LOCAL_SPEAKERS]) -> LocalSpeakers {
    let local = |(angle, frames)| LocalVoice {
        vector: voice(angle),
        frames,
    };
    let voices = voices.map(|voice| voice.map(local));
    let long = voices.iter().enumerate().filter_map(|(index, voice)| {
        let voice = voice.as_ref().filter(|voice| voice.frames >= 100)?;
        Some(Piece {
            local: index,
            frames: 0..voice.frames,
            vector: voice.vector,
        })
    });
    LocalSpeakers {
        activities: Vec::new(),
        pieces: long.collect(),
        voices,
    }
}

fn long(angle: f32) -> Option<(f32, usize)> {
    Some((angle, 300))
}

#[track_caller]
fn check(windows: &[LocalSpeakers], count: SpeakerCount, expected: &[Locals]) {
    let found = locals(windows, 1_000, count);
    assert_eq!(found, expected);
    // In blocks of four vectors the result is the same.
    assert_eq!(locals(windows, 4, count), expected);
}

fn locals(windows: &[LocalSpeakers], most: usize, count: SpeakerCount) -> Vec<Locals> {
    let clusters = cluster(windows, most, count);
    clusters
        .assignments
        .iter()
        .map(|assignment| assignment.locals)
        .collect()
}

fn bounds(min: usize, max: usize) -> SpeakerCount {
    SpeakerCount {
        min,
        max: NonZeroUsize::new(max),
    }
}

/// Three windows of two people, in two orders.
fn two_people() -> [LocalSpeakers; 3] {
    [
        window([long(0.0), None, long(110.0)]),
        window([long(120.0), long(5.0), None]),
        window([None, long(10.0), None]),
    ]
}

#[test]
fn the_same_voice_is_the_same_speaker_in_all_windows() {
    let expected = [
        [Some(0), None, Some(1)],
        [Some(1), Some(0), None],
        [None, Some(0), None],
    ];
    check(&two_people(), SpeakerCount::default(), &expected);
    check(&[], SpeakerCount::default(), &[]);
    check(&[window([None; 3])], SpeakerCount::default(), &[[None; 3]]);
}

#[test]
fn the_number_of_speakers_can_be_bounded() {
    let found = |count| {
        let clusters = cluster(&two_people(), 1_000, count);
        clusters.voices.len()
    };
    assert_eq!(found(bounds(0, 9)), 2);
    assert_eq!(found(bounds(2, 2)), 2);
    assert_eq!(found(bounds(0, 1)), 1);
    assert_eq!(found(bounds(4, 4)), 4);
    assert_eq!(found(bounds(9, 9)), 5, "there are only five voices");
    // In excess of the speakers, a local speaker has none.
    let found = locals(&two_people(), 1_000, bounds(1, 1));
    assert_eq!(found[2], [None, Some(0), None]);
    for locals in found {
        assert_eq!(locals.iter().flatten().count(), 1);
    }
}

#[test]
fn local_speakers_of_a_window_are_different_speakers() {
    // The second is nearer to the first speaker than to the other, but that one is taken.
    let windows = [
        window([long(0.0), None, None]),
        window([long(90.0), None, None]),
        window([long(1.0), long(40.0), None]),
    ];
    let found = cluster(&windows, 1_000, bounds(2, 2));
    assert_eq!(found.assignments[2].locals, [Some(0), Some(1), None]);
}

#[test]
fn short_voices_do_not_form_clusters() {
    let windows = [
        window([long(0.0), long(110.0), None]),
        window([Some((60.0, 30)), None, None]),
    ];
    let expected = [[Some(0), Some(1), None], [Some(0), None, None]];
    check(&windows, SpeakerCount::default(), &expected);
    // Unless there are no others.
    let windows = [window([Some((0.0, 30)), Some((110.0, 30)), None])];
    check(
        &windows,
        SpeakerCount::default(),
        &[[Some(0), Some(1), None]],
    );
}

#[test]
fn a_piece_of_another_voice_goes_to_that_speaker() {
    let mut windows = two_people();
    // The segmentation took a piece of the other person for the first local speaker.
    windows[0].pieces.push(Piece {
        local: 0,
        frames: 400..500,
        vector: voice(115.0),
    });
    let found = cluster(&windows, 1_000, SpeakerCount::default());
    let expected = Assignment {
        locals: [Some(0), None, Some(1)],
        pieces: vec![0, 1, 1],
    };
    assert_eq!(found.assignments[0], expected);
}

#[test]
fn a_voice_of_a_single_window_is_not_a_speaker_unless_the_caller_knows_of_it() {
    let alone = |angle: f32| window([long(angle), None, None]);
    let found = |angles: &[f32], count| {
        let windows: Vec<LocalSpeakers> = angles.iter().copied().map(alone).collect();
        cluster(&windows, 1_000, count).voices.len()
    };
    let brief = [0.0, 0.0, 110.0, 0.0, 0.0];
    assert_eq!(found(&brief, SpeakerCount::default()), 1);
    assert_eq!(found(&brief, bounds(2, 3)), 2);
    assert_eq!(found(&[0.0, 110.0, 110.0, 0.0], SpeakerCount::default()), 2);
    // The ends of the recording are in one window only.
    assert_eq!(found(&[110.0, 0.0, 0.0, 210.0], SpeakerCount::default()), 3);
}

#[test]
fn many_vectors_are_clustered_in_blocks() {
    let person = |index: usize| index / 20 % 3;
    let windows: Vec<LocalSpeakers> = (0..600)
        .map(|index| window([long(100.0 * person(index) as f32), None, None]))
        .collect();
    let expected: Vec<Locals> = (0..600)
        .map(|index| [Some(person(index)), None, None])
        .collect();
    assert_eq!(locals(&windows, 64, SpeakerCount::default()), expected);
}

#[test]
fn blocks_of_unlike_voices_are_clustered_until_few_are_left() {
    // No two of them are alike.
    let windows: Vec<LocalSpeakers> = (0..90)
        .map(|person| window([long(100.0 * person as f32), None, None]))
        .collect();
    let items = items(&windows);
    let mut counts = vec![items.len()];
    let mut left = items;
    while left.len() > 8 {
        left = in_blocks(&left, 8);
        counts.push(left.len());
    }
    assert_eq!(counts, [90, 46, 24, 12, 8]);
    assert_eq!(left.iter().map(|item| item.size).sum::<f32>(), 90.0);
    let found = cluster(&windows, 8, bounds(3, 3));
    assert_eq!(found.voices.len(), 3);
    assert_eq!(found.assignments.len(), 90);
}

#[test]
fn the_memory_of_clustering_grows_with_the_vectors_and_not_with_their_square() {
    let bytes = |vectors| bytes_of(vectors, 1_000);
    assert!(bytes(100) < 1 << 19, "{}", bytes(100));
    let linear = bytes(3_000) - bytes(2_000);
    assert_eq!(bytes(102_000) - bytes(2_000), 100 * linear);
    assert!(linear >= 1_000 * size_of::<Item>());
}
