use std::num::NonZeroUsize;

use super::*;

/// A voice at an angle, in degrees, of a person who has an axis of their own for each hundred.
fn voice(angle: f32) -> VoiceVector {
    let person = 2 * (angle / 100.0) as usize;
    let mut vector = [0.0; DIMENSIONS];
    vector[person] = (angle % 100.0).to_radians().cos();
    vector[person + 1] = (angle % 100.0).to_radians().sin();
    vector
}

/// A window with local speakers of these angles and numbers of frames.
fn window(voices: [Option<(f32, usize)>; LOCAL_SPEAKERS]) -> LocalSpeakers {
    let local = |(angle, frames)| LocalVoice {
        vector: voice(angle),
        frames,
    };
    LocalSpeakers {
        activities: Vec::new(),
        voices: voices.map(|voice| voice.map(local)),
    }
}

fn long(angle: f32) -> Option<(f32, usize)> {
    Some((angle, 300))
}

#[track_caller]
fn check(windows: &[LocalSpeakers], count: SpeakerCount, expected: &[Assignment]) {
    let found = cluster(windows, 1_000, count);
    assert_eq!(found.assignments, expected);
    // In blocks of two windows the result is the same.
    assert_eq!(cluster(windows, 2, count).assignments, expected);
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
    let clusters = cluster(&two_people(), 1_000, bounds(1, 1));
    assert_eq!(clusters.assignments[2], [None, Some(0), None]);
    for assignment in &clusters.assignments {
        assert_eq!(assignment.iter().flatten().count(), 1);
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
    assert_eq!(found.assignments[2], [Some(0), Some(1), None]);
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
