//! The mel filter bank.

use super::{BLOCK_FRAMES, FFT_BINS, FFT_SAMPLES};

const SAMPLE_RATE_HZ: f64 = 16_000.0;

/// One triangular filter, without the zeros around it.
pub(super) struct MelFilter {
    first_bin: usize,
    weights: Vec<f32>,
}

impl MelFilter {
    /// Triangular filters between `n_mels + 2` equally spaced points of the slaney mel scale from 0 Hz to
    /// half the sample rate, each with unit area (librosa's `filters.mel` with `norm="slaney"`).
    pub(super) fn bank(n_mels: usize) -> Vec<Self> {
        let top_mel = hz_to_mel(SAMPLE_RATE_HZ / 2.0);
        let edge_hz = |i: usize| mel_to_hz(top_mel * i as f64 / (n_mels + 1) as f64);
        let bin_hz = SAMPLE_RATE_HZ / FFT_SAMPLES as f64;
        (0..n_mels)
            .map(|mel| {
                let (low, centre, high) = (edge_hz(mel), edge_hz(mel + 1), edge_hz(mel + 2));
                let weight = |bin: usize| {
                    let hz = bin as f64 * bin_hz;
                    let rising = (hz - low) / (centre - low);
                    let falling = (high - hz) / (high - centre);
                    (rising.min(falling) * 2.0 / (high - low)) as f32
                };
                let mut bins = (0..FFT_BINS)
                    .skip_while(|&bin| weight(bin) <= 0.0)
                    .peekable();
                Self {
                    first_bin: bins.peek().copied().unwrap_or(0),
                    weights: bins
                        .map(weight)
                        .take_while(|&weight| weight > 0.0)
                        .collect(),
                }
            })
            .collect()
    }

    /// Energy of the band in each frame of a block, given its powers by bin.
    pub(super) fn apply(&self, powers: &[[f32; BLOCK_FRAMES]; FFT_BINS]) -> [f32; BLOCK_FRAMES] {
        let mut sums = [0.0; BLOCK_FRAMES];
        for (&weight, power) in self.weights.iter().zip(&powers[self.first_bin..]) {
            for (sum, &x) in sums.iter_mut().zip(power) {
                *sum += weight * x;
            }
        }
        sums
    }
}

/// The slaney scale: linear up to 1 kHz (15 mel), then 27 mel to each factor of 6.4.
const LINEAR_HZ_PER_MEL: f64 = 200.0 / 3.0;
const LOG_FROM_HZ: f64 = 1000.0;
const LOG_FROM_MEL: f64 = 15.0;

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < LOG_FROM_HZ {
        hz / LINEAR_HZ_PER_MEL
    } else {
        LOG_FROM_MEL + (hz / LOG_FROM_HZ).ln() / log_step()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < LOG_FROM_MEL {
        mel * LINEAR_HZ_PER_MEL
    } else {
        LOG_FROM_HZ * ((mel - LOG_FROM_MEL) * log_step()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_band_has_weights_and_the_last_ends_below_half_the_rate() {
        for n_mels in [80, 128] {
            let bank = MelFilter::bank(n_mels);

            assert_eq!(bank.len(), n_mels);
            assert!(bank.iter().all(|filter| !filter.weights.is_empty()));
            assert_eq!(bank[0].first_bin, 1);
            let top = &bank[n_mels - 1];
            assert_eq!(top.first_bin + top.weights.len(), FFT_BINS - 1);
        }
    }

    #[test]
    fn the_scale_and_its_inverse_agree() {
        for hz in [0.0, 440.0, 1000.0, 4321.0, 8000.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9);
        }
        assert!((hz_to_mel(8000.0) - 45.245_640_471_924_965).abs() < 1e-12);
    }
}
