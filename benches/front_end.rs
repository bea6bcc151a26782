//! Measures the stages between an upload and the queue.
//!
//! Recordings are read from the folder that `HALKSPEECH_RECORDINGS` names; without it only synthetic
//! inputs are measured.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use halkspeech_audio::{
    Channels, Clip, DecodeLimits, FfmpegMode, Resampler, SAMPLE_RATE_HZ, Source, VadOptions,
    WindowCutter,
};
use halkspeech_whisper::features::{LogMel, WINDOW_FRAMES, audio_frames};

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(3_600),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::from_secs(10),
};

/// Samples in a typical packet of a decoder: an MP3 frame.
const PACKET_SAMPLES: usize = 1_152;

fn seconds_of_noise(seconds: usize, rate_hz: u32) -> Vec<f32> {
    let mut state = 1_u32;
    (0..seconds * rate_hz as usize)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0 - 0.5
        })
        .collect()
}

/// A recording; prints a message if there is no folder of recordings.
#[expect(clippy::print_stdout, reason = "a benchmark prints to the terminal")]
#[expect(
    clippy::disallowed_methods,
    reason = "no setting names the recordings, which only benchmarks and tests use"
)]
fn recording(name: &str) -> Option<Bytes> {
    let Some(folder) = std::env::var_os("HALKSPEECH_RECORDINGS") else {
        println!("{name} is not measured: HALKSPEECH_RECORDINGS is not set");
        return None;
    };
    let bytes = std::fs::read(PathBuf::from(folder).join(name)).expect(name);
    Some(bytes.into())
}

/// Complete recordings, from container to 16 kHz PCM; the throughput is in output samples.
fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for name in [
        "formats/jfk_16k_f32.wav",
        "formats/jfk_44k1_stereo.flac",
        "formats/jfk_aac.m4a",
        "formats/jfk_opus.webm",
        "formats/jfk_vorbis.ogg",
        "formats/jfk_44k1_64k.mp3",
        "long_en_sonnet1_53s.mp3",
    ] {
        let Some(bytes) = recording(name) else {
            continue;
        };
        let decode = || {
            let source = Source::Memory(bytes.clone());
            halkspeech_audio::decode(source, &LIMITS, Channels::Mix).expect(name)
        };
        let samples: usize = decode().streams.iter().map(Vec::len).sum();
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(decode())));
    }
    group.finish();
}

/// 30 s of mono samples, packet by packet; the throughput is in input samples.
fn resample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample");
    for rate_hz in [8_000, 44_100, 48_000, 96_000] {
        let input = seconds_of_noise(30, rate_hz);
        group.throughput(Throughput::Elements(input.len() as u64));
        group.bench_function(format!("30 s at {rate_hz} Hz"), |bencher| {
            bencher.iter(|| {
                let mut resampler = Resampler::new(rate_hz).expect("a usual rate");
                let mut out = Vec::with_capacity(31 * SAMPLE_RATE_HZ as usize);
                for packet in input.chunks(PACKET_SAMPLES) {
                    resampler.push(packet, &mut out);
                }
                resampler.finish(&mut out);
                black_box(out)
            });
        });
    }
    group.finish();
}

/// The windows of a long recording. With detection the network processes all of it, or only the part
/// that the first window needs; an hour of noise has no window.
fn window(criterion: &mut Criterion) {
    let noise = seconds_of_noise(3_600, SAMPLE_RATE_HZ);
    let mut group = criterion.benchmark_group("windows");
    group.sample_size(10);
    for (name, vad) in [
        ("1 h, without detection", None),
        ("1 h of noise, with detection", Some(VadOptions::default())),
    ] {
        let cutter = || WindowCutter::new(noise.clone(), Clip::default(), vad);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(cutter, Iterator::count, BatchSize::PerIteration);
        });
    }
    if let Some(bytes) = recording("long_en_lj003_13min.mp3") {
        let decoded = halkspeech_audio::decode(Source::Memory(bytes), &LIMITS, Channels::Mix);
        let speech = decoded.expect("it is a sound recording").streams.concat();
        let cutter =
            || WindowCutter::new(speech.clone(), Clip::default(), Some(VadOptions::default()));
        group.bench_function("13 min of speech, with detection", |bencher| {
            bencher.iter_batched(cutter, Iterator::count, BatchSize::PerIteration);
        });
        group.bench_function("the first of 13 min of speech, with detection", |bencher| {
            bencher.iter_batched_ref(cutter, Iterator::next, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A window's features, one frame every 10 ms.
fn log_mel(criterion: &mut Criterion) {
    let pcm = seconds_of_noise(30, SAMPLE_RATE_HZ);
    let mut group = criterion.benchmark_group("log_mel");
    for n_mels in [80, 128] {
        let log_mel = LogMel::new(n_mels);
        for clip_s in [5, 30] {
            let clip = &pcm[..clip_s * SAMPLE_RATE_HZ as usize];
            let frames = audio_frames(clip.len()).min(WINDOW_FRAMES);
            group.throughput(Throughput::Elements(frames as u64));
            group.bench_function(format!("{clip_s} s in {n_mels} bins"), |bencher| {
                bencher.iter(|| log_mel.compute(black_box(clip), frames));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decode, resample, window, log_mel);
criterion_main!(benches);
