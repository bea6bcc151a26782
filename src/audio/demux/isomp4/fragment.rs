//! Reads movie fragments (`moof`, ISO/IEC 14496-12, 8.8.4 to 8.8.12).

use symphonia::core::errors::{Error, Result};

use super::boxes::{BoxHeader, Fields};
use super::input::Input;
use super::run::{Run, RunLimit};

/// What the runs of one fragment may take in memory. Real fragments take some kilobytes.
const MAX_FRAGMENT_BYTES: u64 = 32 << 20;

/// What a run takes in memory besides its table.
const RUN_OVERHEAD_BYTES: u64 = 128;

/// What a fragment uses where it says nothing itself (`trex`, 8.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The sample description, from 1 on.
    pub description: u32,
    /// The ticks of a sample.
    pub duration: u32,
    /// The bytes of a sample.
    pub size: u32,
}

/// The track and the defaults of a `trex` box.
pub fn read_defaults(content: &[u8]) -> Option<(u32, Defaults)> {
    let mut fields = Fields(content);
    fields.version_and_flags()?;
    let track_id = fields.u32()?;
    let defaults = Defaults {
        description: fields.u32()?,
        duration: fields.u32()?,
        size: fields.u32()?,
    };
    Some((track_id, defaults))
}

/// The part of a track that a fragment holds (`traf`).
#[derive(Debug)]
pub struct TrackFragment {
    /// The track.
    pub track_id: u32,
    /// When the first sample is due in the time of the media, where that is stated (`tfdt`).
    pub decode_time: Option<u64>,
    /// Its samples; none where the track is not wanted.
    pub runs: Vec<FragmentRun>,
}

/// Reads a fragment. `defaults` gives those of a track, and whether its samples are wanted.
///
/// # Errors
/// Those of the source, [`Error::DecodeError`] where it claims samples that it does not hold, and
/// [`Error::LimitError`] where its tables are too large.
pub fn read(
    input: &mut Input,
    moof: &BoxHeader,
    defaults: impl Fn(u32) -> (Defaults, bool),
) -> Result<Vec<TrackFragment>> {
    let mut fragments = Vec::new();
    let mut left = MAX_FRAGMENT_BYTES;
    // Where a track fragment neither states where its data begins nor counts from the `moof`, it
    // begins behind the data of the one before.
    let mut data_end = moof.start;
    let mut boxes = moof.children();
    while let Some(header) = boxes.next(input)? {
        if header.kind != *b"traf" {
            continue;
        }
        spend(&mut left, RUN_OVERHEAD_BYTES)?;
        if let Some(mut reading) = Reading::start(input, moof, &header)? {
            reading.data_end = reading.base.unwrap_or(data_end);
            let (defaults, is_wanted) = defaults(reading.fragment.track_id);
            for run in reading.runs(input, &header, defaults, &mut left)? {
                if is_wanted {
                    reading.fragment.runs.push(run.checked()?);
                }
            }
            data_end = reading.data_end;
            fragments.push(reading.fragment);
        }
    }
    Ok(fragments)
}

fn spend(left: &mut u64, bytes: u64) -> Result<()> {
    *left = left
        .checked_sub(bytes)
        .ok_or(Error::LimitError("isomp4: a movie fragment is too large"))?;
    Ok(())
}

/// A track fragment while it is read.
struct Reading {
    fragment: TrackFragment,
    /// Where the offsets of runs count from.
    base: Option<u64>,
    /// The end of the data of the run before.
    data_end: u64,
    description: Option<u32>,
    duration: Option<u32>,
    size: Option<u32>,
}

impl Reading {
    /// Reads the header (`tfhd`) and the time; none where there is no header.
    fn start(input: &mut Input, moof: &BoxHeader, traf: &BoxHeader) -> Result<Option<Self>> {
        const MAX_HEADER_BYTES: u64 = 64;
        let mut reading = None;
        let mut decode_time = None;
        let mut boxes = traf.children();
        while let Some(header) = boxes.next(input)? {
            match &header.kind {
                b"tfhd" => {
                    let content = header.read(input, MAX_HEADER_BYTES)?;
                    reading = Self::from_header(&content, moof.start);
                }
                b"tfdt" => {
                    let content = header.read(input, MAX_HEADER_BYTES)?;
                    let mut fields = Fields(&content);
                    decode_time = fields
                        .version_and_flags()
                        .and_then(|(version, _)| fields.u32_or_u64(version == 1));
                }
                _ => {}
            }
        }
        if let Some(reading) = &mut reading {
            reading.fragment.decode_time = decode_time;
        }
        Ok(reading)
    }

