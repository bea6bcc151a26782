//! Fragmented files.

use super::build::{TestTrack, boxed, content, full, moof, moov, mvex, traf};
use super::*;

const DATA_OFFSET: u32 = 0x1;
const DURATIONS: u32 = 0x100;
const SIZES: u32 = 0x200;

/// A run of samples of ten bytes and 100 ticks, this far from the start of its `moof`.
fn run(offset: u32, samples: u32) -> Vec<u8> {
    full(b"trun", DATA_OFFSET, &[samples, offset])
}

fn audio(id: u32) -> TestTrack {
    TestTrack {
        id,
        ..TestTrack::fragmented()
    }
}

fn video(id: u32) -> TestTrack {
    TestTrack {
        handler: b"vide",
        time_scale: 90_000,
        ..audio(id)
    }
}

fn header(tracks: &[TestTrack]) -> Vec<u8> {
    moov(tracks, &mvex(&[[1, 1, 100, 10], [2, 1, 9_000, 10]]))
}

/// A `moof` with a run of audio, and its `mdat`.
fn fragment(start: u32, samples: u32) -> Vec<u8> {
    let moof_of = |offset| moof(&[traf(1, start, &[run(offset, samples)])]);
    let data = moof_of(0).len() as u32 + 8;
    [
        moof_of(data),
        boxed(b"mdat", &content(samples as usize * 10)),
    ]
    .concat()
}

#[test]
fn reads_consecutive_fragments_and_keeps_gaps() {
    let file = [
        header(&[audio(1)]),
        fragment(500, 2),
        fragment(700, 1),
        fragment(5_000, 1),
    ];
    let expected = [
        (0, 100, 0, 0),
        (100, 100, 0, 0),
        (200, 100, 0, 0),
        (4_500, 100, 0, 0),
    ];
    assert_eq!(times(&file.concat()), expected);
}

#[test]
fn the_presentation_starts_with_the_first_track() {
    // Video from 10 s on, in a separate fragment after the one of audio, which starts at 13 s.
    let video_fragment = moof(&[traf(2, 900_000, &[run(0, 1)])]);
    let file = [
        header(&[video(2), audio(1)]),
        fragment(13_000, 1),
        video_fragment,
    ];
    assert_eq!(times(&file.concat()), [(3_000, 100, 0, 0)]);
}

#[test]
fn the_edit_list_of_a_fragmented_file_trims_only_the_start() {
    let track = TestTrack {
        edits: vec![(2_000, -1), (100, 150)],
        ..audio(1)
    };
    let file = [header(&[track]), fragment(0, 4)].concat();
    let expected = [
        (-100, 0, 100, 0),
        (-50, 50, 50, 0),
        (50, 100, 0, 0),
        (150, 100, 0, 0),
    ];
    // The delay has no effect, because there is no other track.
    assert_eq!(times(&file), expected);
}

#[test]
fn applies_defaults_and_offsets_at_every_level() {
    // A header with base, description, ticks and bytes of this fragment.
    let moof_of = |base: u32| {
        let tfhd = full(b"tfhd", 0x1b, &[1, 0, base, 1, 50, 2]);
        let first = full(
            b"trun",
            DATA_OFFSET | DURATIONS | SIZES,
            &[2, 1, 10, 3, 20, 4],
        );
        let second = full(b"trun", 0, &[2]);
        boxed(b"moof", &boxed(b"traf", &[tfhd, first, second].concat()))
    };
    let header = header(&[audio(1)]);
    let base = (header.len() + moof_of(0).len() + 8) as u32;
    let file = [header, moof_of(base), boxed(b"mdat", &content(12))].concat();
    let expected = [
        (0, 10, 0, 0, vec![1, 2, 3]),
        (10, 20, 0, 0, vec![4, 5, 6, 7]),
        (30, 50, 0, 0, vec![8, 9]),
        (80, 50, 0, 0, vec![10, 11]),
    ];
    assert_eq!(read(&file), expected);
}

#[test]
fn unstated_offsets_continue_after_the_previous_data() {
    let traf = |id: u32| {
        boxed(
            b"traf",
            &[full(b"tfhd", 0, &[id]), full(b"trun", 0, &[1])].concat(),
        )
    };
    let first = boxed(b"traf", &[full(b"tfhd", 0, &[2]), run(0, 1)].concat());
    let moof_of = |first: Vec<u8>| moof(&[first, traf(1)]);
    let data = moof_of(first).len() as u32 + 8;
    let first = boxed(b"traf", &[full(b"tfhd", 0, &[2]), run(data, 1)].concat());
    let file = [
        header(&[video(2), audio(1)]),
        moof_of(first),
        boxed(b"mdat", &content(20)),
    ];
    assert_eq!(
        read(&file.concat()),
        [(0, 100, 0, 0, content(20)[10..].to_vec())]
    );
}

#[test]
fn fragments_continue_after_the_samples_of_the_movie() {
    let track = TestTrack::aac(2);
    let file = [
        boxed(b"mdat", &content(20)),
        moov(&[track], &mvex(&[[1, 1, 100, 10]])),
        fragment(200, 2),
    ];
    let starts: Vec<_> = times(&file.concat()).iter().map(|times| times.0).collect();
    assert_eq!(starts, [0, 100, 200, 300]);
}

#[test]
fn reads_the_complete_samples_of_a_truncated_fragment() {
    let whole = [header(&[audio(1)]), fragment(0, 2), fragment(200, 2)].concat();
    let packets = |bytes: usize| {
        let (found, error) = read_all(&mut open(&whole[..bytes]).unwrap());
        assert!(error.is_none(), "{bytes}: {error:?}");
        found.len()
    };
    let first = header(&[audio(1)]).len();
    let second = first + fragment(0, 2).len();
    assert_eq!(packets(whole.len()), 4);
    assert_eq!(packets(whole.len() - 1), 3);
    for bytes in second..whole.len() - 20 {
        assert_eq!(packets(bytes), 2, "{bytes}");
    }
    assert_eq!(packets(first), 0);
}

#[test]
fn ignores_runs_of_other_tracks() {
    let forged = moof(&[
        traf(3, 0, &[run(0, u32::MAX)]),
        traf(2, 0, &[run(0, u32::MAX)]),
    ]);
    let file = [
        header(&[video(2), audio(1), video(3)]),
        forged,
        fragment(0, 2),
    ];
    assert_eq!(times(&file.concat()).len(), 2);
}

#[test]
fn refuses_a_run_that_claims_more_than_it_describes() {
    let no_sizes = moov(&[audio(1)], &mvex(&[[1, 1, 100, 0]]));
    let sized = full(b"trun", SIZES, &[3, 10, 10]);
    let sized = moof(&[traf(1, 0, &[sized])]);
    for file in [
        [no_sizes, moof(&[traf(1, 0, &[run(0, u32::MAX)])])].concat(),
        [header(&[audio(1)]), sized].concat(),
    ] {
        let (found, error) = read_all(&mut open(&file).unwrap());
        assert_eq!(found, []);
        assert!(matches!(error, Some(Error::DecodeError(_))), "{error:?}");
    }
}
