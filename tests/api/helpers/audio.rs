//! Generated audio.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::fetched_files::sample_pcm;

const SAMPLE_RATE_HZ: u32 = 16_000;

/// The samples of a sentence of 11 s.
pub fn sample() -> Vec<i16> {
    let pcm = sample_pcm().into_iter();
    pcm.map(|sample| (sample * 32_768.0) as i16).collect()
}

/// Half a second of a tone, as a WAV file.
pub fn tone(pitch_hz: f64) -> Vec<u8> {
    tones(&[(pitch_hz, Duration::from_millis(500))])
}

/// Tones one after the other, as a WAV file.
pub fn tones(parts: &[(f64, Duration)]) -> Vec<u8> {
    let samples = parts
        .iter()
        .flat_map(|(pitch_hz, duration)| sine(*pitch_hz, *duration));
    wav(1, &samples.collect::<Vec<_>>())
}

/// Half a second with a tone on each of two channels, as a WAV file.
pub fn stereo(left_hz: f64, right_hz: f64) -> Vec<u8> {
    let duration = Duration::from_millis(500);
    let frames = sine(left_hz, duration).zip(sine(right_hz, duration));
    let samples: Vec<_> = frames.flat_map(|(left, right)| [left, right]).collect();
    wav(2, &samples)
}

/// Silence in an ADTS file of mono AAC-LC at 16 kHz, 64 ms a frame; one of its frames is damaged.
pub fn adts_with_a_damaged_frame(frames: usize, damaged: usize) -> Vec<u8> {
    let frame = |number: usize| {
        let header = [0xff, 0xf1, 0x60, 0x40, 0x01, 0x7f, 0xfc];
        // A silent channel, or a program configuration where a channel is due.
        let content = if number == damaged {
            [0xa0, 0, 0, 0]
        } else {
            [0, 0, 0, 7]
        };
        header.into_iter().chain(content)
    };
    (0..frames).flat_map(frame).collect()
}

fn sine(pitch_hz: f64, duration: Duration) -> impl Iterator<Item = i16> {
    let count = (duration.as_secs_f64() * f64::from(SAMPLE_RATE_HZ)).round() as u32;
    (0..count).map(move |index| {
        let phase = TAU * pitch_hz * f64::from(index) / f64::from(SAMPLE_RATE_HZ);
        (phase.sin() * 12_000.0) as i16
    })
}

/// 16-bit PCM at 16 kHz as a WAV file.
pub fn wav(channels: u32, samples: &[i16]) -> Vec<u8> {
    let data_bytes = 2 * samples.len() as u32;
    let mut file = Vec::with_capacity(44 + 2 * samples.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    for (field, bytes) in [
        (1, 2),
        (channels, 2),
        (SAMPLE_RATE_HZ, 4),
        (2 * channels * SAMPLE_RATE_HZ, 4),
        (2 * channels, 2),
        (16, 2),
    ] {
        file.extend_from_slice(&field.to_le_bytes()[..bytes]);
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
