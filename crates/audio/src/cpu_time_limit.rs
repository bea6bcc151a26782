//! Limits the processor time of a decode by the sizes of its input and output.
//!
//! A forged file of a few kilobytes can occupy a decoder for minutes: code books that are rebuilt again
//! and again, tables that point back and forth. Such tricks cannot all be listed, so their common effect,
//! processor time, is limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{AudioError, PcmClaim, SAMPLE_RATE_HZ};

/// Base allowance for any file: process start and headers. Far more than real files take, to leave
/// a margin for slow machines.
const BASE_TIME: Duration = Duration::from_secs(3);

/// Input bytes per second of additional processor time, such as for the index at the end of a long
/// video.
const FILE_BYTES_PER_S: u64 = 32 << 20;

/// Additional processor time per duration of decoded audio. Measured decoders run a thousand times
/// faster than real time (docs/performance.md), so this leaves a margin for slow machines.
const TIME_PER_AUDIO: f64 = 0.1;

const PCM_BYTES_PER_S: f64 = SAMPLE_RATE_HZ as f64 * size_of::<f32>() as f64;

/// Processor time used by the calling thread, from an arbitrary origin before the decode.
pub type CpuClock = fn() -> Duration;

/// Processor time limit of a decode, which grows with the amount of decoded audio.
///
/// Its clones share the limit. The clone in the source stops readers that scan a file without returning
/// packets.
#[derive(Clone, Debug)]
pub struct CpuTimeLimit {
    clock: CpuClock,
    start: Duration,
    file_bytes: u64,
    /// Limit since the start, in nanoseconds.
    limit_ns: Arc<AtomicU64>,
}

impl CpuTimeLimit {
    /// Starts measuring, for a file of `file_bytes` bytes.
    pub fn new(clock: CpuClock, file_bytes: u64) -> Self {
        Self {
            clock,
            start: clock(),
            file_bytes,
            limit_ns: Arc::new(AtomicU64::new(nanoseconds(max_cpu_time(file_bytes, 0)))),
        }
    }

    /// Whether the limit is exceeded.
    pub fn is_exceeded(&self) -> bool {
        let used = (self.clock)().saturating_sub(self.start);
        nanoseconds(used) > self.limit_ns.load(Ordering::Relaxed)
    }

    /// Raises the limit for the audio decoded so far, then checks it.
    ///
    /// # Errors
    /// [`AudioError::TooCostly`] if the limit is exceeded.
    pub fn check(&self, format_name: &str, decoded: &PcmClaim) -> Result<(), AudioError> {
        let limit = max_cpu_time(self.file_bytes, decoded.bytes());
        self.limit_ns.store(nanoseconds(limit), Ordering::Relaxed);
        match self.is_exceeded() {
            true => Err(too_costly(format_name, limit)),
            false => Ok(()),
        }
    }
}

/// Processor time limit for a file of `file_bytes` bytes that decoded to `pcm_bytes` bytes of PCM so far.
pub fn max_cpu_time(file_bytes: u64, pcm_bytes: u64) -> Duration {
    let file_s = file_bytes as f64 / FILE_BYTES_PER_S as f64;
    let audio_s = pcm_bytes as f64 / PCM_BYTES_PER_S * TIME_PER_AUDIO;
    BASE_TIME + Duration::from_secs_f64(file_s + audio_s)
}

/// The error for exceeding `limit`.
pub fn too_costly(format_name: &str, limit: Duration) -> AudioError {
    AudioError::TooCostly {
        format_name: format_name.to_owned(),
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
    use crate::PcmBudget;

    thread_local! {
        static USED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[test]
    fn decoded_audio_raises_the_limit() {
        let cpu_limit = CpuTimeLimit::new(|| USED.get(), 0);
        let decoded = Arc::new(PcmBudget::unlimited()).claim();
        USED.set(BASE_TIME);
        cpu_limit.check("a file", &decoded).unwrap();
        USED.set(BASE_TIME + Duration::from_secs(6));
        let error = cpu_limit.check("a file", &decoded).unwrap_err();
        assert!(matches!(error, AudioError::TooCostly { .. }), "{error}");
        assert!(cpu_limit.is_exceeded());
        // A minute of audio.
        decoded.resize(60 * 64_000).unwrap();
        cpu_limit.check("a file", &decoded).unwrap();
        assert!(!cpu_limit.is_exceeded());
    }

    #[test]
    fn a_larger_file_raises_the_limit() {
        assert_eq!(max_cpu_time(0, 0), BASE_TIME);
        assert_eq!(
            max_cpu_time(64 << 20, 0),
            BASE_TIME + Duration::from_secs(2)
        );
    }
}
