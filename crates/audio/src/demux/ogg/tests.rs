use std::io::Cursor;

use symphonia::core::errors::Error;

use super::*;

mod clock;

const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// A page of complete packets, with its check sum.
pub fn page(serial: u8, flags: u8, sequence: u8, granule: i64, packets: &[&[u8]]) -> Vec<u8> {
    let lengths: Vec<u8> = packets
        .iter()
        .flat_map(|packet| {
            let full = packet.len() / 255;
            std::iter::repeat_n(255, full).chain([(packet.len() % 255) as u8])
        })
        .collect();
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend([
        serial,
        0,
        0,
        0,
        sequence,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        lengths.len() as u8,
    ]);
    page.extend(lengths);
    page.extend(packets.concat());
    let sum = page::checksum(&page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// 20 ms of silence in Opus, 960 samples, with a marker byte.
fn packet(mark: u8) -> Vec<u8> {
    vec![0xf8, mark]
}

fn opus_head(serial: u8) -> Vec<u8> {
    let head = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";
    page(serial, FIRST, 0, 0, &[head])
}

fn opus_tags(serial: u8) -> Vec<u8> {
    page(serial, 0, 1, 0, &[b"OpusTags\0\0\0\0\0\0\0\0"])
}

/// Packets as "mark start-trim end-trim", and resets.
#[track_caller]
fn check(pages: &[Vec<u8>], expected: &[&str]) {
    let file = Box::new(Cursor::new(pages.concat()));
    let OpenResult::Opened(mut demuxer) = open(file).unwrap() else {
        panic!("not opened");
    };
    let mut found = Vec::new();
    loop {
        match demuxer.reader.next_packet() {
            Ok(Some(packet)) => {
                let trims = (packet.trim_start.get(), packet.trim_end.get());
                found.push(match trims {
                    (0, 0) => format!("{}", packet.data[1]),
                    (start, end) => format!("{} {start} {end}", packet.data[1]),
                });
            }
            Ok(None) => break,
            Err(Error::ResetRequired) => found.push("reset".to_owned()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn trims_the_start_and_the_confirmed_end() {
    let pages = [
        opus_head(1),
        opus_tags(1),
        page(1, 0, 2, 1920, &[&packet(1), &packet(2)]),
        page(1, LAST, 3, 1920 + 1000, &[&packet(3), &packet(4)]),
    ];
    check(&pages, &["1 312 0", "2", "3", "4 0 920"]);
}

#[test]
fn positions_of_a_single_page_start_at_zero() {
    let pages = [
        opus_head(1),
        opus_tags(1),
        page(1, LAST, 2, 1900, &[&packet(1), &packet(2)]),
    ];
    check(&pages, &["1 312 0", "2 0 20"]);
}

#[test]
fn inconsistent_granule_positions_trim_nothing() {
    for granules in [
        [0, 0, 0],
        [-1, -1, -1],
        [9_000_000, 9_000_960, 9_009_999],
        [5, 4, 3],
    ] {
        let pages = [
            opus_head(1),
            opus_tags(1),
            page(1, 0, 2, granules[0], &[&packet(1)]),
            page(1, 0, 3, granules[1], &[&packet(2)]),
            page(1, LAST, 4, granules[2], &[&packet(3)]),
        ];
        check(&pages, &["1 312 0", "2", "3"]);
    }
}

#[test]
fn comments_may_be_truncated_or_missing() {
    for tags in [
        &b"OpusTags"[..],
        b"OpusTags\xff\xff\xff\xff\x05\0\0\0",
        b"OpusTagsx",
    ] {
        let pages = [
            opus_head(1),
            page(1, 0, 1, 0, &[tags]),
            page(1, 0, 2, 960, &[&packet(1)]),
        ];
        check(&pages, &["1 312 0"]);
    }
    check(
        &[opus_head(1), page(1, 0, 1, 960, &[&packet(1)])],
        &["1 312 0"],
    );
}

#[test]
fn a_long_delay_is_trimmed_from_several_packets() {
    let head = b"OpusHead\x01\x01\x00\x04\x80\xbb\0\0\0\0\0";
    let pages = [
        page(1, FIRST, 0, 0, &[head]),
        opus_tags(1),
        page(1, 0, 2, 1920, &[&packet(1), &packet(2)]),
    ];
    check(&pages, &["1 960 0", "2 64 0"]);
}

#[test]
fn packets_continue_over_pages_but_not_over_a_gap() {
    let long = [&packet(7)[..], &[0; 508]].concat();
    // Exactly two full lengths: the packet continues.
    let mut open_page = page(1, 0, 2, -1, &[&long]);
    open_page[26] = 2;
    open_page.remove(27 + 2);
    let sum = page::checksum(&open_page);
    open_page[22..26].copy_from_slice(&sum.to_le_bytes());
    let rest = |sequence| page(1, CONTINUED, sequence, 1920, &[b"end", &packet(8)]);

    let start = [opus_head(1), opus_tags(1), open_page];
    check(&[&start[..], &[rest(3)]].concat(), &["7 312 0", "8"]);
    check(&[&start[..], &[rest(4)]].concat(), &["8 312 0"]);
    check(&[&start[..2], &[rest(2)]].concat(), &["8 312 0"]);
}

#[test]
fn consecutive_streams_need_new_decoders() {
    let stream = |serial, mark| {
        [
            opus_head(serial),
            opus_tags(serial),
            page(serial, LAST, 2, 960, &[&packet(mark)]),
        ]
    };
    // Also with the same serial number.
    let pages = [stream(1, 1), stream(1, 2), stream(9, 3)].concat();
    check(&pages, &["1 312 0", "reset", "2 312 0", "reset", "3 312 0"]);
}

#[test]
fn finds_audio_next_to_video_and_skeleton() {
    let pages = [
        page(5, FIRST, 0, 0, &[b"fishead\0"]),
        page(6, FIRST, 0, 0, &[b"\x80theora"]),
        opus_head(1),
        page(6, 0, 1, 0, &[b"\x81theora"]),
        opus_tags(1),
        page(6, 0, 2, 0, &[b"video"]),
        page(1, 0, 2, 960, &[&packet(1)]),
        page(5, LAST, 1, 0, &[b""]),
        page(1, 0, 3, 1920, &[&packet(2)]),
        // A late stream other than audio is ignored.
        page(7, FIRST, 0, 0, &[b"CMML\0\0\0\0"]),
        page(1, 0, 4, 2880, &[&packet(3)]),
    ];
    check(&pages, &["1 312 0", "2", "3"]);
}

#[test]
fn vorbis_needs_no_comments() {
    let mut identification = b"\x01vorbis".to_vec();
    identification.resize(30, 0);
    identification[12..16].copy_from_slice(&16_000_u32.to_le_bytes());
    for comments in [&b"\x03vorbis"[..], b"\x03vorbis\xff\xff\xff\xff"] {
        let pages = [
            page(1, FIRST, 0, 0, &[&identification]),
            page(1, 0, 1, 0, &[comments, b"\x05vorbis\x01\x02"]),
            page(1, 0, 2, 960, &[&[0, 1], &[0, 2]]),
        ];
        check(&pages, &["1", "2"]);
    }
}

#[test]
fn recognises_flac_by_its_first_packet() {
    let mut head = b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22".to_vec();
    head.resize(17 + 34, 0);
    head[17 + 10..17 + 13].copy_from_slice(&[0x03, 0xe8, 0x00]);
    let pages = [
        page(1, FIRST, 0, 0, &[&head]),
        page(1, 0, 1, 0, &[b"\x84\x01\0\0"]),
        page(1, 0, 2, 4096, &[&[0xff, 1], &[0xff, 2]]),
    ];
    check(&pages, &["1", "2"]);
    let OpenResult::Opened(demuxer) = open(Box::new(Cursor::new(pages.concat()))).unwrap() else {
        panic!("not opened");
    };
    let params = demuxer.reader.tracks()[0].codec_params.clone();
    assert_eq!(params.unwrap().audio().unwrap().sample_rate, Some(16_000));
}

#[test]
fn finds_a_stream_after_junk_but_not_in_other_containers() {
    let file = [
        opus_head(1),
        opus_tags(1),
        page(1, 0, 2, 960, &[&packet(1)]),
    ];
    for head in [&b""[..], b"junk in front"] {
        check(&[&[head.to_vec()], &file[..]].concat(), &["1 312 0"]);
    }
    for head in [&b"RIFF"[..], b"____ftyp"] {
        let file = [head.to_vec(), file.concat()].concat();
        let attempt = open(Box::new(Cursor::new(file)));
        assert!(matches!(attempt, Ok(OpenResult::Unrecognized(_))));
    }
}