    fn from_header(content: &[u8], moof_start: u64) -> Option<Self> {
        const BASE_OFFSET: u32 = 0x1;
        const DESCRIPTION: u32 = 0x2;
        const DURATION: u32 = 0x8;
        const SIZE: u32 = 0x10;
        const BASE_IS_MOOF: u32 = 0x2_0000;
        let mut fields = Fields(content);
        let (_, flags) = fields.version_and_flags()?;
        let track_id = fields.u32()?;
        let base = match flags & BASE_OFFSET {
            0 => (flags & BASE_IS_MOOF != 0).then_some(moof_start),
            _ => Some(fields.u64()?),
        };
        let mut optional = |flag| (flags & flag != 0).then(|| fields.u32()).flatten();
        Some(Self {
            fragment: TrackFragment {
                track_id,
                decode_time: None,
                runs: Vec::new(),
            },
            base,
            data_end: 0,
            description: optional(DESCRIPTION),
            duration: optional(DURATION),
            size: optional(SIZE),
        })
    }

    /// Reads the runs (`trun`), and where the data of the last one ends.
    fn runs(
        &mut self,
        input: &mut Input,
        traf: &BoxHeader,
        defaults: Defaults,
        left: &mut u64,
    ) -> Result<Vec<FragmentRun>> {
        let defaults = Defaults {
            description: self.description.unwrap_or(defaults.description),
            duration: self.duration.unwrap_or(defaults.duration),
            size: self.size.unwrap_or(defaults.size),
        };
        let base = self.data_end;
        let mut runs = Vec::new();
        let mut boxes = traf.children();
        while let Some(header) = boxes.next(input)? {
            if header.kind != *b"trun" {
                continue;
            }
            spend(left, header.end - header.content + RUN_OVERHEAD_BYTES)?;
            let content = header.read(input, MAX_FRAGMENT_BYTES)?;
            let Some(mut run) = FragmentRun::read(content, &defaults) else {
                continue;
            };
            run.is_cut = header.is_cut;
            run.offset = match run.data_offset {
                Some(offset) => base.saturating_add_signed(i64::from(offset)),
                None => self.data_end,
            };
            let (_, bytes) = run.totals();
            self.data_end = run.offset.saturating_add(bytes);
            runs.push(run);
        }
        Ok(runs)
    }
}

/// Samples of a fragment that lie one behind the other (`trun`).
#[derive(Clone, Debug)]
pub struct FragmentRun {
    /// What is stated of each sample.
    table: Vec<u8>,
    at: usize,
    has_durations: bool,
    has_sizes: bool,
    sample_bytes: usize,
    claimed: u32,
    is_cut: bool,
    data_offset: Option<i32>,
    defaults: Defaults,
    /// The samples that are left.
    samples: u32,
    offset: u64,
    time: u64,
}

impl FragmentRun {
    fn read(content: Vec<u8>, defaults: &Defaults) -> Option<Self> {
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
            // Nothing is stated of each: they are alike, and take a byte at least.
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
            is_cut: false,
            data_offset,
            defaults: *defaults,
            samples: claimed.min(described),
            offset: 0,
            time: 0,
        })
    }

    /// Refuses a run that claims samples which it does not describe, except where it is cut because
    /// the file breaks off.
    fn checked(self) -> Result<Self> {
        if self.claimed > self.samples && !self.is_cut {
            return Err(Error::DecodeError(
                "isomp4: a track run claims more samples than it describes",
            ));
        }
        Ok(self)
    }

    /// Whether no sample is left.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The ticks and bytes of all samples that are left.
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

    /// Says when the first sample is due, in the time of the media.
    pub fn start_at(&mut self, time: u64) {
        self.time = time;
    }

    /// The next samples within a limit; none at the end.
    pub fn peek(&self, limit: RunLimit) -> Option<Run> {
        if self.samples == 0 {
            return None;
        }
        let (delta, size) = self.sample_at(self.at);
        let samples = match self.sample_bytes {
            0 => limit.samples(delta, size).min(self.samples),
            _ => 1,
        };
        Some(Run {
            offset: self.offset,
            bytes: u64::from(samples) * u64::from(size),
            samples,
            time: self.time,
            delta,
            entry: self.defaults.description.saturating_sub(1) as usize,
        })
    }

    /// Goes behind a run that was given last.
    pub fn advance(&mut self, run: &Run) {
        self.samples = self.samples.saturating_sub(run.samples);
        self.at += self.sample_bytes;
        self.offset = self.offset.saturating_add(run.bytes);
        self.time = run.end();
    }

    /// Duration and size of the sample that is described at this place of the table.
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
