use std::io::Cursor;

use symphonia::core::errors::Error;

use super::*;

/// Layer III, MPEG 1, 44.1 kHz, stereo, 32 kbit/s: 104 bytes, 1152 samples.
const STEREO: [u8; 4] = [0xff, 0xfb, 0x10, 0x00];
/// Layer III, MPEG 2, 16 kHz, mono, 8 kbit/s: 36 bytes, 576 samples.
const MONO_16K: [u8; 4] = [0xff, 0xf3, 0x18, 0xc0];

/// A frame with a marker byte at its end.
fn frame(header: [u8; 4], mark: u8) -> Vec<u8> {
    let length = MpegAudioHeader::parse(&header).unwrap().frame_bytes();
    let mut frame = header.to_vec();
    frame.resize(length, 0);
    frame[length - 1] = mark;
    frame
}

/// LAME's tag in a stereo frame.
fn info(frames: u32, delay: u16, padding: u16) -> Vec<u8> {
    let mut tag = b"Info\0\0\0\x01".to_vec();
    tag.extend(frames.to_be_bytes());
    tag.extend(b"LAME3.100");
    tag.resize(tag.len() + 12, 0);
    let both = u32::from(delay) << 12 | u32::from(padding);
    tag.extend(&both.to_be_bytes()[1..]);
    let mut frame = frame(STEREO, 0);
    frame[36..36 + tag.len()].copy_from_slice(&tag);
    frame
}

/// Packets as "mark start-trim end-trim", and resets with the rate and the stated padding.
#[track_caller]
fn check(parts: &[&[u8]], expected: &[&str]) {
    let OpenResult::Opened(mut demuxer) = open(Box::new(Cursor::new(parts.concat()))).unwrap()
    else {
        panic!("not opened");
    };
    let mut found = Vec::new();
    loop {
        match demuxer.reader.next_packet() {
            Ok(Some(packet)) => {
                let mark = packet.data[packet.data.len() - 1];
                let trims = (packet.trim_start.get(), packet.trim_end.get());
                found.push(match trims {
                    (0, 0) => format!("{mark}"),
                    (start, end) => format!("{mark} {start} {end}"),
                });
            }
            Ok(None) => break,
            Err(Error::ResetRequired) => {
                let track = &demuxer.reader.tracks()[0];
                let params = track.codec_params.as_ref().unwrap().audio().unwrap();
                let rate_hz = params.sample_rate.unwrap();
                found.push(format!("{rate_hz} Hz, {}", track.padding.unwrap()));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn trims_padding_if_no_frame_is_missing() {
    let frames = [1, 2, 3, 4].map(|mark| frame(STEREO, mark));
    // With a decoder delay of 529 samples: delay 1105, padding 1300.
    check(
        &[&info(4, 576, 1829), &frames.concat()],
        &["1 1105 0", "2", "3 0 148", "4 0 1152"],
    );
    for count in [0, 3, 5, u32::MAX] {
        let file = [&info(count, 576, 1829)[..], &frames.concat()];
        check(&file, &["1 1105 0", "2", "3", "4"]);
    }
}

#[test]
fn trims_each_of_several_concatenated_files() {
    let one = [info(2, 576, 629), frame(STEREO, 1), frame(STEREO, 2)].concat();
    let trimmed = [
        "1 1105 0",
        "2 0 100",
        "44100 Hz, 100",
        "1 1105 0",
        "2 0 100",
    ];
    check(&[&one, &one], &trimmed);
    // A cover picture full of sync words between them.
    let id3 = [b"ID3\x03\0\0\0\0\x0f\x50", &STEREO.repeat(500)[..]].concat();
    assert_eq!(id3.len(), 2010);
    check(&[&id3, &one, &id3, &one, b"TAG", &[0; 125]], &trimmed);
}

#[test]
fn reads_all_frames_of_a_file_without_tags() {
    let frames: Vec<u8> = (0..50).flat_map(|mark| frame(STEREO, mark)).collect();
    let marks: Vec<String> = (0..50).map(|mark| mark.to_string()).collect();
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    check(&[&frames], &marks);
    // Truncated within a frame at both ends.
    check(&[&frames[50..frames.len() - 50]], &marks[1..49]);
}

#[test]
fn a_change_of_rate_needs_a_new_decoder() {
    let stereo = frame(STEREO, 1).repeat(3);
    let mono = frame(MONO_16K, 2).repeat(3);
    check(
        &[&stereo, &mono, &info(3, 576, 629), &stereo],
        &[
            "1",
            "1",
            "1",
            "16000 Hz, 0",
            "2",
            "2",
            "2",
            "44100 Hz, 100",
            "1 1105 0",
            "1",
            "1 0 100",
        ],
    );
}

#[test]
fn skips_frames_with_tags_instead_of_audio() {
    let mut vbri = frame(STEREO, 0);
    vbri[36..40].copy_from_slice(b"VBRI");
    let mut xing = frame(STEREO, 0);
    xing[36..40].copy_from_slice(b"Xing");
    let frames = frame(STEREO, 7).repeat(3);
    check(&[&vbri, &frames], &["7", "7", "7"]);
    check(&[&xing, &frames], &["7", "7", "7"]);
    // With other side information, the letters are audio.
    xing[20] = 1;
    check(&[&xing, &frames], &["0", "7", "7", "7"]);
}

#[test]
fn reads_mpeg_audio_in_a_wav_file() {
    let frames = frame(STEREO, 7).repeat(3);
    let header = b"RIFF\xff\xff\xff\xffWAVEfmt \x04\0\0\0\x55\0\x02\0data\xff\xff\xff\xff";
    check(&[header, &frames], &["7", "7", "7"]);
    let pcm = b"RIFF\xff\xff\xff\xffWAVEfmt \x04\0\0\0\x01\0\x02\0data\xff\xff\xff\xff";
    let attempt = open(Box::new(Cursor::new([pcm, &frames[..]].concat())));
    assert!(matches!(attempt, Ok(OpenResult::Unrecognized(_))));
}

#[test]
fn names_ffmpeg_for_a_free_bit_rate() {
    let mut free = vec![0xff, 0xfb, 0x00, 0x00];
    free.resize(500, 0);
    let attempt = open(Box::new(Cursor::new(free.repeat(4))));
    assert!(matches!(attempt, Err(AudioError::NeedsFfmpeg { .. })));
}

#[test]
fn does_not_open_other_formats() {
    let frames = frame(STEREO, 7).repeat(9);
    for head in [&b"RIFF____AVI LIST"[..], b"\0\0\0\x18ftypM4A ", b"fLaC"] {
        let attempt = open(Box::new(Cursor::new([head, &frames].concat())));
        assert!(matches!(attempt, Ok(OpenResult::Unrecognized(_))));
    }
    // Headers at a distance other than the frame length.
    let headers = [&STEREO[..], b"\0"].concat().repeat(2_000);
    for file in [Vec::new(), vec![0xff; 9_000], headers] {
        let attempt = open(Box::new(Cursor::new(file)));
        assert!(matches!(attempt, Ok(OpenResult::Unrecognized(_))));
    }
}
