//! Samples that lie one behind the other in a file.

/// How long a run may be. A single sample may always be longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimit {
    /// The ticks of all samples.
    pub ticks: u64,
    /// The bytes of all samples.
    pub bytes: u64,
}

impl RunLimit {
    /// A single sample.
    pub const ONE_SAMPLE: Self = Self { ticks: 0, bytes: 0 };

    /// Samples to pass over, of which nothing is read.
    pub fn skip(ticks: u64) -> Self {
        let bytes = u64::MAX;
        Self { ticks, bytes }
    }

    /// How many samples of this duration and size there may be.
    pub fn samples(self, delta: u32, bytes: u32) -> u32 {
        let in_ticks = self.ticks / u64::from(delta.max(1));
        let in_bytes = self.bytes / u64::from(bytes.max(1));
        u32::try_from(in_ticks.min(in_bytes))
            .unwrap_or(u32::MAX)
            .max(1)
    }
}

/// Samples of one size and duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRun {
    /// Where the first begins in the file.
    pub offset: u64,
    /// The bytes of all.
    pub bytes: u64,
    /// How many there are.
    pub samples: u32,
    /// When the first is due, in the time of the media.
    pub time: u64,
    /// The ticks of each.
    pub delta: u32,
    /// Their sample description, from 0 on.
    pub entry: usize,
}

impl SampleRun {
    /// The ticks of all.
    pub fn ticks(&self) -> u64 {
        u64::from(self.samples) * u64::from(self.delta)
    }

    /// When the last one ends.
    pub fn end(&self) -> u64 {
        self.time.saturating_add(self.ticks())
    }
}
