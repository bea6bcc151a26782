//! Signals for the tests of the detector.

use std::f64::consts::TAU;
use std::path::PathBuf;

/// A sentence of 11 s at 16 kHz.
#[expect(
    clippy::disallowed_methods,
    reason = "the Makefile passes the folder of the sample"
)]
pub fn sample_pcm() -> Vec<f32> {
    let folder = std::env::var_os("SAMPLES_DIR").map_or_else(
        || {
            std::env::home_dir()
                .unwrap()
                .join(".cache/halkspeech/samples")
        },
        PathBuf::from,
    );
    let path = folder.join("jfk.wav");
    let wav = std::fs::read(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run `make models`", path.display()));
    let data = wav.windows(4).position(|name| name == b"data").unwrap();
    let (samples, _) = wav[data + 8..].as_chunks();
    let samples = samples.iter().copied().map(i16::from_le_bytes);
    samples.map(|sample| f32::from(sample) / 32_768.0).collect()
}

/// A buzz of 110 to 150 Hz through two moving resonances, in bursts of growing loudness over LCG
/// noise; the same as in `scripts/vad_reference.py`.
pub fn synthetic(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let sample = |index: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (f64::from(state) / 2_f64.powi(31) - 1.0) * 0.003;
        let t = index as f64 / 16_000.0;
        let syllable = if t % 2.5 < 1.5 {
            (TAU * 2.0 * t).sin().max(0.0)
        } else {
            0.0
        };
        if syllable == 0.0 {
            return noise as f32;
        }
        let phase = TAU * 130.0 * t + 10.0 * (TAU * 0.5 * t).sin();
        let low = 500.0 + 250.0 * (TAU * 1.3 * t).sin();
        let high = 1600.0 + 600.0 * (TAU * 0.9 * t).sin();
        let harmonics = (1..=30).map(|harmonic| {
            let hz = 130.0 * f64::from(harmonic);
            let bell = |centre: f64, width: f64| (-((hz - centre) / width).powi(2)).exp();
            let loudness = 0.03 + bell(low, 200.0) + 0.5 * bell(high, 250.0);
            loudness * (f64::from(harmonic) * phase).sin()
        });
        (noise + 0.02 * t * syllable * harmonics.sum::<f64>()) as f32
    };
    (0..samples).map(sample).collect()
}
