//! Forged files.

use super::build::{CONTENT, TestTrack, boxed, content, file, full, moof, moov, mvex, traf};
use super::*;

/// The number of packets before the end or an error.
fn count(file: &[u8]) -> usize {
    open(file).map_or(0, |mut reader| read_all(&mut reader).0.len())
}

#[test]
fn traverses_the_tables_once() {
    // Restarting for each packet would take four billion steps over entries without samples.
    let mut track = TestTrack::aac(20_000);
    track.durations = [vec![0; 2 * 200_000], track.durations].concat();
    assert_eq!(count(&file(&content(200_000), &[track])), 20_000);
}

#[test]
fn reads_at_most_twice_the_bytes_of_the_file() {
    let track = TestTrack {
        chunks: vec![1, 1_000, 1],
        sizes: vec![10, u32::MAX],
        durations: vec![u32::MAX, 1],
        offsets: vec![CONTENT; 1_000],
        ..TestTrack::aac(0)
    };
    let file = file(&content(10_000), &[track]);
    let (packets, error) = read_all(&mut open(&file).unwrap());
    assert!(packets.len() * 10 <= file.len() * 2);
    assert!(matches!(error, Some(Error::LimitError(_))), "{error:?}");
}

#[test]
fn counts_without_content_are_cheap() {
    for sizes in [
        vec![u32::MAX, u32::MAX],
        vec![1, u32::MAX],
        vec![0, u32::MAX],
        vec![0],
    ] {
        let track = TestTrack {
            sizes,
            durations: vec![u32::MAX, 0, u32::MAX, u32::MAX],
            chunks: vec![1, u32::MAX, u32::MAX],
            offsets: vec![u32::MAX, CONTENT],
            edits: vec![(u32::MAX, i32::MAX), (1, 1), (u32::MAX, -1)],
            ..TestTrack::aac(0)
        };
        assert!(count(&file(&content(100), &[track])) <= 400);
    }
}

#[test]
fn skips_hidden_runs_at_once() {
    let track = |edits| TestTrack {
        chunks: vec![1, u32::MAX, 1],
        sizes: vec![1, u32::MAX],
        durations: vec![u32::MAX, 1],
        edits,
        ..TestTrack::aac(0)
    };
    let jumps: Vec<_> = (0..17).map(|index| (1, i32::MAX - index * 10)).collect();
    assert_eq!(count(&file(&[], &[track(jumps[..9].to_vec())])), 0);
    let refused = open(&file(&[], &[track([&jumps[..], &jumps].concat())]));
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    // ffmpeg, the fallback for unsupported files, would take minutes for these.
    let refused = open(&file(&[], &[track(jumps.repeat(1_000))]));
    assert!(matches!(
        refused,
        Err(Error::LimitError(track::TOO_MANY_EDITS))
    ));
}

#[test]
fn refuses_a_codec_that_keeps_changing() {
    let chunks = (1..=1_000).flat_map(|chunk| [chunk, 1, chunk % 2 + 1]);
    let track = TestTrack {
        entries: vec![entry(b"twos", 1_000), entry(b"sowt", 1_000)],
        chunks: chunks.collect(),
        offsets: vec![CONTENT; 1_000],
        ..TestTrack::pcm(1_000)
    };
    let mut reader = open(&file(&content(2_000), &[track])).unwrap();
    let mut resets = 0;
    let error = loop {
        match read_all(&mut reader).1 {
            Some(Error::ResetRequired) => resets += 1,
            error => break error,
        }
    };
    assert_eq!(resets, MAX_CHANGES);
    assert!(matches!(error, Some(Error::LimitError(_))), "{error:?}");
}

#[test]
fn no_changed_byte_and_no_truncation_panics() {
    let track = TestTrack {
        edits: vec![(100, -1), (400, 150), (100, 20)],
        ..TestTrack::aac(8)
    };
    let plain = file(&content(80), &[track, TestTrack::pcm(40)]);
    let run = full(b"trun", 0x301, &[2, 100, 10, 10, 20, 10]);
    let fragmented = [
        moov(&[TestTrack::fragmented()], &mvex(&[[1, 1, 100, 10]])),
        moof(&[traf(1, 1_000, &[run])]),
        boxed(b"mdat", &content(20)),
    ];
    for whole in [plain, fragmented.concat()] {
        for at in 0..whole.len() {
            count(&whole[..at]);
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                count(&changed);
            }
        }
    }
}
