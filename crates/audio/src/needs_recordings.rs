//! Tests the whole crate with the recordings in the folder that `HALKSPEECH_RECORDINGS` names.

use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AudioError, Channels, Clip, DecodeLimits, DecodedAudio, FRAME_SAMPLES, FfmpegMode, Silero,
    Source, VadOptions, WindowCutter, decode, spans,
};

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(120),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::from_secs(30),
};

const EXACT: f64 = 0.9998;
const LOSSY: f64 = 0.997;
/// Opus preserves the spectrum rather than the waveform, and AAC's start is between samples.
const WAVEFORM_BLURRED: f64 = 0.97;

/// The encoder delay of AAC without a container and of MP3 without its header, 1,024 and 1,105 samples at
/// 44.1 kHz, which these streams do not state.
const AAC_DELAY: usize = 372;
const MP3_DELAY: usize = 401;

/// File in `formats`, minimum correlation with the original, delay in samples.
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
    ("jfk_aac.m4a", WAVEFORM_BLURRED, 0),
    ("jfk_aac_faststart.m4a", WAVEFORM_BLURRED, 0),
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
    ("jfk_video_aac.mov", WAVEFORM_BLURRED, 0),
    ("jfk_video_aac.mp4", WAVEFORM_BLURRED, 0),
    ("jfk_video_mp3.mkv", LOSSY, MP3_DELAY),
    ("jfk_video_opus.webm", WAVEFORM_BLURRED, 0),
    ("jfk_vorbis.ogg", LOSSY, 0),
    ("jfk_vorbis.webm", LOSSY, 0),
];

/// File that needs ffmpeg, and the name of its format.
const FFMPEG_FORMATS: [(&str, &str); 4] = [
    ("formats/jfk_8k_gsm.wav", "WAV with GSM 6.10"),
    ("formats/jfk_g722.wav", "WAV with G.722"),
    ("formats/jfk_wmav2.wma", "ASF (WMA)"),
    ("multi_8channel.m4a", "MP4 with AAC"),
];

/// Spans of speech in samples according to `get_speech_timestamps` of the PyPI package `silero-vad` 6.2.3
/// with this project's default options.
const SPEECH: [(&str, &[(usize, usize)]); 26] = [
    ("de_fleurs_000.ogg", &[(62_720, 228_608)]),
    ("fr_fleurs_001.ogg", &[(42_752, 340_224)]),
    ("en_jfk.wav", &[(0, 176_000)]),
    ("en_nature_24k.wav", &[(1_792, 85_325)]),
    ("ja_picovoice.wav", &[(6_400, 86_976)]),
    (
        "multi_two_speakers_20s.wav",
        &[(25_856, 67_328), (94_464, 317_205)],
    ),
    ("pt_fleurs_002.ogg", &[(8_448, 100_608)]),
    ("tr_ivr8k_maintenance.wav", &[(0, 100_960)]),
    ("long_en_sonnet1_53s.mp3", &[(256, 852_265)]),
    (
        "edge/jfk_33s_silence_jfk.wav",
        &[(0, 182_528), (703_232, 880_000)],
    ),
    ("edge/jfk_after_20s_silence.wav", &[(319_232, 496_000)]),
    ("edge/jfk_then_25s_silence.wav", &[(0, 182_528)]),
    ("edge/jfk_pink_snr0.wav", &[(0, 176_000)]),
    ("edge/jfk_quiet_minus40dB.wav", &[(15_616, 176_000)]),
    ("edge/speech_0s25.wav", &[(0, 4_000)]),
    ("edge/dtmf_like_4s.wav", &[]),
    ("edge/env_dog_5s.wav", &[]),
    ("edge/env_thunder_5s.wav", &[]),
    ("edge/music_hold_40s_8k.wav", &[]),
    ("edge/music_plucks_16s.wav", &[]),
    ("edge/noise_brown_quiet_10s.wav", &[]),
    ("edge/noise_pink_10s.wav", &[]),
    ("edge/noise_white_10s.wav", &[]),
    ("edge/room_tone_8s.wav", &[]),
    ("edge/silence_40s.wav", &[]),
    ("edge/tone_440_5s.wav", &[]),
];

/// The folder of recordings.
#[expect(
    clippy::disallowed_methods,
    reason = "no setting names the recordings, which only tests use"
)]
fn recordings() -> PathBuf {
    let folder = std::env::var_os("HALKSPEECH_RECORDINGS")
        .map(PathBuf::from)
        .expect("set HALKSPEECH_RECORDINGS to the folder of the recordings");
    assert!(folder.is_dir(), "{} is no folder", folder.display());
    folder
}

fn decode_file(path: PathBuf) -> Result<Vec<f32>, AudioError> {
    let source = Source::File(File::open(path).unwrap());
    decode(source, &LIMITS, Channels::Mix).map(single_stream)
}

/// The single stream of mixed channels.
fn single_stream(mut decoded: DecodedAudio) -> Vec<f32> {
    assert_eq!(decoded.streams.len(), 1);
    decoded.streams.remove(0)
}

/// The streams of a recording of several channels.
fn split_channels(name: &str, ffmpeg: FfmpegMode) -> Vec<Vec<f32>> {
    let source = Source::File(File::open(recordings().join(name)).unwrap());
    let limits = DecodeLimits { ffmpeg, ..LIMITS };
    decode(source, &limits, Channels::Split).unwrap().streams
}

