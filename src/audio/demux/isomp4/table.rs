//! The tables of a track that say where its samples lie and when they are presented (`stbl`,
//! ISO/IEC 14496-12, 8.6.1 and 8.7).
//!
//! The tables stay as the bytes that they were read from, and a cursor goes through them forward, so
//! that a pass over a track takes time in proportion to its tables.

use super::boxes::Fields;
use super::entry::{FrameLayout, SampleEntry};
use super::sample_run::{SampleRun, RunLimit};

/// The tables of a track; those that are missing are empty.
#[derive(Debug, Default)]
pub struct SampleTables {
    /// Pairs of a number of samples and the ticks of each (`stts`).
    durations: Vec<u8>,
    /// Triples of a first chunk, samples per chunk, and sample description, from 1 on (`stsc`).
    chunks: Vec<u8>,
    /// Where each chunk begins (`stco`, `co64`).
    offsets: Vec<u8>,
    are_offsets_large: bool,
    sizes: SampleSizes,
}

/// The sizes of samples in bytes (`stsz`, `stz2`).
#[derive(Debug)]
enum SampleSizes {
    /// So many samples of one size.
    Uniform { count: u32, bytes: u32 },
    /// One by one, each in 4, 8, 16 or 32 bits.
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
    /// Takes the content of an `stts` box.
    pub fn set_durations(&mut self, content: Vec<u8>) {
        self.durations = table(content, DURATION_BYTES);
    }

    /// Takes the content of an `stsc` box.
    pub fn set_chunks(&mut self, content: Vec<u8>) {
        self.chunks = table(content, CHUNK_BYTES);
    }

    /// Takes the content of an `stco` box.
    pub fn set_offsets(&mut self, content: Vec<u8>) {
        self.offsets = table(content, 4);
        self.are_offsets_large = false;
    }

    /// Takes the content of a `co64` box.
    pub fn set_large_offsets(&mut self, content: Vec<u8>) {
        self.offsets = table(content, 8);
        self.are_offsets_large = true;
    }

    /// Takes the content of an `stsz` box.
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

    /// Takes the content of an `stz2` box.
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
        let there = table.len().saturating_mul(8) / bits as usize;
        self.sizes = SampleSizes::Listed {
            count: count.min(u32::try_from(there).unwrap_or(u32::MAX)),
            bits,
            table: table.into(),
        };
    }

    /// How many samples the tables claim.
    pub fn samples(&self) -> u32 {
        match self.sizes {
            SampleSizes::Uniform { count, .. } | SampleSizes::Listed { count, .. } => count,
        }
    }

    /// The size of a sample; none where it is that of all.
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

/// The entries of a table behind its version, flags and count: as many as it claims and holds.
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

/// A place in the tables.
#[derive(Debug, Default)]
pub struct TableCursor {
    sample: u32,
    time: u64,
    /// The chunk behind the present one, and what is left of the present one.
    next_chunk: usize,
    chunk_rule: usize,
    chunk_samples: u32,
    offset: u64,
    /// The sample description of the chunk, from 0 on.
    entry: usize,
    /// The entry behind the present one of the durations, and what is left of the present one.
    next_duration: usize,
    duration_samples: u32,
    delta: u32,
}

impl TableCursor {
    /// The next samples, which lie one behind the other, have one duration and size and keep to a
    /// limit. None at the end of the tables.
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

    /// Whether no sample is left.
    pub fn is_at_end(&mut self, tables: &SampleTables) -> bool {
        self.settle(tables).is_none()
    }

    /// Goes behind a run that was given last.
    pub fn advance(&mut self, run: &SampleRun) {
        self.sample = self.sample.saturating_add(run.samples);
        self.chunk_samples = self.chunk_samples.saturating_sub(run.samples);
        self.duration_samples = self.duration_samples.saturating_sub(run.samples);
        self.offset = self.offset.saturating_add(run.bytes);
        self.time = run.end();
    }

    /// QuickTime counts a frame of PCM or ADPCM as a sample, and states sizes of samples that only
    /// its own tables of codecs explain.
    fn frame_layout(&self, entries: &[SampleEntry]) -> Option<FrameLayout> {
        entries.get(self.entry)?.layout.filter(|_| self.delta == 1)
    }

    /// Finds the chunk and the duration of the next sample.
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
                    // Some writers state a negative duration where clocks jumped.
                    self.delta = if i32::try_from(delta).is_ok() {
                        delta
                    } else {
                        0
                    };
                }
                // The samples that the table leaves out last as long as the one before.
                None => self.duration_samples = u32::MAX,
            }
        }
        Some(())
    }
}

/// Frames, at most as many as are left, and their bytes.
fn frames_in_layout(layout: FrameLayout, limit: RunLimit, left: u32) -> (u32, u64) {
    let groups = limit
        .samples(layout.frames, layout.bytes)
        .min(left / layout.frames);
    match groups {
        // Fewer frames than a group.
        0 => (left, u64::from(layout.bytes)),
        groups => (
            groups * layout.frames,
            u64::from(groups) * u64::from(layout.bytes),
        ),
    }
}

#[cfg(test)]
mod tests;
