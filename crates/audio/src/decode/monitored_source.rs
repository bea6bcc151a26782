//! A source that records its read position and fails once a processor time limit is exceeded.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

use crate::cpu_time_limit::CpuTimeLimit;

/// Records the end of the last read. Reads fail once the processor time limit is exceeded.
pub struct MonitoredSource {
    source: Box<dyn MediaSource>,
    position: u64,
    last_read: LastReadPosition,
    cpu_limit: CpuTimeLimit,
}

/// End of the last read, in bytes from the beginning of the source.
///
/// Not the maximum: the index of an MP4 file may be at its end, and is read first.
#[derive(Clone, Debug, Default)]
pub struct LastReadPosition(Arc<AtomicU64>);

impl LastReadPosition {
    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl MonitoredSource {
    /// Monitors a source from its beginning.
    pub fn new(source: Box<dyn MediaSource>, cpu_limit: CpuTimeLimit) -> (Self, LastReadPosition) {
        let last_read = LastReadPosition::default();
        let monitored = Self {
            source,
            position: 0,
            last_read: last_read.clone(),
            cpu_limit,
        };
        (monitored, last_read)
    }
}

impl Read for MonitoredSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cpu_limit.is_exceeded() {
            return Err(io::Error::other("reading it takes too much processor time"));
        }
        let read = self.source.read(buffer)?;
        self.position += read as u64;
        self.last_read.0.store(self.position, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for MonitoredSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}

impl MediaSource for MonitoredSource {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Cursor;
    use std::time::Duration;

    use super::*;

    thread_local! {
        static USED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    #[test]
    fn records_reads_but_not_seeks() {
        let cpu_limit = CpuTimeLimit::new(|| USED.get(), 100);
        let (mut monitored, last_read) =
            MonitoredSource::new(Box::new(Cursor::new(vec![0; 100])), cpu_limit);
        let mut buffer = [0; 10];
        monitored.seek(SeekFrom::Start(50)).unwrap();
        assert_eq!(last_read.get(), 0);
        monitored.read_exact(&mut buffer).unwrap();
        assert_eq!(last_read.get(), 60);
        monitored.seek(SeekFrom::Start(0)).unwrap();
        monitored.read_exact(&mut buffer).unwrap();
        assert_eq!(last_read.get(), 10);
    }

    #[test]
    fn reads_fail_once_the_limit_is_exceeded() {
        let cpu_limit = CpuTimeLimit::new(|| USED.get(), 100);
        let (mut monitored, _) =
            MonitoredSource::new(Box::new(Cursor::new(vec![0; 100])), cpu_limit);
        let mut buffer = [0; 10];
        monitored.read_exact(&mut buffer).unwrap();
        USED.set(Duration::from_secs(60));
        assert!(monitored.read(&mut buffer).is_err());
    }
}
