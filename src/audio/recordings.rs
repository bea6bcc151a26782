//! Decodes the development recordings, which lie beside the checkout and not in it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use super::{AudioError, DecodeLimits, FfmpegMode, Source, decode};

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(120),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::from_secs(30),
};

const EXACT: f64 = 0.9998;
const LOSSY: f64 = 0.997;
/// Opus codes the shape of the spectrum rather than the wave, and AAC's start lies between samples.
const WAVEFORM_BLURRED: f64 = 0.97;

/// The encoder delay of AAC and of MP3 without its header, 1,024 and 1,105 samples of 44.1 kHz,
/// which nothing in the stream takes back.
const AAC_DELAY: usize = 372;
const MP3_DELAY: usize = 401;

/// File in `formats`, least correlation with the original, samples by which it is late.
const FORMATS: [(&str, f64, usize); 42] = [
    ("jfk_11k025_s16.wav", EXACT, 0),
    ("jfk_16k.au", EXACT, 0),
    ("jfk_16k.caf", EXACT, 0),
    ("jfk_16k_6ch.wav", EXACT, 0),
    ("jfk_16k_adpcm_ima.wav", LOSSY, 0),
    ("jfk_16k_adpcm_ms.wav", LOSSY, 0),
    ("jfk_16k_f32.wav", EXACT, 0),
    ("jfk_16k_f64.wav", EXACT, 0),
    ("jfk_16k_listchunk.wav", EXACT, 0),
    ("jfk_16k_mpeg2_32k.mp3", LOSSY, 0),
    ("jfk_16k_rf64.wav", EXACT, 0),
    ("jfk_16k_s32.wav", EXACT, 0),
    ("jfk_16k_streamed_header.wav", EXACT, 0),
    ("jfk_16k_u8.wav", LOSSY, 0),
    ("jfk_44k1_24bit.flac", EXACT, 0),
    ("jfk_44k1_64k.mp3", LOSSY, 0),
    ("jfk_44k1_stereo.aiff", EXACT, 0),
    ("jfk_44k1_stereo.flac", EXACT, 0),
    ("jfk_44k1_stereo_s16.wav", EXACT, 0),
    ("jfk_48k_s16.wav", EXACT, 0),
    ("jfk_48k_s24.wav", EXACT, 0),
    ("jfk_8k_alaw.wav", LOSSY, 0),
    ("jfk_8k_s16.wav", LOSSY, 0),
    ("jfk_8k_ulaw.wav", LOSSY, 0),
    ("jfk_aac.m4a", WAVEFORM_BLURRED, AAC_DELAY),
    ("jfk_aac_faststart.m4a", WAVEFORM_BLURRED, AAC_DELAY),
    ("jfk_adts.aac", WAVEFORM_BLURRED, AAC_DELAY),
    ("jfk_alac.m4a", EXACT, 0),
    ("jfk_copy.mpeg", LOSSY, 0),
    ("jfk_copy.mpga", LOSSY, 0),
    ("jfk_id3_cover.mp3", LOSSY, 0),
    ("jfk_opus.ogg", WAVEFORM_BLURRED, 0),
    ("jfk_opus.webm", WAVEFORM_BLURRED, 0),
    ("jfk_opus_live.webm", WAVEFORM_BLURRED, 0),
    ("jfk_opus_stereo.opus", WAVEFORM_BLURRED, 0),
    ("jfk_vbr_stereo.mp3", LOSSY, 0),
    ("jfk_video_aac.mov", WAVEFORM_BLURRED, AAC_DELAY),
    ("jfk_video_aac.mp4", WAVEFORM_BLURRED, AAC_DELAY),
    ("jfk_video_mp3.mkv", LOSSY, MP3_DELAY),
    ("jfk_video_opus.webm", WAVEFORM_BLURRED, 0),
    ("jfk_vorbis.ogg", LOSSY, 0),
    ("jfk_vorbis.webm", LOSSY, 0),
];

/// The folder of recordings, or a word on why the test says nothing.
fn recordings() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/audio"));
    if !folder.is_dir() {
        println!("skipped: no recordings at {}", folder.display());
        return None;
    }
    Some(folder)
}

fn decode_file(path: PathBuf) -> Result<Vec<f32>, AudioError> {
    decode(Source::File(File::open(path).unwrap()), &LIMITS)
}

