//! Edit lists, and times without one.

use super::*;

#[test]
fn an_edit_list_delays_and_cuts() {
    let track = |edits: &[(u32, i32)]| TestTrack {
        edits: edits.to_vec(),
        ..TestTrack::pcm(10)
    };
    let packets = |edits: &[(u32, i32)]| times(&file(&content(20), &[track(edits)]));
    assert_eq!(
        packets(&[(2, 0), (3_000, -1), (8, 2)]),
        [(0, 2, 0, 8), (3_002, 8, 0, 0)]
    );
    assert_eq!(packets(&[(5, 3)]), [(0, 5, 0, 2)]);
    assert_eq!(packets(&[(0, 3)]), [(0, 7, 0, 0)]);
    // Ten frames are one packet, of which the two edits present different parts.
    assert_eq!(
        packets(&[(2, 1), (100, -1), (2, 6)]),
        [(0, 2, 0, 7), (102, 2, 0, 2)]
    );
}

#[test]
fn times_are_relative_to_the_first_track() {
    let packets = |others: &[TestTrack]| {
        let track = TestTrack {
            edits: vec![(3_000, -1), (10, 0)],
            ..TestTrack::pcm(10)
        };
        let tracks = [&[track][..], others].concat();
        times(&file(&content(20), &tracks))[0].0
    };
    let other = |handler, edits| TestTrack {
        id: 2,
        handler,
        edits,
        ..TestTrack::pcm(10)
    };
    assert_eq!(packets(&[]), 0);
    assert_eq!(packets(&[other(b"vide", Vec::new())]), 3_000);
    assert_eq!(
        packets(&[other(b"vide", vec![(2_000, -1), (10, 0)])]),
        1_000
    );
    assert_eq!(packets(&[other(b"soun", vec![(4_000, -1), (10, 0)])]), 0);
    // Neither text nor audio without samples.
    assert_eq!(packets(&[other(b"text", Vec::new())]), 0);
    let empty = TestTrack {
        id: 2,
        ..TestTrack::fragmented()
    };
    assert_eq!(packets(&[empty]), 0);
}

#[test]
fn an_edit_that_goes_back_repeats_samples() {
    let track = TestTrack {
        edits: vec![(500, 9_000), (1_000, 2_000), (500, 9_000)],
        ..TestTrack::pcm(10_000)
    };
    let packets = times(&file(&content(20_000), &[track]));
    assert_eq!(
        packets,
        [
            (0, 500, 0, 500),
            (500, 1_000, 0, 3_096),
            (1_500, 500, 0, 500)
        ]
    );
}

#[test]
fn samples_needed_before_an_edit_are_read_and_trimmed() {
    let track = TestTrack {
        edits: vec![(250, 650)],
        ..TestTrack::aac(20)
    };
    // 250 ms before: the packets from 400 on; those before 600 come right before the edit.
    let expected = [
        (-100, 0, 100, 0),
        (-100, 0, 100, 0),
        (-50, 50, 50, 0),
        (50, 100, 0, 0),
        (150, 100, 0, 0),
    ];
    assert_eq!(times(&file(&content(200), &[track])), expected);
}

#[test]
fn opus_without_an_edit_list_starts_after_the_pre_skip() {
    let opus = |edits| {
        let config = boxed(b"dOps", b"\0\x01\x01\x38\0\0\xbb\x80\0\0\0");
        let mut description = entry(b"Opus", 48_000);
        description.extend(&config);
        description[3] += config.len() as u8;
        TestTrack {
            time_scale: 48_000,
            entries: vec![description],
            edits,
            durations: vec![3, 960],
            ..TestTrack::aac(3)
        }
    };
    let expected = [(-312, 648, 312, 0), (648, 960, 0, 0), (1_608, 960, 0, 0)];
    assert_eq!(times(&file(&content(30), &[opus(Vec::new())])), expected);
    let expected = [(0, 960, 0, 0), (960, 960, 0, 0), (1_920, 960, 0, 0)];
    assert_eq!(times(&file(&content(30), &[opus(vec![(0, 0)])])), expected);
}
