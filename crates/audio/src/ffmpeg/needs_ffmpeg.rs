//! Decoding of generated files by ffmpeg.

use std::time::Duration;

use super::FfmpegJob;
use crate::{
    AudioError, Channels, DecodeContext, DecodeLimits, FfmpegMode, PcmClaim, Source, decode,
};

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(60),
    ffmpeg: FfmpegMode::Auto,
    ffmpeg_timeout: Duration::from_secs(60),
};

fn decode_file(file: Vec<u8>) -> Result<Vec<f32>, AudioError> {
    let decoded = decode(Source::Memory(file.into()), &LIMITS, Channels::Mix)?;
    Ok(decoded.streams.into_iter().next().unwrap_or_default())
}

/// A tag of Adobe's "Video File Format Specification 10.1", E.4: type, time in milliseconds, content.
fn flv_tag(file: &mut Vec<u8>, kind: u8, time_ms: u32, content: &[u8]) {
    let length = content.len() as u32;
    let [high, time @ ..] = time_ms.to_be_bytes();
    file.push(kind);
    file.extend(&length.to_be_bytes()[1..]);
    file.extend(time);
    file.extend([high, 0, 0, 0]);
    file.extend(content);
    file.extend((length + 11).to_be_bytes());
}

/// Video from `video_ms` on, and a second of a loud square wave at 8 kHz from each of `audio_ms` on.
fn flv(video_ms: u32, audio_ms: &[u32]) -> Vec<u8> {
    const AUDIO: u8 = 8;
    const VIDEO: u8 = 9;
    /// µ-law, 8 kHz, mono; and a key frame of Sorenson's H.263, of which nothing is decoded.
    const MU_LAW: u8 = 0x82;
    const PICTURE: [u8; 12] = [0x12, 0, 0, 0x84, 0, 0x20, 0x20, 0x12, 0x04, 0, 0, 0];
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    flv_tag(&mut file, VIDEO, video_ms, &PICTURE);
    for start_ms in audio_ms {
        for packet in 0..10 {
            let samples = [[0x90; 20], [0x10; 20]].concat().repeat(20);
            let content = [&[MU_LAW], &samples[..]].concat();
            flv_tag(&mut file, AUDIO, start_ms + packet * 100, &content);
        }
    }
    file
}

/// Whether each tenth of a second is loud.
fn loud_tenths(pcm: &[f32]) -> String {
    let tenths = pcm.chunks_exact(1_600);
    // The resampler's delay is less than 10 ms.
    tenths
        .map(|tenth| {
            tenth[400..1_200]
                .iter()
                .map(|sample| sample.abs())
                .sum::<f32>()
                > 100.0
        })
        .map(|is_loud| if is_loud { '#' } else { '.' })
        .collect()
}

#[test]
#[ignore = "needs ffmpeg"]
fn gaps_and_late_audio_become_silence() {
    const LOUD: &str = "##########";
    const SILENT: &str = "..........";
    for (video_ms, audio_ms, expected) in [
        (0, &[0][..], vec![LOUD]),
        (0, &[2_000], vec![SILENT, SILENT, LOUD]),
        (0, &[0, 3_000], vec![LOUD, SILENT, SILENT, LOUD]),
        // Times that do not start at 0 cause no silence.
        (36_000_000, &[36_000_000], vec![LOUD]),
        (36_000_000, &[36_002_000], vec![SILENT, SILENT, LOUD]),
        // Times that jump back lose no audio.
        (0, &[0, 0, 1_000], vec![LOUD, LOUD, LOUD]),
    ] {
        let pcm = decode_file(flv(video_ms, audio_ms)).unwrap();
        assert_eq!(
            loud_tenths(&pcm),
            expected.concat(),
            "{video_ms}, {audio_ms:?}"
        );
    }
}

/// Pseudo-random bytes.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}

#[test]
#[ignore = "needs ffmpeg"]
fn decodes_nothing_from_noise() {
    for seed in 0..24 {
        let mut file = noise(seed, 20_000);
        // Magic bytes and sync words make a false detection more likely.
        let mark: &[u8] = match seed % 6 {
            1 => b"\x0b\x77",
            2 => b"\xff\xfb\x90",
            3 => b"\xff\xf1\x50",
            4 => b"\x56\xe0",
            5 => b"\x7f\xfe\x80\x01",
            _ => b"",
        };
        for at in (0..file.len() - 4).step_by(1_900) {
            file[at..at + mark.len()].copy_from_slice(mark);
        }
        let error = decode_file(file).unwrap_err();
        assert!(
            matches!(
                error,
                AudioError::Undecodable { .. } | AudioError::TooShort { .. }
            ),
            "{seed}: {error}"
        );
    }
    // Raw GSM, which has only a few constant bits per frame.
    let error = decode_file([0xd7].repeat(20_000)).unwrap_err();
    assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
}

#[test]
#[ignore = "needs ffmpeg"]
fn opens_no_file_that_an_upload_names() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.flv");
    std::fs::write(&other, flv(0, &[0])).unwrap();
    let other = other.display();
    for file in [
        format!("ffconcat version 1.0\nfile '{other}'\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"),
        format!("v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 127.0.0.1\na={other}\n"),
    ] {
        // Calls ffmpeg directly, because text files are rejected before.
        let job = FfmpegJob {
            format_name: "script",
            limits: &LIMITS,
            channels: Channels::Mix,
            file_bytes: 1_000,
            context: DecodeContext {
                is_wanted: &|| true,
                memory: PcmClaim::unlimited(),
                cpu_clock: || Duration::ZERO,
            },
        };
        let error = super::decode(Source::Memory(file.clone().into()), &job).err();
        assert!(
            matches!(error, Some(AudioError::Undecodable { .. })),
            "{file}: {error:?}"
        );
    }
}

#[test]
#[ignore = "needs ffmpeg"]
fn decodes_files_that_the_built_in_decoders_refuse() {
    // PCM of 64 bits.
    let samples = [i64::MAX / 2, -i64::MAX / 2]
        .map(i64::to_le_bytes)
        .concat()
        .repeat(2_000);
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(128_000_u32.to_le_bytes());
    wav.extend(b"\x08\0\x40\0data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(&samples);
    // A Creative voice file, which is easy to generate.
    let mut voc = b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11\x01".to_vec();
    voc.extend(&8_002_u32.to_le_bytes()[..3]);
    // 8 kHz is 256 - 125.
    voc.extend([131, 0]);
    voc.extend([0xc0, 0x40].repeat(4_000));
    voc.push(0);
    // WAV in big-endian order.
    let samples = [8_000_i16, -8_000].map(i16::to_be_bytes).concat();
    let mut rifx = b"RIFX\0\0\x7d\x24WAVEfmt \0\0\0\x10\0\x01\0\x01".to_vec();
    rifx.extend(16_000_u32.to_be_bytes());
    rifx.extend(32_000_u32.to_be_bytes());
    rifx.extend(b"\0\x02\0\x10data\0\0\x7d\0");
    rifx.extend(samples.repeat(8_000));
    // Frames of 20 ms at 4.75 kbit/s (RFC 4867, section 5).
    let amr_frame = [&[0x04_u8], &[0; 12][..]].concat();
    let amr = [b"#!AMR\n", &amr_frame.repeat(50)[..]].concat();
    for (file, samples) in [(wav, 4_000), (voc, 16_000), (rifx, 16_000), (amr, 16_000)] {
        let pcm = decode_file(file).unwrap();
        assert!(pcm.len().abs_diff(samples) < 100, "{}", pcm.len());
    }
}
