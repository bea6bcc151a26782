//! Reads movie fragments (`moof`, ISO/IEC 14496-12, 8.8.4 to 8.8.12).

use symphonia::core::errors::{Error, Result};

use super::boxes::{BoxHeader, Fields};
use super::fragment_run::FragmentRun;
use super::input::Mp4Input;

/// Memory limit for the runs of one fragment. Real fragments take a few kilobytes.
const MAX_FRAGMENT_BYTES: u64 = 32 << 20;

/// Memory of a run besides its table.
const RUN_OVERHEAD_BYTES: u64 = 128;

/// Default values of a fragment's fields (`trex`, 8.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentDefaults {
    /// Index of the sample description, from 1.
    pub description: u32,
    /// Ticks per sample.
    pub duration: u32,
    /// Bytes per sample.
    pub size: u32,
}

/// Reads the track and the defaults of a `trex` box.
pub fn read_defaults(content: &[u8]) -> Option<(u32, FragmentDefaults)> {
    let mut fields = Fields(content);
    fields.version_and_flags()?;
    let track_id = fields.u32()?;
    let defaults = FragmentDefaults {
        description: fields.u32()?,
        duration: fields.u32()?,
        size: fields.u32()?,
    };
    Some((track_id, defaults))
}

/// A track's part of a fragment (`traf`).
#[derive(Debug)]
pub struct TrackFragment {
    /// The track.
    pub track_id: u32,
    /// Media time of the first sample, if stated (`tfdt`).
    pub decode_time: Option<u64>,
    /// Its samples; empty if the track is not wanted.
    pub runs: Vec<FragmentRun>,
}

/// Reads a fragment. `defaults` returns the defaults of a track and whether its samples are wanted.
///
/// # Errors
/// Those of the source, [`Error::DecodeError`] if a run claims more samples than it describes, and
/// [`Error::LimitError`] if its tables are too large.
pub fn read(
    input: &mut Mp4Input,
    moof: &BoxHeader,
    defaults: impl Fn(u32) -> (FragmentDefaults, bool),
) -> Result<Vec<TrackFragment>> {
    let mut fragments = Vec::new();
    let mut left = MAX_FRAGMENT_BYTES;
    // A track fragment whose base is neither stated nor the `moof` starts after the data of the
    // previous one.
    let mut data_end = moof.start;
    let mut boxes = moof.children();
    while let Some(header) = boxes.next(input)? {
        if header.kind != *b"traf" {
            continue;
        }
        spend(&mut left, RUN_OVERHEAD_BYTES)?;
        if let Some(mut reading) = TrackFragmentReader::start(input, moof, &header)? {
            reading.data_end = reading.base.unwrap_or(data_end);
            let (defaults, is_wanted) = defaults(reading.fragment.track_id);
            reading.is_wanted = is_wanted;
            reading.fragment.runs = reading.runs(input, &header, defaults, &mut left)?;
            data_end = reading.data_end;
            fragments.push(reading.fragment);
        }
    }
    Ok(fragments)
}

fn spend(left: &mut u64, bytes: u64) -> Result<()> {
    *left = left
        .checked_sub(bytes)
        .ok_or(Error::LimitError("a movie fragment is too large"))?;
    Ok(())
}

/// Reads one track fragment.
struct TrackFragmentReader {
    fragment: TrackFragment,
    is_wanted: bool,
    /// Base of the runs' offsets.
    base: Option<u64>,
    /// End of the previous run's data.
    data_end: u64,
    description: Option<u32>,
    duration: Option<u32>,
    size: Option<u32>,
}

impl TrackFragmentReader {
    /// Reads the header (`tfhd`) and the time (`tfdt`); `None` without a header.
    fn start(input: &mut Mp4Input, moof: &BoxHeader, traf: &BoxHeader) -> Result<Option<Self>> {
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
            is_wanted: false,
            base,
            data_end: 0,
            description: optional(DESCRIPTION),
            duration: optional(DURATION),
            size: optional(SIZE),
        })
    }

    /// Reads the runs (`trun`) and updates the end of their data. Runs of unwanted tracks are left out
    /// and not checked.
    fn runs(
        &mut self,
        input: &mut Mp4Input,
        traf: &BoxHeader,
        defaults: FragmentDefaults,
        left: &mut u64,
    ) -> Result<Vec<FragmentRun>> {
        let defaults = FragmentDefaults {
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
            if self.is_wanted {
                spend(left, header.end - header.content + RUN_OVERHEAD_BYTES)?;
            }
            let content = header.read(input, MAX_FRAGMENT_BYTES)?;
            let Some(mut run) = FragmentRun::read(content, &defaults) else {
                continue;
            };
            self.data_end = run.set_base(base, self.data_end);
            if self.is_wanted {
                if !header.is_truncated {
                    run.check()?;
                }
                runs.push(run);
            }
        }
        Ok(runs)
    }
}