/// The maximum correlation of two recordings, the second delayed by `delay` samples ±2.
fn correlation(original: &[f32], pcm: &[f32], delay: usize) -> f64 {
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
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn decodes_every_format_to_the_same_audio() {
    let folder = recordings();
    let original = decode_file(folder.join("en_jfk.wav")).unwrap();
    for (name, min_correlation, delay) in FORMATS {
        let pcm = decode_file(folder.join("formats").join(name)).expect(name);
        assert!(
            pcm.len().abs_diff(176_000) <= 1_600,
            "{name}: {}",
            pcm.len()
        );
        let correlation = correlation(&original, &pcm, delay);
        assert!(correlation >= min_correlation, "{name}: {correlation}");
    }
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn names_formats_that_need_ffmpeg() {
    let folder = recordings();
    for (name, format) in FFMPEG_FORMATS {
        match decode_file(folder.join(name)) {
            Err(AudioError::NeedsFfmpeg { format_name }) => assert_eq!(format_name, format),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn splits_the_channels_of_a_call() {
    let streams = split_channels("multi_stereo_two_speakers.wav", FfmpegMode::Off);
    assert_eq!(
        streams.iter().map(Vec::len).collect::<Vec<_>>(),
        [80_000; 2]
    );
    assert_ne!(streams[0], streams[1]);
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn finds_the_same_speech_as_the_reference() {
    let folder = recordings();
    let options = VadOptions::default();
    for (name, expected) in SPEECH {
        let pcm = decode_file(folder.join(name)).expect(name);
        let found = spans(&Silero::new().probabilities(&pcm), pcm.len(), &options);
        let near = |found: &Range<usize>, expected: &(usize, usize)| {
            let distance = found.start.abs_diff(expected.0);
            distance.max(found.end.abs_diff(expected.1)) <= FRAME_SAMPLES
        };
        let all_near = found
            .iter()
            .zip(expected)
            .all(|(found, expected)| near(found, expected));
        assert!(
            all_near && found.len() == expected.len(),
            "{name}: {found:?}"
        );
        // The windows have the same spans, though the network processes a block at a time; but short
        // leading silence is kept, and quiet recordings are amplified.
        let mut cut: Vec<Range<usize>> = Vec::new();
        for window in WindowCutter::new(pcm, Clip::default(), Some(options)) {
            for span in window.clock.spans() {
                match cut.last_mut() {
                    Some(last) if last.end == span.start => last.end = span.end(),
                    _ => cut.push(span.start..span.end()),
                }
            }
        }
        let covers = |(cut, found): (&Range<usize>, &Range<usize>)| {
            cut.start <= found.start && cut.end.abs_diff(found.end) <= FRAME_SAMPLES
        };
        assert!(
            cut.len() == found.len() && cut.iter().zip(&found).all(covers),
            "{name}: {cut:?} from {found:?}"
        );
    }
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn decodes_the_start_of_a_truncated_file() {
    let folder = recordings();
    for (name, ..) in FORMATS {
        let mut bytes = fs::read(folder.join("formats").join(name)).unwrap();
        bytes.truncate(bytes.len() / 2);
        let ends_with_its_index = matches!(
            name,
            "jfk_aac.m4a" | "jfk_alac.m4a" | "jfk_video_aac.mov" | "jfk_video_aac.mp4"
        );
        match decode(Source::Memory(bytes.into()), &LIMITS, Channels::Mix).map(single_stream) {
            Ok(pcm) => assert!(pcm.len().abs_diff(88_000) < 11_000, "{name}: {}", pcm.len()),
            Err(error) => assert!(ends_with_its_index, "{name}: {error}"),
        }
    }
}

#[track_caller]
fn check(name: &str, expected: fn(&Result<Vec<f32>, AudioError>) -> bool) {
    let result = decode_file(recordings().join("edge").join(name));
    assert!(
        expected(&result),
        "{name}: {:?}",
        result.map(|pcm| pcm.len())
    );
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn refuses_files_without_audio() {
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
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn detects_the_format_by_content_not_by_name() {
    for name in ["wrong_ext_flac_named.mp3", "no_extension_m4a"] {
        check(
            name,
            |result| matches!(result, Ok(pcm) if pcm.len().abs_diff(176_000) < 1_600),
        );
    }
}

mod needs_ffmpeg {
    use std::fs;

    use super::{
        Channels, DecodeLimits, FFMPEG_FORMATS, FfmpegMode, LIMITS, Source, decode, recordings,
        single_stream, split_channels,
    };

    #[test]
    #[ignore = "needs ffmpeg, and recordings: set HALKSPEECH_RECORDINGS"]
    fn ffmpeg_decodes_other_formats() {
        let limits = DecodeLimits {
            ffmpeg: FfmpegMode::Auto,
            ..LIMITS
        };
        for (name, _) in FFMPEG_FORMATS {
            let bytes = fs::read(recordings().join(name)).unwrap();
            let decoded = decode(Source::Memory(bytes.into()), &limits, Channels::Mix);
            let pcm = decoded.map(single_stream).expect(name);
            assert!(pcm.len() > 8 * 16_000, "{name}: {}", pcm.len());
        }
    }

    #[test]
    #[ignore = "needs ffmpeg, and recordings: set HALKSPEECH_RECORDINGS"]
    fn ffmpeg_splits_eight_channels() {
        let streams = split_channels("multi_8channel.m4a", FfmpegMode::Auto);
        assert_eq!(streams.len(), 8);
    }
}
