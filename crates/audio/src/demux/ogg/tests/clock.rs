//! Times of packets.

use super::*;
use crate::demux::vorbis::tests::headers;

/// Checks stream and start of all packets, after trimming.
#[track_caller]
fn check_starts(pages: &[Vec<u8>], expected: &[(u32, i64)]) {
    let OpenResult::Opened(mut demuxer) = open(Box::new(Cursor::new(pages.concat()))).unwrap()
    else {
        panic!("not opened");
    };
    assert_eq!(demuxer.clock, ContainerClock::Samples);
    let starts: Vec<_> = std::iter::from_fn(|| demuxer.reader.next_packet().unwrap())
        .map(|packet| {
            (
                packet.track_id,
                packet.pts.saturating_add(packet.trim_start),
            )
        })
        .map(|(stream, start)| (stream, start.get()))
        .collect();
    assert_eq!(starts, expected);
}

#[test]
fn missing_pages_leave_a_gap_of_their_length() {
    let start = [
        opus_head(1),
        opus_tags(1),
        page(1, 0, 2, 960, &[&packet(1)]),
        page(1, 0, 3, 1_920, &[&packet(2)]),
    ];
    let rest = |sequence, granule| {
        [
            page(1, 0, sequence, granule, &[&packet(3)]),
            page(1, LAST, sequence + 1, granule + 900, &[&packet(4)]),
        ]
    };
    let check = |sequence, granule, third| {
        let pages = [&start[..], &rest(sequence, granule)].concat();
        let expected = [0, 648, third, third + 960];
        check_starts(&pages, &expected.map(|start| (1, start)));
    };
    check(4, 2_880, 1_608);
    check(9, 2_880 + 4_800, 1_608 + 4_800);
    // No missing page, or no gap in the positions.
    check(4, 2_880 + 4_800, 1_608);
    check(9, 2_880, 1_608);
    check(9, 500, 1_608);
}

#[test]
fn drops_a_packet_whose_start_is_missing() {
    let pages = [
        opus_head(1),
        opus_tags(1),
        page(1, 0, 2, 960, &[&packet(1)]),
        page(1, 0, 3, 1_920, &[&packet(2)]),
        page(1, CONTINUED, 5, 4_800, &[b"end", &packet(3)]),
    ];
    check_starts(&pages, &[(1, 0), (1, 648), (1, 4_800 - 960 - 312)]);
}

#[test]
fn reads_the_length_of_flac_frames() {
    let mut head = b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22".to_vec();
    head.resize(17 + 34, 0);
    head[17 + 10..17 + 13].copy_from_slice(&[0x03, 0xe8, 0x00]);
    // 192 samples each.
    let frame = b"\xff\xf8\x10\x08\0";
    let pages = [
        page(1, FIRST, 0, 0, &[&head]),
        page(1, 0, 1, 384, &[frame, frame]),
        page(1, 0, 2, 576, &[frame]),
        page(1, 0, 5, 1_152, &[frame]),
    ];
    check_starts(&pages, &[(1, 0), (1, 192), (1, 384), (1, 960)]);
}

/// Vorbis packets with short blocks: 128 samples each, but 0 for the first.
fn vorbis(flags: u8, granule: i64) -> [Vec<u8>; 3] {
    let (mut identification, setup) = headers();
    identification[12..16].copy_from_slice(&16_000_u32.to_le_bytes());
    [
        page(1, FIRST, 0, 0, &[&identification]),
        page(1, 0, 1, 0, &[b"\x03vorbis", &setup]),
        page(1, flags, 2, granule, &[&[0, 1], &[0, 2], &[0, 3]]),
    ]
}

#[test]
fn drops_the_start_of_vorbis_before_position_zero() {
    check(&vorbis(0, 100), &["1", "2 128 0", "3 28 0"]);
    check(&vorbis(0, 256), &["1", "2", "3"]);
    // A position of 0 drops nothing; on the last page, the end is trimmed.
    check(&vorbis(0, 0), &["1", "2", "3"]);
    check(&vorbis(LAST, 100), &["1", "2 0 28", "3 0 128"]);
    // The recording starts after the dropped samples, or late.
    check_starts(&vorbis(0, 100), &[(1, 0), (1, 0), (1, 0)]);
    check_starts(&vorbis(0, 1_000), &[(1, 744), (1, 744), (1, 872)]);
}

#[test]
fn video_determines_the_start_of_the_recording() {
    // 25 pictures per second; six bits count those after a key picture.
    let mut theora = b"\x80theora\x03\x02\x01".to_vec();
    theora.resize(42, 0);
    theora[25] = 25;
    theora[29] = 1;
    theora[41] = 0xc0;
    let picture: &[u8] = b"\0";
    let pages = [
        page(6, FIRST, 0, 0, &[&theora]),
        opus_head(1),
        page(6, 0, 1, 0, &[b"\x81theora", b"\x82theora"]),
        opus_tags(1),
        page(6, 0, 2, (100 << 6) + 2, &[picture, picture]),
        page(1, 0, 2, 240_960, &[&packet(1)]),
        // A page without packets.
        page(6, 0, 3, -1, &[]),
        page(1, 0, 3, 241_920, &[&packet(2)]),
    ];
    check_starts(&pages, &[(6, 100), (1, 240_000), (1, 240_648)]);
    let OpenResult::Opened(demuxer) = open(Box::new(Cursor::new(pages.concat()))).unwrap() else {
        panic!("not opened");
    };
    let video = demuxer.reader.tracks().iter().find(|track| track.id == 6);
    let time_base = video.unwrap().time_base.unwrap();
    assert_eq!((time_base.numer.get(), time_base.denom.get()), (1, 25));
}
