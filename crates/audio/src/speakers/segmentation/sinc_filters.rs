//! The band-pass filters at the start of the segmentation network.

use crate::speakers::weights::{WeightFile, WeightsError};

/// Number of filters: a cosine and a sine for each pair of frequencies.
pub const FILTERS: usize = 2 * BANDS;

/// Samples that a filter covers.
pub const TAPS: usize = 2 * HALF + 1;

const BANDS: usize = 40;
const HALF: usize = 125;

/// Minimum lower frequency and minimum width of a band.
const MIN_LOW_HZ: f64 = 50.0;
const MIN_BAND_HZ: f64 = 50.0;
const MAX_HZ: f64 = 8_000.0;

/// The coefficients of all filters, one filter after the other, as `ParamSincFB` of asteroid-filterbanks
/// computes them.
pub fn coefficients(weights: &WeightFile) -> Result<Vec<f32>, WeightsError> {
    let tensor = |name: &str, shape: &[usize]| {
        weights.tensor(&format!("sincnet.conv1d.0.filterbank.{name}"), shape)
    };
    let low_hz = tensor("low_hz_", &[BANDS, 1])?;
    let band_hz = tensor("band_hz_", &[BANDS, 1])?;
    // The first half of a Hamming window, and the phase of one hertz at each of its samples.
    let window = tensor("window_", &[HALF])?;
    let phases = tensor("n_", &[1, HALF])?;

    let mut values = vec![0.0; FILTERS * TAPS];
    let (cosines, sines) = values.split_at_mut(BANDS * TAPS);
    for band in 0..BANDS {
        let low = MIN_LOW_HZ + f64::from(low_hz[band]).abs();
        let high = (low + MIN_BAND_HZ + f64::from(band_hz[band]).abs()).clamp(MIN_LOW_HZ, MAX_HZ);
        let cosine = &mut cosines[band * TAPS..][..TAPS];
        let sine = &mut sines[band * TAPS..][..TAPS];
        for tap in 0..HALF {
            let (phase, window) = (f64::from(phases[tap]), f64::from(window[tap]));
            let scale = window / (phase / 2.0) / (2.0 * (high - low));
            let even = ((high * phase).sin() - (low * phase).sin()) * scale;
            let odd = ((low * phase).cos() - (high * phase).cos()) * scale;
            cosine[tap] = even as f32;
            cosine[TAPS - 1 - tap] = even as f32;
            sine[tap] = odd as f32;
            sine[TAPS - 1 - tap] = -odd as f32;
        }
        cosine[HALF] = 1.0;
    }
    Ok(values)
}