/// How alike two sounds are, 1 at best, the second being late by `delay` samples give or take two.
fn likeness(original: &[f32], pcm: &[f32], delay: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let a = &original[16_000..160_000];
    (15_998..=16_002)
        .map(|start| &pcm[start + delay..][..a.len()])
        .map(|b| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())
        .fold(0.0, f64::max)
}

#[test]
fn decodes_every_format_to_the_same_sound() {
    let Some(folder) = recordings() else { return };
    let original = decode_file(folder.join("en_jfk.wav")).unwrap();
    for (name, least, delay) in FORMATS {
        let pcm = decode_file(folder.join("formats").join(name)).expect(name);
        assert!(
            pcm.len().abs_diff(176_000) <= 1_600,
            "{name}: {}",
            pcm.len()
        );
        let likeness = likeness(&original, &pcm, delay);
        assert!(likeness >= least, "{name}: {likeness}");
    }
}

#[test]
fn names_or_hands_to_ffmpeg_what_is_not_native() {
    let Some(folder) = recordings() else { return };
    for (name, format) in [
        ("formats/jfk_8k_gsm.wav", "WAV with GSM 6.10"),
        ("formats/jfk_g722.wav", "WAV with G.722"),
        ("formats/jfk_wmav2.wma", "ASF (WMA)"),
        ("multi_8channel.m4a", "isomp4 with Advanced Audio Coding"),
    ] {
        match decode_file(folder.join(name)) {
            Err(AudioError::NeedsFfmpeg { found }) => assert_eq!(found, format),
            other => panic!("{name}: {other:?}"),
        }
        let limits = DecodeLimits {
            ffmpeg: FfmpegMode::Auto,
            ..LIMITS
        };
        let bytes = fs::read(folder.join(name)).unwrap();
        match decode(Source::Memory(bytes.into()), &limits) {
            Ok(pcm) => assert!(pcm.len() > 8 * 16_000, "{name}: {}", pcm.len()),
            Err(AudioError::NeedsFfmpeg { .. }) => println!("skipped: ffmpeg is not installed"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn gives_what_a_cut_off_file_holds() {
    let Some(folder) = recordings() else { return };
    for (name, ..) in FORMATS {
        let mut bytes = fs::read(folder.join("formats").join(name)).unwrap();
        bytes.truncate(bytes.len() / 2);
        let ends_with_its_index = matches!(
            name,
            "jfk_aac.m4a" | "jfk_alac.m4a" | "jfk_video_aac.mov" | "jfk_video_aac.mp4"
        );
        match decode(Source::Memory(bytes.into()), &LIMITS) {
            Ok(pcm) => assert!(pcm.len().abs_diff(88_000) < 11_000, "{name}: {}", pcm.len()),
            Err(error) => assert!(ends_with_its_index, "{name}: {error}"),
        }
    }
}

#[track_caller]
fn check(name: &str, expected: fn(&Result<Vec<f32>, AudioError>) -> bool) {
    let Some(folder) = recordings() else { return };
    let result = decode_file(folder.join("edge").join(name));
    assert!(
        expected(&result),
        "{name}: {:?}",
        result.map(|pcm| pcm.len())
    );
}

#[test]
fn refuses_what_holds_no_audio() {
    for name in [
        "invalid_header_only.wav",
        "invalid_random_bytes.ogg",
        "invalid_text.mp3",
        "invalid_truncated_no_moov.m4a",
        "invalid_zero_bytes.wav",
    ] {
        check(name, |result| {
            matches!(result, Err(AudioError::Undecodable { .. }))
        });
    }
    check("invalid_video_without_audio.mp4", |result| {
        matches!(result, Err(AudioError::NoAudioTrack { .. }))
    });
    for name in ["no_samples.wav", "one_sample.wav"] {
        check(name, |result| {
            matches!(result, Err(AudioError::TooShort { .. }))
        });
    }
}

#[test]
fn goes_by_content_and_not_by_name() {
    for name in ["wrong_ext_flac_named.mp3", "no_extension_m4a"] {
        check(
            name,
            |result| matches!(result, Ok(pcm) if pcm.len().abs_diff(176_000) < 1_600),
        );
    }
}
