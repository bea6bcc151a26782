//! Positions in the audio of a session: samples at 16 kHz since it began.

use std::time::Duration;

use halkspeech_audio::SAMPLE_RATE_HZ;

/// A duration in samples, rounded down.
pub const fn samples_in(duration: Duration) -> usize {
    (duration.as_millis() * SAMPLE_RATE_HZ as u128 / 1_000) as usize
}

/// The duration of `samples` samples.
pub fn duration_of(samples: usize) -> Duration {
    let nanoseconds = samples as u128 * 1_000_000_000 / u128::from(SAMPLE_RATE_HZ);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
