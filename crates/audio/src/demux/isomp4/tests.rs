//! Reading generated files from end to end.

use std::io::Cursor;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecId;
use symphonia::core::codecs::audio::well_known as codec;

use super::*;

mod build;
mod decoded;
mod edits;
mod fragmented;
mod hostile;

use build::{CONTENT, TestTrack, boxed, content, entry, file, moov};

/// A packet: start, ticks, ticks trimmed from the start and the end, content.
type ReadPacket = (i64, u64, u64, u64, Vec<u8>);

fn open(file: &[u8]) -> Result<IsoMp4Reader> {
    IsoMp4Reader::open(Box::new(Cursor::new(file.to_vec())))
}

/// All packets until the end or an error.
fn read_all(reader: &mut IsoMp4Reader) -> (Vec<ReadPacket>, Option<Error>) {
    let mut packets = Vec::new();
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => packets.push((
                packet.pts.get(),
                packet.dur.get(),
                packet.trim_start.get(),
                packet.trim_end.get(),
                packet.data.to_vec(),
            )),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

#[track_caller]
fn read(file: &[u8]) -> Vec<ReadPacket> {
    let (packets, error) = read_all(&mut open(file).unwrap());
    assert!(error.is_none(), "{error:?}");
    packets
}

/// Start, ticks and trims of every packet.
#[track_caller]
fn times(file: &[u8]) -> Vec<(i64, u64, u64, u64)> {
    let packets = read(file).into_iter();
    packets
        .map(|(start, ticks, front, back, _)| (start, ticks, front, back))
        .collect()
}

/// The codec of the first track.
fn codec_of(reader: &IsoMp4Reader) -> AudioCodecId {
    match &reader.tracks()[0].codec_params {
        Some(CodecParameters::Audio(params)) => params.codec,
        _ => panic!("no audio"),
    }
}

#[test]
fn reads_chunks_in_the_order_of_their_table() {
    let track = TestTrack {
        durations: vec![4, 1],
        chunks: vec![1, 1, 1, 2, 2, 1, 3, 1, 1],
        sizes: vec![2, 4],
        offsets: vec![CONTENT + 6, CONTENT, CONTENT + 4],
        ..TestTrack::pcm(4)
    };
    let expected = [
        (0, 1, 0, 0, vec![6, 7]),
        (1, 2, 0, 0, vec![0, 1, 2, 3]),
        (3, 1, 0, 0, vec![4, 5]),
    ];
    assert_eq!(read(&file(&content(8), &[track])), expected);
}

#[test]
fn joins_frames_of_pcm_to_packets() {
    let frames = times(&file(&content(20_000), &[TestTrack::pcm(10_000)]));
    assert_eq!(
        frames,
        [(0, 4_096, 0, 0), (4_096, 4_096, 0, 0), (8_192, 1_808, 0, 0)]
    );
}

#[test]
fn quicktime_states_sizes_of_one_for_frames_of_two_bytes() {
    let track = TestTrack {
        sizes: vec![1, 4],
        ..TestTrack::pcm(4)
    };
    assert_eq!(
        read(&file(&content(8), &[track])),
        [(0, 4, 0, 0, content(8))]
    );
}

#[test]
fn keeps_blocks_of_adpcm_whole() {
    let track = TestTrack {
        entries: vec![entry(b"ima4", 1_000)],
        sizes: vec![1, 128],
        edits: vec![(0, 70)],
        ..TestTrack::pcm(128)
    };
    let file = file(&content(68), &[track]);
    assert_eq!(read(&file), [(-6, 58, 6, 0, content(68)[34..].to_vec())]);
}

#[test]
fn another_sample_description_needs_a_new_decoder() {
    let track = TestTrack {
        entries: vec![
            entry(b"twos", 1_000),
            entry(b"twos", 1_000),
            entry(b"sowt", 1_000),
        ],
        chunks: vec![1, 1, 1, 2, 1, 2, 3, 1, 3],
        offsets: vec![CONTENT, CONTENT + 2, CONTENT + 4],
        ..TestTrack::pcm(3)
    };
    let mut reader = open(&file(&content(6), &[track])).unwrap();

    let (before, error) = read_all(&mut reader);
    assert_eq!(before.len(), 2);
    assert!(matches!(error, Some(Error::ResetRequired)), "{error:?}");
    assert_eq!(codec_of(&reader), codec::CODEC_ID_PCM_S16LE);

    let (after, error) = read_all(&mut reader);
    assert_eq!(after, [(2, 1, 0, 0, vec![4, 5])]);
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn reads_the_layer_from_frames_of_mpeg_audio() {
    let codec_after = |header: [u8; 2]| {
        let track = TestTrack {
            entries: vec![entry(b".mp3", 1_000)],
            ..TestTrack::aac(2)
        };
        let content = [&header, &content(18)[..]].concat();
        let mut reader = open(&file(&content, &[track])).unwrap();
        if matches!(reader.next_packet(), Err(Error::ResetRequired)) {
            assert_eq!(read_all(&mut reader).0.len(), 2);
        }
        codec_of(&reader)
    };
    assert_eq!(codec_after([0xff, 0xfb]), codec::CODEC_ID_MP3);
    assert_eq!(codec_after([0xff, 0xfd]), codec::CODEC_ID_MP2);
    assert_eq!(codec_after([0xff, 0xe7]), codec::CODEC_ID_MP1);
    assert_eq!(codec_after([0, 0xfd]), codec::CODEC_ID_MP3);
}

#[test]
fn ignores_other_tracks() {
    let broken = TestTrack {
        id: 7,
        handler: b"vide",
        entries: vec![entry(b"jpeg", 1), boxed(b"jpeg", b"")],
        durations: vec![1],
        chunks: vec![0, 0, 0],
        sizes: vec![0, u32::MAX],
        ..TestTrack::pcm(0)
    };
    let junk = boxed(
        b"trak",
        &boxed(b"mdia", b"\0\0\0\x01abcd\xff\xff\xff\xff\xff\xff\xff\xff"),
    );
    let tracks = [broken, TestTrack::pcm(4)];
    let file = [boxed(b"mdat", &content(8)), moov(&tracks, &junk)].concat();
    let reader = open(&file).unwrap();
    assert_eq!(reader.tracks().len(), 1);
    assert_eq!(read(&file).len(), 1);

    let video_alone = build::file(&[], &tracks[..1]);
    assert_eq!(open(&video_alone).unwrap().tracks().len(), 0);
}

#[test]
fn the_first_enabled_track_with_samples_is_the_default() {
    let track = |id, flags, frames| TestTrack {
        id,
        flags,
        ..TestTrack::pcm(frames)
    };
    let chapters = TestTrack {
        chapters: vec![1],
        ..track(6, 1, 1)
    };
    let tracks = [
        track(1, 1, 1),
        track(2, 0, 1),
        track(3, 1, 0),
        track(4, 1, 1),
        track(5, 1, 1),
        chapters,
    ];
    let reader = open(&file(&content(2), &tracks)).unwrap();
    let found: Vec<_> = reader
        .tracks()
        .iter()
        .map(|track| (track.id, track.flags))
        .collect();
    let other = TrackFlags::empty();
    let expected = [
        (4, TrackFlags::DEFAULT),
        (5, other),
        (6, other),
        (2, other),
        (3, other),
    ];
    assert_eq!(found, expected);
}

#[test]
fn reads_every_arrangement_of_boxes() {
    let pcm = |offset| TestTrack {
        offsets: vec![offset],
        ..TestTrack::pcm(4)
    };
    let expected = [(0, 4, 0, 0, content(8))];
    let moov_bytes = moov(&[pcm(0)], &[]).len() as u32;

    let ftyp = boxed(b"ftyp", b"isom\0\0\0\0");
    let first = [
        moov(&[pcm(moov_bytes + 8)], &[]),
        boxed(b"mdat", &content(8)),
    ]
    .concat();
    let last = [
        boxed(b"wide", b""),
        boxed(b"mdat", &content(8)),
        moov(&[pcm(16)], &[]),
    ]
    .concat();
    let twice = [
        ftyp,
        boxed(b"mdat", &content(8)),
        moov(&[pcm(24)], &[]),
        moov(&[pcm(0)], &[]),
    ];
    let mut to_the_end = first.clone();
    to_the_end[moov_bytes as usize..][..4].fill(0);
    let large = [
        &b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x18"[..],
        &content(8),
        &moov(&[pcm(16)], &[]),
    ];
    for file in [first, last, twice.concat(), to_the_end, large.concat()] {
        assert!(is_iso_media(&file));
        assert_eq!(read(&file), expected, "{file:x?}");
    }
}

#[test]
fn reads_the_complete_samples_of_a_truncated_file() {
    let read_truncated = |make: fn(u32) -> TestTrack, count: u32, bytes: usize| {
        let header = moov(&[make(count)], &[]).len();
        let track = TestTrack {
            offsets: vec![header as u32 + 8],
            ..make(count)
        };
        let mut file = [moov(&[track], &[]), boxed(b"mdat", &content(200))].concat();
        file.truncate(header + 8 + bytes);
        times(&file)
    };
    assert_eq!(read_truncated(TestTrack::pcm, 100, 25), [(0, 12, 0, 0)]);
    assert_eq!(
        read_truncated(TestTrack::aac, 20, 25),
        [(0, 100, 0, 0), (100, 100, 0, 0)]
    );
    assert_eq!(read_truncated(TestTrack::aac, 20, 0), []);
}

#[test]
fn refuses_files_without_a_movie_header() {
    let error = |file: &[u8]| open(file).err().map(|error| error.to_string());
    let missing = Some("malformed stream: it has no movie header (moov)".to_owned());
    assert_eq!(error(&boxed(b"mdat", &content(8))), missing);
    assert_eq!(error(b""), missing);
    let compressed = boxed(b"moov", &boxed(b"cmov", b""));
    assert!(matches!(open(&compressed), Err(Error::Unsupported(_))));
}

#[test]
fn recognises_files_by_their_first_boxes() {
    for head in [
        &b"\0\0\0\x20ftypM4A "[..],
        b"\0\0\0\x08wide\0\0\x10\0mdat",
        b"\0\0\0\x00mdat",
        b"\0\0\0\x01mdat",
        b"\0\0\x02\0moov",
        b"\0\0\x20\0free\0\0\0\0\0",
    ] {
        assert!(is_iso_media(head), "{head:x?}");
    }
    for head in [
        &b""[..],
        b"\0\0\0\x20",
        b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x07moov",
        b"\0\0\0\x08freeabcdefgh",
    ] {
        assert!(!is_iso_media(head), "{head:x?}");
    }
}
