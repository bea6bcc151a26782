//! Bounds the processor time of a decode by what it is given and what comes out of it.
//!
//! A few kilobytes can be forged to occupy a decoder for minutes: code books that are laid out again and
//! again, tables that point back and forth. No list of such tricks is ever complete, and the time that
//! they take is what they have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{AudioError, MemoryClaim, SAMPLE_RATE_HZ};

/// Processor time that any file may take: the start of a process, and headers. It is far more than real
/// files take, because this machine may be a slow one.
const ANY_FILE: Duration = Duration::from_secs(3);

/// What a file of a given length may take in addition, as an index at the end of a long video does.
const BYTES_A_SECOND: u64 = 32 << 20;

/// Audio that was decoded may have taken this share of its length. The decoders that were measured are
/// a thousand times as fast as real time (docs/performance.md), so this leaves room for slow machines.
const SHARE_OF_AUDIO: f64 = 0.1;

const PCM_BYTES_A_SECOND: f64 = SAMPLE_RATE_HZ as f64 * size_of::<f32>() as f64;

/// The processor time that the calling thread has used since some moment before the decode.
pub type CpuClock = fn() -> Duration;

/// The processor time that a decode may take, for as much as has been decoded so far.
///
/// Decoding more makes it longer. It is shared with the source, where it ends readers that go through a
/// file without giving anything.
#[derive(Clone, Debug)]
pub struct Effort {
    clock: CpuClock,
    start: Duration,
    file_bytes: u64,
    /// What may be used since the start, in nanoseconds.
    limit_ns: Arc<AtomicU64>,
}

impl Effort {
    /// Begins to count, for a file of this length.
    pub fn new(clock: CpuClock, file_bytes: u64) -> Self {
        Self {
            clock,
            start: clock(),
            file_bytes,
            limit_ns: Arc::new(AtomicU64::new(nanoseconds(limit(file_bytes, 0)))),
        }
    }

    /// Whether more was used than could be needed.
    pub fn is_exceeded(&self) -> bool {
        let used = (self.clock)().saturating_sub(self.start);
        nanoseconds(used) > self.limit_ns.load(Ordering::Relaxed)
    }

    /// Raises the limit to what belongs to the audio so far.
    ///
    /// # Errors
    /// [`AudioError::TooCostly`] where more than that was used.
    pub fn check(&self, found: &str, decoded: &MemoryClaim) -> Result<(), AudioError> {
        let limit = limit(self.file_bytes, decoded.held_bytes());
        self.limit_ns.store(nanoseconds(limit), Ordering::Relaxed);
        match self.is_exceeded() {
            true => Err(too_costly(found, limit)),
            false => Ok(()),
        }
    }
}

/// The processor time for a file of this length of which this much PCM was decoded.
pub fn limit(file_bytes: u64, pcm_bytes: u64) -> Duration {
    let file_s = file_bytes as f64 / BYTES_A_SECOND as f64;
    let audio_s = pcm_bytes as f64 / PCM_BYTES_A_SECOND * SHARE_OF_AUDIO;
    ANY_FILE + Duration::from_secs_f64(file_s + audio_s)
}

/// The error of a decode that has used more than `limit`.
pub fn too_costly(found: &str, limit: Duration) -> AudioError {
    AudioError::TooCostly {
        found: found.to_owned(),
        reason: format!(
            "it takes more than {:.1} s of processor time, many times as much as recordings of its length",
            limit.as_secs_f64()
        ),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::audio::MemoryBudget;

    thread_local! {
        static USED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[test]
    fn what_was_decoded_makes_the_limit_longer() {
        let effort = Effort::new(|| USED.get(), 0);
        let decoded = Arc::new(MemoryBudget::unlimited()).claim();
        USED.set(ANY_FILE);
        effort.check("a file", &decoded).unwrap();
        USED.set(ANY_FILE + Duration::from_secs(6));
        let error = effort.check("a file", &decoded).unwrap_err();
        assert!(matches!(error, AudioError::TooCostly { .. }), "{error}");
        assert!(effort.is_exceeded());
        // A minute of audio.
        decoded.hold(60 * 64_000).unwrap();
        effort.check("a file", &decoded).unwrap();
        assert!(!effort.is_exceeded());
    }

    #[test]
    fn a_longer_file_may_take_longer() {
        assert_eq!(limit(0, 0), ANY_FILE);
        assert_eq!(limit(64 << 20, 0), ANY_FILE + Duration::from_secs(2));
    }
}
