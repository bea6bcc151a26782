//! Decoding of generated files to PCM.

use std::time::Duration;

use super::build::{CONTENT, TestTrack, entry, file, moov};
use crate::{AudioError, Channels, DecodeLimits, FfmpegMode, Source, decode};

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(10),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::from_secs(1),
};

fn pcm_of(file: Vec<u8>) -> Result<Vec<f32>, AudioError> {
    let decoded = decode(Source::Memory(file.into()), &LIMITS, Channels::Mix)?;
    Ok(decoded.streams.concat())
}

/// A second of mono PCM at 16 kHz with a sample entry of this type.
fn second(kind: &[u8; 4], frame_bytes: u32) -> TestTrack {
    TestTrack {
        time_scale: 16_000,
        entries: vec![entry(kind, 16_000)],
        sizes: vec![frame_bytes, 16_000],
        ..TestTrack::pcm(16_000)
    }
}

#[test]
fn decodes_quicktime_pcm_exactly() {
    for (kind, frame, expected) in [
        (b"in24", &[0x40, 0, 0][..], 0.5),
        (b"twos", &[0xe0, 0], -0.25),
        (b"sowt", &[0, 0xe0], -0.25),
        (b"fl32", &0.125f32.to_be_bytes(), 0.125),
        (b"raw ", &[0xc0], 0.5),
    ] {
        let track = match kind {
            b"raw " => {
                let mut track = second(kind, 1);
                // Bits of a sample.
                track.entries[0][27] = 8;
                track
            }
            _ => second(kind, frame.len() as u32),
        };
        let pcm = pcm_of(file(&frame.repeat(16_000), &[track])).unwrap();
        assert_eq!(pcm, [expected; 16_000], "{}", kind.escape_ascii());
    }
}

#[test]
fn late_audio_starts_with_silence() {
    let track = TestTrack {
        edits: vec![(2_000, -1), (500, 4_000)],
        ..second(b"twos", 2)
    };
    let video = TestTrack {
        id: 2,
        handler: b"vide",
        ..second(b"twos", 2)
    };
    let frames = (0..16_000u16).flat_map(u16::to_be_bytes);
    let frames: Vec<u8> = frames.collect();
    let pcm = pcm_of(file(&frames, &[track.clone(), video])).unwrap();
    assert_eq!(pcm.len(), 40_000);
    assert_eq!(pcm[..32_000], [0.0; 32_000]);
    assert_eq!(pcm[32_000], 4_000.0 / 32_768.0);
    assert_eq!(pcm[39_999], 11_999.0 / 32_768.0);
    // Without video, the recording starts with the audio.
    let alone = pcm_of(file(&frames, &[track])).unwrap();
    assert_eq!(alone, pcm[32_000..]);
}

#[test]
fn a_leading_tag_changes_no_sample() {
    let frames = (0..16_000u16).flat_map(u16::to_be_bytes);
    let file = file(&frames.collect::<Vec<_>>(), &[second(b"twos", 2)]);
    let tag = b"ID3\x04\0\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0".to_vec();
    let expected = pcm_of(file.clone()).unwrap();
    assert_eq!(pcm_of([tag, file].concat()).unwrap(), expected);
}

#[test]
fn a_reader_that_stops_early_is_an_error() {
    // The index is at the end. Its tables refer to the beginning repeatedly, which exceeds the limit.
    let chunks = 40;
    let track = TestTrack {
        durations: vec![1_600 * chunks, 1],
        chunks: vec![1, 1_600, 1],
        sizes: vec![2, 1_600 * chunks],
        offsets: (0..chunks)
            .map(|chunk| CONTENT + chunk % 4 * 3_200)
            .collect(),
        ..second(b"twos", 2)
    };
    let frames = [0x40, 0].repeat(16_000);
    let error = pcm_of(file(&frames, &[track])).unwrap_err().to_string();
    let reason = "its tables point to more than there is after 2.0 s";
    assert!(error.ends_with(reason), "{error}");
}

#[test]
fn reports_files_without_audio_and_with_unknown_audio() {
    let video = TestTrack {
        handler: b"vide",
        ..second(b"twos", 2)
    };
    let error = pcm_of(file(&[0; 32_000], &[video])).unwrap_err();
    assert!(matches!(error, AudioError::NoAudioTrack { .. }), "{error}");

    let error = pcm_of(file(&[0; 32_000], &[second(b"samr", 2)])).unwrap_err();
    assert!(matches!(error, AudioError::NeedsFfmpeg { .. }), "{error}");

    let error = pcm_of(moov(&[], &[])).unwrap_err();
    assert!(matches!(error, AudioError::NoAudioTrack { .. }), "{error}");
}
