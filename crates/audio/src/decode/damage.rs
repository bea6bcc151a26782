//! Counts audio that was lost: packets that could not be decoded, and missing packets.

use std::ops::Range;

use crate::AudioError;
use crate::channels::ChannelStreams;

/// A recording that lost more than this share is rejected rather than transcribed in part.
const MAX_LOST_SHARE: f64 = 0.02;

/// Whether `lost` of `total` is too large a share.
pub fn is_too_much(lost: f64, total: f64) -> bool {
    lost > MAX_LOST_SHARE * total
}

/// Audio lost so far.
#[derive(Debug, Default)]
pub struct Damage {
    /// Samples at 16 kHz, in order.
    lost_ranges: Vec<Range<usize>>,
    lost_s: f64,
    /// Packets that failed since the last successful one.
    run_packets: u32,
    run_s: f64,
}

impl Damage {
    /// Counts a failed packet, or a gap before a packet.
    pub fn extend_run(&mut self, duration_s: f64) {
        self.run_packets += 1;
        self.run_s += duration_s;
    }

    /// Duration of the failed packets since the last successful one, in seconds.
    pub fn run_s(&self) -> f64 {
        self.run_s
    }

    /// Replaces the failed packets by silence, once another packet follows.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn close_run(&mut self, streams: &mut ChannelStreams<'_>) -> Result<(), AudioError> {
        if self.run_packets == 0 {
            return Ok(());
        }
        let start = streams.position();
        streams.push_silence(self.run_s)?;
        let end = streams.position();
        self.lost_s += self.run_s;
        match self.lost_ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.lost_ranges.push(start..end),
        }
        self.run_packets = 0;
        self.run_s = 0.0;
        Ok(())
    }

    /// Like [`close_run`](Self::close_run), at the end of the file, where a single failed packet is not
    /// a loss: the file was truncated within it.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn close_last_run(&mut self, streams: &mut ChannelStreams<'_>) -> Result<(), AudioError> {
        if self.run_packets <= 1 {
            return Ok(());
        }
        self.close_run(streams)
    }

    /// Total duration lost, in seconds.
    pub fn lost_s(&self) -> f64 {
        self.lost_s
    }

    /// The lost ranges, in samples.
    pub fn into_lost_ranges(self) -> Vec<Range<usize>> {
        self.lost_ranges
    }
}
