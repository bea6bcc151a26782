//! Any bytes as an upload. The result is valid PCM within the limits, covered by windows; or an error caused
//! by the input. A decoder may panic, because panics are caught; it may neither hang nor exhaust the memory.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use halkspeech_audio::{
    AudioError, Channels, Clip, DecodeLimits, FfmpegMode, MAX_SPLIT_CHANNELS, MIN_DURATION,
    SAMPLE_RATE_HZ, Source, WindowCutter, decode,
};
use halkspeech_fuzz::panics;
use libfuzzer_sys::fuzz_target;

const LIMITS: DecodeLimits = DecodeLimits {
    max_duration: Duration::from_secs(5),
    ffmpeg: FfmpegMode::Off,
    ffmpeg_timeout: Duration::ZERO,
};

fuzz_target!(init: panics::allow_panics_of_dependencies(), |data: &[u8]| {
    // Both ways of taking the channels, and the input remains a file that a player reads.
    let channels = match data.len() % 2 {
        0 => Channels::Mix,
        _ => Channels::Split,
    };
    match decode(Source::Memory(Bytes::copy_from_slice(data)), &LIMITS, channels) {
        Ok(decoded) => check(decoded.streams, channels),
        Err(
            error @ (AudioError::Read(_) | AudioError::Ffmpeg(_) | AudioError::FfmpegTimedOut { .. }),
        ) => panic!("not caused by the input: {error}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(streams: Vec<Vec<f32>>, channels: Channels) {
    let max_streams = match channels {
        Channels::Mix => 1,
        Channels::Split => MAX_SPLIT_CHANNELS,
    };
    assert!((1..=max_streams).contains(&streams.len()));
    let samples = streams[0].len();
    assert!(streams.iter().all(|stream| stream.len() == samples));
    assert!(samples >= samples_in(MIN_DURATION));
    assert!(samples * streams.len() <= samples_in(LIMITS.max_duration));
    for stream in streams {
        assert!(stream.iter().all(|sample| sample.is_finite()));
        let windows = WindowCutter::new(stream, Clip::default(), None);
        assert_eq!(
            windows.map(|window| window.pcm.len()).sum::<usize>(),
            samples
        );
    }
}

fn samples_in(duration: Duration) -> usize {
    duration.as_millis() as usize * SAMPLE_RATE_HZ as usize / 1000
}
