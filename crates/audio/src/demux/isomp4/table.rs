//! The sample tables of a track: positions and times of its samples (`stbl`, ISO/IEC 14496-12, 8.6.1
//! and 8.7).
//!
//! The tables are kept as the bytes that were read and are traversed by a cursor, so that a pass over a
//! track takes time proportional to their size.

use super::boxes::Fields;
use super::entry::{FrameLayout, SampleEntry};
use super::sample_run::{RunLimit, SampleRun};

/// The tables of a track; missing ones are empty.
#[derive(Debug, Default)]
pub struct SampleTables {
    /// Pairs of a number of samples and their ticks (`stts`).
    durations: Vec<u8>,
    /// Triples of first chunk, samples per chunk and sample description, all from 1 (`stsc`).
    chunks: Vec<u8>,
    /// Positions of the chunks (`stco`, `co64`).
    offsets: Vec<u8>,
    are_offsets_large: bool,
    sizes: SampleSizes,
}

/// The sizes of samples in bytes (`stsz`, `stz2`).
#[derive(Debug)]
enum SampleSizes {
    /// Samples of equal size.
    Uniform { count: u32, bytes: u32 },
    /// Individual sizes, in 4, 8, 16 or 32 bits.
    Listed {
        count: u32,
        bits: u32,
        table: Vec<u8>,
    },
}

impl Default for SampleSizes {
    fn default() -> Self {
        Self::Uniform { count: 0, bytes: 0 }
    }
}

const DURATION_BYTES: usize = 8;
const CHUNK_BYTES: usize = 12;

impl SampleTables {
    /// Sets the content of the `stts` box.
    pub fn set_durations(&mut self, content: Vec<u8>) {
        self.durations = table(content, DURATION_BYTES);
    }

    /// Sets the content of the `stsc` box.
    pub fn set_chunks(&mut self, content: Vec<u8>) {
        self.chunks = table(content, CHUNK_BYTES);
    }

    /// Sets the content of the `stco` box.
    pub fn set_offsets(&mut self, content: Vec<u8>) {
        self.offsets = table(content, 4);
        self.are_offsets_large = false;
    }

    /// Sets the content of the `co64` box.
    pub fn set_large_offsets(&mut self, content: Vec<u8>) {
        self.offsets = table(content, 8);
        self.are_offsets_large = true;
    }

    /// Sets the content of the `stsz` box.
    pub fn set_sizes(&mut self, content: &[u8]) {
        let mut fields = Fields(content);
        let header = fields
            .version_and_flags()
            .and_then(|_| Some((fields.u32()?, fields.u32()?)));
        match header {
            Some((0, count)) => self.list_sizes(count, 32, fields.0),
            Some((bytes, count)) => self.sizes = SampleSizes::Uniform { count, bytes },
            None => {}
        }
    }

    /// Sets the content of the `stz2` box.
    pub fn set_compact_sizes(&mut self, content: &[u8]) {
        let mut fields = Fields(content);
        let header = fields
            .version_and_flags()
            .and_then(|_| Some((fields.u32()?, fields.u32()?)));
        if let Some((bits @ (4 | 8 | 16), count)) = header {
            self.list_sizes(count, bits, fields.0);
        }
    }

    fn list_sizes(&mut self, count: u32, bits: u32, table: &[u8]) {
        let available = table.len().saturating_mul(8) / bits as usize;
        self.sizes = SampleSizes::Listed {
            count: count.min(u32::try_from(available).unwrap_or(u32::MAX)),
            bits,
            table: table.into(),
        };
    }

    /// Number of samples, as claimed by the tables.
    pub fn samples(&self) -> u32 {
        match self.sizes {
            SampleSizes::Uniform { count, .. } | SampleSizes::Listed { count, .. } => count,
        }
    }

    /// The size of a sample; `None` if all sizes are equal.
    fn listed_size(&self, sample: u32) -> Option<u32> {
        let SampleSizes::Listed { bits, table, .. } = &self.sizes else {
            return None;
        };
        let sample = sample as usize;
        let at = |bytes: usize| table.get(sample.checked_mul(bytes)?..).map(Fields);
        match bits {
            4 => {
                let byte = table.get(sample / 2)?;
                Some(u32::from(if sample.is_multiple_of(2) {
                    byte >> 4
                } else {
                    byte & 0xf
                }))
            }
            8 => at(1)?.u8().map(u32::from),
            16 => at(2)?.u16().map(u32::from),
            _ => at(4)?.u32(),
        }
    }

    fn duration(&self, index: usize) -> Option<(u32, u32)> {
        let mut fields = Fields(self.durations.get(index * DURATION_BYTES..)?);
        Some((fields.u32()?, fields.u32()?))
    }

    fn chunk_rule(&self, index: usize) -> Option<(u32, u32, u32)> {
        let mut fields = Fields(self.chunks.get(index * CHUNK_BYTES..)?);
        Some((fields.u32()?, fields.u32()?, fields.u32()?))
    }

