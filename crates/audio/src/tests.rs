//! Decoding of generated files.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A WAV file of 16-bit samples, interleaved.
fn wav(rate_hz: u32, channels: u16, samples: &[i16]) -> Source {
    let data_bytes = samples.len() as u32 * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data_bytes).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(b"\x10\0data");
    file.extend(data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    Source::Memory(file.into())
}

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(1),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::from_secs(1),
};

fn decode_mixed(source: Source) -> Result<Vec<f32>, AudioError> {
    let mut streams = decode(source, &LIMITS, Channels::Mix)?.streams;
    assert_eq!(streams.len(), 1);
    Ok(streams.remove(0))
}

#[test]
fn averages_the_channels() {
    let frames = [16_384, -8_192, 0, 8_192].repeat(1_600);
    for (channels, expected) in [(1, [0.5, -0.25]), (2, [0.125, 0.125]), (4, [0.125, 0.125])] {
        let pcm = decode_mixed(wav(16_000, channels, &frames)).unwrap();
        assert_eq!(pcm.len(), frames.len() / usize::from(channels));
        assert_eq!(pcm[..2], expected, "{channels} channels");
    }
}

#[test]
fn enforces_the_limits() {
    let check = |milliseconds: usize| {
        let result = decode_mixed(wav(8_000, 1, &vec![0; milliseconds * 8]));
        result
            .map(|pcm| pcm.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        check(99),
        Err("the audio lasts 99 ms; at least 100 ms are needed".to_owned())
    );
    assert_eq!(check(100), Ok(1_600));
    assert_eq!(check(1_000), Ok(16_000));
    assert_eq!(
        check(1_001),
        Err("the audio is longer than the limit of 1 s".to_owned())
    );
}

#[test]
fn splits_the_channels() {
    let frames = [16_384, -8_192, 0, 8_192].repeat(1_600);
    for channels in [1, 2, 4] {
        let source = wav(16_000, channels, &frames);
        let streams = decode(source, &LIMITS, Channels::Split).unwrap().streams;
        let channels = usize::from(channels);
        assert_eq!(streams.len(), channels);
        for (channel, stream) in streams.iter().enumerate() {
            assert_eq!(stream.len(), frames.len() / channels);
            assert_eq!(stream[0], f32::from(frames[channel]) / 32_768.0);
        }
    }
}

#[test]
fn enforces_the_limits_of_split_channels() {
    let check = |channels: u16, milliseconds: usize| {
        let samples = vec![0; milliseconds * 16 * usize::from(channels)];
        let result = decode(wav(16_000, channels, &samples), &LIMITS, Channels::Split);
        result
            .map(|decoded| decoded.streams.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(2, 500), Ok(2));
    assert_eq!(
        check(2, 501),
        Err("the audio is longer than the limit of 0.5 s".to_owned())
    );
    assert_eq!(
        check(2, 99),
        Err("the audio lasts 99 ms; at least 100 ms are needed".to_owned())
    );
    assert_eq!(
        check(17, 100),
        Err("the audio has 17 channels; at most 16 are transcribed one by one".to_owned())
    );
}

#[test]
fn reads_no_more_packets_than_there_are_bytes() {
    // Its tables claim four billion packets without a byte.
    let file = include_bytes!("../fixtures/empty_packets.mp4");
    let error = decode_mixed(Source::Memory(file[..].into())).unwrap_err();
    assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
}

#[test]
fn counts_no_more_samples_than_there_are_bytes() {
    // Its fragment claims two billion samples that it does not describe.
    let file = include_bytes!("../fixtures/forged_run.mp4");
    let error = decode_mixed(Source::Memory(file[..].into())).unwrap_err();
    assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
}

#[test]
fn stops_once_the_result_is_not_wanted() {
    let calls = AtomicUsize::new(0);
    let is_wanted = || calls.fetch_add(1, Ordering::Relaxed) < 2;
    let source = wav(16_000, 1, &[0; 16_000]);
    let context = DecodeContext {
        is_wanted: &is_wanted,
        ..context(PcmClaim::unlimited())
    };
    let decoded = decode_with_context(context, source, &LIMITS, Channels::Mix).unwrap();
    assert!(decoded.streams[0].len() < 16_000);
}

/// The context of a request that waits for ever, and whose decoding takes no time.
fn context(memory: &PcmClaim) -> DecodeContext<'_> {
    DecodeContext {
        is_wanted: &|| true,
        memory,
        cpu_clock: || Duration::ZERO,
    }
}

thread_local! {
    static SECONDS: Cell<u64> = const { Cell::new(0) };
}

#[test]
fn limits_processor_time() {
    // Each reading of the clock is a second later: more than the limit for a file of 1 s.
    let context = DecodeContext {
        cpu_clock: || {
            SECONDS.set(SECONDS.get() + 1);
            Duration::from_secs(SECONDS.get())
        },
        ..context(PcmClaim::unlimited())
    };
    for bytes in [
        wav(16_000, 1, &[0; 16_000]),
        Source::Memory(mp4_without_audio()),
    ] {
        let error = decode_with_context(context, bytes, &LIMITS, Channels::Mix).unwrap_err();
        assert!(matches!(error, AudioError::TooCostly { .. }), "{error}");
    }
}

/// A file that takes a reader long to reject.
fn mp4_without_audio() -> Bytes {
    let empty = b"\0\0\0\x08free".repeat(100_000);
    [&b"\0\0\0\x10ftypM4A \0\0\0\0"[..], &empty].concat().into()
}

#[test]
fn refuses_a_file_of_empty_chunks_at_once() {
    let file = [
        &b"RIFF\xff\xff\xff\xffWAVE"[..],
        &b"JUNK\0\0\0\0".repeat(20_000),
        b"fmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\0\x08\0\0",
        &[0; 2_048],
    ]
    .concat();
    let error = decode_mixed(Source::Memory(file.into())).unwrap_err();
    assert!(matches!(error, AudioError::TooCostly { .. }), "{error}");
}

#[test]
fn claims_memory_for_the_pcm() {
    const MIB: u64 = 1 << 20;
    let second = || wav(16_000, 1, &[0; 16_000]);
    let budget = Arc::new(PcmBudget::new(MIB / 8));
    let decode = |source, claim: &PcmClaim| {
        decode_with_context(context(claim), source, &LONG, Channels::Mix)
    };
    let (first, other) = (budget.claim(), budget.claim());
    decode(second(), &first).unwrap();
    assert_eq!(budget.used_bytes(), 64 * 1024);
    other.resize(64 * 1024).unwrap();
    let error = decode(wav(16_000, 1, &[0; 24_000]), &first).unwrap_err();
    assert!(matches!(error, AudioError::NoMemory { .. }), "{error}");
    let error = decode(wav(16_000, 1, &[0; 40_000]), &budget.claim()).unwrap_err();
    assert!(matches!(error, AudioError::NoMemory { .. }), "{error}");
    drop((first, other));
    let error = decode(wav(16_000, 1, &[0; 40_000]), &budget.claim()).unwrap_err();
    assert!(matches!(error, AudioError::TooMuchMemory { .. }), "{error}");
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn refuses_an_absurd_rate() {
    let error = decode_mixed(wav(500, 1, &[0; 4_000])).unwrap_err();
    assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
}

#[test]
fn replaces_invalid_float_samples_by_silence() {
    let mut au = b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\x06\0\0\x3e\x80\0\0\0\x01".to_vec();
    for sample in [f32::NAN, f32::INFINITY, -1e30, 0.5].repeat(1_000) {
        au.extend(sample.to_be_bytes());
    }
    let pcm = decode_mixed(Source::Memory(au.into())).unwrap();
    assert_eq!(pcm, [0.0, 0.0, 0.0, 0.5].repeat(1_000));
}

#[test]
fn reads_a_file_from_its_beginning() {
    use std::io::{SeekFrom, Write};

    let Source::Memory(bytes) = wav(16_000, 1, &[1_000; 8_000]) else {
        unreachable!("built in memory")
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(decode_mixed(Source::File(file)).unwrap().len(), 8_000);
}

const LONG: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(60),
    ..LIMITS
};

/// An ADTS file (ISO/IEC 14496-3, 1.A.3.2) of mono AAC-LC at 16 kHz: silent frames of 64 ms, of which
/// `damaged` cannot be decoded.
fn adts(frames: usize, damaged: std::ops::Range<usize>) -> Source {
    // A single channel element without scale factor bands, and the end.
    const SILENCE: [u8; 4] = [0, 0, 0, 0x07];
    // A program configuration in place of a channel.
    const DAMAGE: [u8; 4] = [0xa0, 0, 0, 0];
    let mut file = Vec::new();
    for frame in 0..frames {
        file.extend([0xff, 0xf1, 0x60, 0x40, 0x01, 0x7f, 0xfc]);
        file.extend(match damaged.contains(&frame) {
            true => DAMAGE,
            false => SILENCE,
        });
    }
    Source::Memory(file.into())
}

#[test]
fn a_lost_packet_becomes_silence_and_is_listed() {
    let decoded = decode(adts(200, 100..101), &LONG, Channels::Mix).unwrap();
    assert_eq!(decoded.lost_ranges.len(), 1);
    assert_eq!(decoded.lost_ranges[0], 100 * 1024..101 * 1024);
    assert_eq!(decoded.streams, [vec![0.0; 200 * 1024]]);
}

/// A check sum of `bits` bits, not reflected.
fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).rev().fold(sum, |sum, bit| {
            let top = sum >> (bits - 1) ^ u32::from(byte >> bit & 1);
            (sum << 1 ^ if top & 1 == 1 { polynomial } else { 0 }) & ((1 << bits) - 1)
        })
    })
}

