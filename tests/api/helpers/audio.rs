//! Audio made on the spot.

use std::f64::consts::TAU;
use std::time::Duration;

const SAMPLE_RATE_HZ: u32 = 16_000;

/// Half a second of a tone, as a WAV file.
pub fn tone(pitch_hz: f64) -> Vec<u8> {
    tones(&[(pitch_hz, Duration::from_millis(500))])
}

/// Tones one after the other, as a WAV file.
pub fn tones(parts: &[(f64, Duration)]) -> Vec<u8> {
    let mut samples = Vec::new();
    for (pitch_hz, duration) in parts {
        let count = (duration.as_secs_f64() * f64::from(SAMPLE_RATE_HZ)).round() as u32;
        samples.extend((0..count).map(|index| {
            let phase = TAU * pitch_hz * f64::from(index) / f64::from(SAMPLE_RATE_HZ);
            (phase.sin() * 12_000.0) as i16
        }));
    }
    wav(&samples)
}

/// 16-bit mono PCM at 16 kHz as a WAV file.
fn wav(samples: &[i16]) -> Vec<u8> {
    let data_bytes = 2 * samples.len() as u32;
    let mut file = Vec::with_capacity(44 + 2 * samples.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    for (field, bytes) in [
        (1, 2),
        (1, 2),
        (SAMPLE_RATE_HZ, 4),
        (2 * SAMPLE_RATE_HZ, 4),
        (2, 2),
        (16, 2),
    ] {
        file.extend_from_slice(&field.to_le_bytes()[..bytes]);
    }
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
