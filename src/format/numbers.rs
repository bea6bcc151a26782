//! Makes any number representable in JSON, which has no NaN and no infinity.

/// A million hours, far beyond any recording.
const MAX_SECONDS: f64 = 3.6e9;

/// Replaces an infinite value, as in OpenAI's responses for a probability of zero.
const INFINITE: f32 = 9999.0;

/// A time in seconds, rounded to milliseconds: subtitles made from JSON then have the times of the
/// server's own.
pub(super) fn seconds(value: f64) -> f64 {
    (bounded(value) * 1000.0).round() / 1000.0
}

/// A time in whole milliseconds, for subtitles.
pub(super) fn milliseconds(seconds: f64) -> u64 {
    (bounded(seconds) * 1000.0).round() as u64
}

/// The value, or the nearest that JSON can represent; 0 for NaN. It stays `f32`, so that it is
/// written with no more digits than it has.
pub(super) fn finite(value: f32) -> f32 {
    if value.is_nan() {
        0.0
    } else if value.is_infinite() {
        INFINITE.copysign(value)
    } else {
        value
    }
}

fn bounded(seconds: f64) -> f64 {
    let number = if seconds.is_nan() { 0.0 } else { seconds };
    // Adding 0 turns -0.0 into 0.0.
    number.clamp(0.0, MAX_SECONDS) + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_within_bounds() {
        let values = [
            0.1 + 0.2,
            8.474_499,
            -0.0,
            -3.0,
            f64::NAN,
            f64::NEG_INFINITY,
            f64::INFINITY,
        ];
        let json = serde_json::to_string(&values.map(seconds)).unwrap();
        assert_eq!(json, "[0.3,8.474,0.0,0.0,0.0,0.0,3600000000.0]");
    }

    #[test]
    fn single_precision_is_written_as_such() {
        let values = [0.3, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let json = serde_json::to_string(&values.map(finite)).unwrap();
        assert_eq!(json, "[0.3,-1.0,0.0,9999.0,-9999.0]");
    }
}