/// A mono FLAC file (RFC 9639) at 16 kHz with frames of these numbers: 4,096 samples of 0.5.
fn flac(frames: impl IntoIterator<Item = u8>) -> Source {
    let mut file = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x03\xe8\x00\xf0".to_vec();
    file.resize(4 + 4 + 34, 0);
    for number in frames {
        let mut frame = vec![0xff, 0xf8, 0xc0, 0x00, number];
        frame.push(crc(&frame, 8, 0x07) as u8);
        // A constant subframe.
        frame.extend([0, 0x40, 0]);
        let sum = crc(&frame, 16, 0x8005) as u16;
        frame.extend(sum.to_be_bytes());
        file.extend(frame);
    }
    Source::Memory(file.into())
}

#[test]
fn missing_flac_frames_become_silence_and_are_listed() {
    const FRAME: usize = 4_096;
    let missing = 40 * FRAME..41 * FRAME;
    let decoded = decode(flac((0..80).filter(|n| *n != 40)), &LONG, Channels::Mix).unwrap();
    assert_eq!(decoded.lost_ranges, std::slice::from_ref(&missing));
    assert_eq!(decoded.streams[0].len(), 80 * FRAME);
    for (at, sample) in decoded.streams[0].iter().enumerate() {
        let expected = if missing.contains(&at) { 0.0 } else { 0.5 };
        assert_eq!(*sample, expected, "{at}");
    }
    // Frames missing at the start are not.
    let decoded = decode(flac(40..80), &LONG, Channels::Mix).unwrap();
    assert!(decoded.lost_ranges.is_empty());
    assert!(decoded.streams == [vec![0.5; 40 * FRAME]]);
}

#[test]
fn refuses_a_recording_with_too_much_loss() {
    let error = decode(adts(200, 100..105), &LONG, Channels::Mix).unwrap_err();
    let AudioError::Undecodable { reason, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(reason, "0.3 of its 12.8 s are damaged");
    let error = decode(
        flac((0..80).filter(|n| !(40..43).contains(n))),
        &LONG,
        Channels::Mix,
    );
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "could not decode FLAC: 0.8 of its 20.5 s are damaged"
    );
    // Also if it is damaged up to its end.
    let error = decode(adts(200, 100..200), &LONG, Channels::Mix).unwrap_err();
    assert!(matches!(error, AudioError::Undecodable { .. }), "{error}");
}

#[test]
fn a_truncated_last_packet_is_not_a_loss() {
    let decoded = decode(adts(20, 19..20), &LONG, Channels::Mix).unwrap();
    assert!(decoded.lost_ranges.is_empty());
    assert_eq!(decoded.streams[0].len(), 19 * 1024);
}
