//! A signal for tests that networks take for speech.

use std::f64::consts::TAU;

/// A buzz of 110 to 150 Hz through two moving resonances, in bursts of growing loudness over LCG
/// noise; the same as in `scripts/vad_reference.py`, which `scripts/speakers_reference.py` uses.
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
