//! Samples of a movie fragment (`trun`, ISO/IEC 14496-12, 8.8.8).

use symphonia::core::errors::{Error, Result};

use super::boxes::Fields;
use super::fragment::FragmentDefaults;
use super::sample_run::{RunLimit, SampleRun};

/// Contiguous samples of a fragment.
#[derive(Clone, Debug)]
pub struct FragmentRun {
    /// The per-sample fields.
    table: Vec<u8>,
    at: usize,
    has_durations: bool,
    has_sizes: bool,
    sample_bytes: usize,
    claimed: u32,
    data_offset: Option<i32>,
    defaults: FragmentDefaults,
    /// Number of remaining samples.
    samples: u32,
    offset: u64,
    time: u64,
}

impl FragmentRun {
    /// Reads the content of a `trun` box, possibly truncated.
    pub fn read(content: Vec<u8>, defaults: &FragmentDefaults) -> Option<Self> {
        const DATA_OFFSET: u32 = 0x1;
        const FIRST_FLAGS: u32 = 0x4;
        const DURATIONS: u32 = 0x100;
        const SIZES: u32 = 0x200;
        const EACH: u32 = 0xf00;
        let mut fields = Fields(&content);
        let (_, flags) = fields.version_and_flags()?;
        let claimed = fields.u32()?;
        let data_offset = match flags & DATA_OFFSET {
            0 => None,
            _ => Some(fields.take().map(i32::from_be_bytes)?),
        };
        if flags & FIRST_FLAGS != 0 {
            fields.u32()?;
        }
        let at = content.len() - fields.0.len();
        let sample_bytes = 4 * (flags & EACH).count_ones() as usize;
        let described = match fields.0.len().checked_div(sample_bytes) {
            Some(described) => u32::try_from(described).unwrap_or(u32::MAX),
            // No per-sample fields: all samples are equal, and at least a byte long.
            None if defaults.size > 0 => u32::MAX,
            None => 0,
        };
        Some(Self {
            table: if sample_bytes > 0 {
                content
            } else {
                Vec::new()
            },
            at,
            has_durations: flags & DURATIONS != 0,
            has_sizes: flags & SIZES != 0,
            sample_bytes,
            claimed,
            data_offset,
            defaults: *defaults,
            samples: claimed.min(described),
            offset: 0,
            time: 0,
        })
    }

    /// Checks that the run describes all samples that it claims.
    ///
    /// # Errors
    /// [`Error::DecodeError`].
    pub fn check(&self) -> Result<()> {
        if self.claimed > self.samples {
            return Err(Error::DecodeError(
                "a track run claims more samples than it describes",
            ));
        }
        Ok(())
    }

    /// Sets the base of the run's offset, and its start if it states no offset; returns the end of its
    /// data.
    pub fn set_base(&mut self, base: u64, data_end: u64) -> u64 {
        self.offset = match self.data_offset {
            Some(offset) => base.saturating_add_signed(i64::from(offset)),
            None => data_end,
        };
        let (_, bytes) = self.totals();
        self.offset.saturating_add(bytes)
    }

    /// Whether no samples remain.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Ticks and bytes of all remaining samples.
    pub fn totals(&self) -> (u64, u64) {
        if self.sample_bytes == 0 {
            let samples = u64::from(self.samples);
            return (
                samples * u64::from(self.defaults.duration),
                samples * u64::from(self.defaults.size),
            );
        }
        let (mut ticks, mut bytes) = (0u64, 0u64);
        for sample in 0..self.samples as usize {
            let (duration, size) = self.sample_at(self.at + sample * self.sample_bytes);
            ticks = ticks.saturating_add(u64::from(duration));
            bytes = bytes.saturating_add(u64::from(size));
        }
        (ticks, bytes)
    }

    /// Sets the media time of the first sample.
    pub fn start_at(&mut self, time: u64) {
        self.time = time;
    }

    /// The next samples within a limit; `None` at the end.
    pub fn peek(&self, limit: RunLimit) -> Option<SampleRun> {
        if self.samples == 0 {
            return None;
        }
        let (delta, size) = self.sample_at(self.at);
        let samples = match self.sample_bytes {
            0 => limit.samples(delta, size).min(self.samples),
            _ => 1,
        };
        Some(SampleRun {
            offset: self.offset,
            bytes: u64::from(samples) * u64::from(size),
            samples,
            time: self.time,
            delta,
            entry: self.defaults.description.saturating_sub(1) as usize,
        })
    }

    /// Moves past a run that [`peek`](Self::peek) returned.
    pub fn advance(&mut self, run: &SampleRun) {
        self.samples = self.samples.saturating_sub(run.samples);
        self.at += self.sample_bytes;
        self.offset = self.offset.saturating_add(run.bytes);
        self.time = run.end();
    }

    /// Duration and size of the sample whose fields are at index `at` of the table.
    fn sample_at(&self, at: usize) -> (u32, u32) {
        let mut fields = Fields(self.table.get(at..).unwrap_or_default());
        let mut duration = self.defaults.duration;
        let mut size = self.defaults.size;
        if self.has_durations {
            duration = fields.u32().unwrap_or(0);
        }
        if self.has_sizes {
            size = fields.u32().unwrap_or(0);
        }
        (duration, size)
    }
}
