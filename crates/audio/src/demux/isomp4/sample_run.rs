//! Contiguous samples in a file.

/// Maximum length of a run. A run of a single sample may be longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimit {
    /// Ticks of all samples.
    pub ticks: u64,
    /// Bytes of all samples.
    pub bytes: u64,
}

impl RunLimit {
    /// A single sample.
    pub const ONE_SAMPLE: Self = Self { ticks: 0, bytes: 0 };

    /// A limit for skipping samples, which are not read.
    pub fn skip(ticks: u64) -> Self {
        let bytes = u64::MAX;
        Self { ticks, bytes }
    }

    /// Maximum number of samples of this duration and size.
    pub fn samples(self, delta: u32, bytes: u32) -> u32 {
        let in_ticks = self.ticks / u64::from(delta.max(1));
        let in_bytes = self.bytes / u64::from(bytes.max(1));
        u32::try_from(in_ticks.min(in_bytes))
            .unwrap_or(u32::MAX)
            .max(1)
    }
}

/// Contiguous samples of equal size and duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRun {
    /// Position of the first sample in the file.
    pub offset: u64,
    /// Bytes of all samples.
    pub bytes: u64,
    /// Number of samples.
    pub samples: u32,
    /// Media time of the first sample.
    pub time: u64,
    /// Ticks per sample.
    pub delta: u32,
    /// Index of their sample description, from 0.
    pub entry: usize,
}

impl SampleRun {
    /// Ticks of all samples.
    pub fn ticks(&self) -> u64 {
        u64::from(self.samples) * u64::from(self.delta)
    }

    /// Media time of the end of the last sample.
    pub fn end(&self) -> u64 {
        self.time.saturating_add(self.ticks())
    }
}