    fn offset(&self, chunk: usize) -> Option<u64> {
        let bytes = if self.are_offsets_large { 8 } else { 4 };
        let mut fields = Fields(self.offsets.get(chunk * bytes..)?);
        fields.u32_or_u64(self.are_offsets_large)
    }
}

/// The entries of a table without its version, flags and count: as many as claimed and present.
fn table(mut content: Vec<u8>, entry_bytes: usize) -> Vec<u8> {
    const HEADER_BYTES: usize = 8;
    let mut fields = Fields(&content);
    let claimed = fields
        .version_and_flags()
        .and_then(|_| fields.u32())
        .unwrap_or(0);
    let entries = (content.len().saturating_sub(HEADER_BYTES) / entry_bytes).min(claimed as usize);
    content.truncate(HEADER_BYTES + entries * entry_bytes);
    content.drain(..HEADER_BYTES.min(content.len()));
    content
}

/// A position in the tables.
#[derive(Debug, Default)]
pub struct TableCursor {
    sample: u32,
    time: u64,
    /// Index of the next chunk, and the remaining samples of the current one.
    next_chunk: usize,
    chunk_rule: usize,
    chunk_samples: u32,
    offset: u64,
    /// Index of the chunk's sample description, from 0.
    entry: usize,
    /// Index of the next entry of the durations, and the remaining samples of the current one.
    next_duration: usize,
    duration_samples: u32,
    delta: u32,
}

impl TableCursor {
    /// The next contiguous samples of equal duration and size, within a limit; `None` at the end of the
    /// tables.
    pub fn peek(
        &mut self,
        tables: &SampleTables,
        entries: &[SampleEntry],
        limit: RunLimit,
    ) -> Option<SampleRun> {
        self.settle(tables)?;
        let (samples, bytes) = match tables.sizes {
            SampleSizes::Uniform { count, bytes } => {
                let left = count - self.sample;
                let left = left.min(self.chunk_samples).min(self.duration_samples);
                match self.frame_layout(entries) {
                    Some(layout) => frames_in_layout(layout, limit, left),
                    None => {
                        let samples = limit.samples(self.delta, bytes).min(left);
                        (samples, u64::from(samples) * u64::from(bytes))
                    }
                }
            }
            SampleSizes::Listed { .. } => (1, u64::from(tables.listed_size(self.sample)?)),
        };
        Some(SampleRun {
            offset: self.offset,
            bytes,
            samples,
            time: self.time,
            delta: self.delta,
            entry: self.entry,
        })
    }

    /// Whether no samples remain.
    pub fn is_at_end(&mut self, tables: &SampleTables) -> bool {
        self.settle(tables).is_none()
    }

    /// Moves past a run that [`peek`](Self::peek) returned.
    pub fn advance(&mut self, run: &SampleRun) {
        self.sample = self.sample.saturating_add(run.samples);
        self.chunk_samples = self.chunk_samples.saturating_sub(run.samples);
        self.duration_samples = self.duration_samples.saturating_sub(run.samples);
        self.offset = self.offset.saturating_add(run.bytes);
        self.time = run.end();
    }

    /// The frame layout, if samples are frames of PCM or ADPCM as in QuickTime, which states other sample
    /// sizes for them.
    fn frame_layout(&self, entries: &[SampleEntry]) -> Option<FrameLayout> {
        entries.get(self.entry)?.layout.filter(|_| self.delta == 1)
    }

    /// Moves to the chunk and the duration of the next sample.
    fn settle(&mut self, tables: &SampleTables) -> Option<()> {
        if self.sample >= tables.samples() {
            return None;
        }
        while self.chunk_samples == 0 {
            self.offset = tables.offset(self.next_chunk)?;
            self.next_chunk += 1;
            while let Some((first, _, _)) = tables.chunk_rule(self.chunk_rule + 1)
                && first as usize <= self.next_chunk
            {
                self.chunk_rule += 1;
            }
            let (_, samples, description) = tables.chunk_rule(self.chunk_rule)?;
            self.chunk_samples = samples;
            self.entry = description.saturating_sub(1) as usize;
        }
        while self.duration_samples == 0 {
            match tables.duration(self.next_duration) {
                Some((samples, delta)) => {
                    self.next_duration += 1;
                    self.duration_samples = samples;
                    // Some writers state a negative duration after a clock jump.
                    self.delta = if i32::try_from(delta).is_ok() {
                        delta
                    } else {
                        0
                    };
                }
                // Samples missing from the table have the duration of the last entry.
                None => self.duration_samples = u32::MAX,
            }
        }
        Some(())
    }
}

/// Number of frames, at most `left`, and their bytes.
fn frames_in_layout(layout: FrameLayout, limit: RunLimit, left: u32) -> (u32, u64) {
    let groups = limit
        .samples(layout.frames, layout.bytes)
        .min(left / layout.frames);
    match groups {
        // Fewer frames than one group.
        0 => (left, u64::from(layout.bytes)),
        groups => (
            groups * layout.frames,
            u64::from(groups) * u64::from(layout.bytes),
        ),
    }
}

#[cfg(test)]
mod tests;
