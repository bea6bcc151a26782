use std::path::Path;
use std::time::Duration;

use halkspeech_audio::{Channels, DecodeLimits, FfmpegMode, Source, decode};
use serde_json::Value;

use super::real_speech::run;
use crate::recordings::recordings_dir;

/// A minute of samples.
const MINUTE: usize = 60 * 16_000;

/// The samples of the recordings of these kinds, with their names.
fn recordings(kinds: &[&str]) -> Vec<(String, Vec<f32>)> {
    let folder = recordings_dir();
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let entries = manifest
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let named = entries.filter(|entry| kinds.contains(&entry["kind"].as_str().unwrap()));
    named
        .map(|entry| {
            let name = entry["file"].as_str().unwrap().to_owned();
            let pcm = samples(&folder.join(&name));
            (name, pcm)
        })
        .collect()
}

fn samples(path: &Path) -> Vec<f32> {
    let limits = DecodeLimits {
        max_duration: Duration::from_secs(300),
        ffmpeg: FfmpegMode::Off,
        ffmpeg_timeout: Duration::from_secs(60),
    };
    let audio = Source::Memory(std::fs::read(path).unwrap().into());
    let decoded = decode(audio, &limits, Channels::Mix).unwrap();
    decoded.streams.into_iter().next().unwrap()
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn a_minute_of_silence_noise_or_music_is_no_turn() {
    let recordings = recordings(&["edge-silence", "edge-noise", "edge-music"]);
    assert!(
        recordings.len() >= 13,
        "only {} recordings",
        recordings.len()
    );
    for (name, pcm) in recordings {
        let minute: Vec<f32> = pcm.iter().cycle().take(MINUTE).copied().collect();
        let (events, pieces) = run(&minute, 1_600);
        assert_eq!((events, pieces.len()), (Vec::new(), 0), "{name}");
    }
}

#[test]
#[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
fn turns_contain_speech_and_not_the_silence_around_it() {
    let recordings = recordings(&["edge-speech-silence"]);
    assert!(
        recordings.len() >= 3,
        "only {} recordings",
        recordings.len()
    );
    for (name, mut pcm) in recordings {
        // Silence ends the last turn.
        pcm.extend([0.0; 16_000]);
        let (_, pieces) = run(&pcm, 1_600);
        let turns_s = pieces.iter().map(Vec::len).sum::<usize>() as f64 / 16_000.0;
        // The sentence has 11 s, pauses included; one recording has it twice.
        let sentences = if name.contains("33s") { 2.0 } else { 1.0 };
        let expected_s = 8.0 * sentences..12.5 * sentences;
        assert!(
            expected_s.contains(&turns_s),
            "{name}: {turns_s} s in turns"
        );
    }
}
