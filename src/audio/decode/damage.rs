//! Counts the time of sound that was lost: packets that could not be decoded, and those that are missing.

use std::ops::Range;

use crate::audio::AudioError;
use crate::audio::channels::ChannelStreams;

/// A recording of which more than this share is lost is not transcribed as if it were whole.
const MAX_LOST_SHARE: f64 = 0.02;

/// Whether so much of a whole is missing that the rest does not pass for it.
pub fn is_too_much(lost: f64, whole: f64) -> bool {
    lost > MAX_LOST_SHARE * whole
}

/// What was lost so far.
#[derive(Debug, Default)]
pub struct Damage {
    /// Samples at 16 kHz, in order.
    lost: Vec<Range<usize>>,
    lost_s: f64,
    /// Packets that failed since the last one that did not.
    run_packets: u32,
    run_s: f64,
}

impl Damage {
    /// Counts a packet that failed, or what is missing in front of one.
    pub fn extend_run(&mut self, duration_s: f64) {
        self.run_packets += 1;
        self.run_s += duration_s;
    }

    /// How much failed since the last packet that did not, in seconds.
    pub fn run_s(&self) -> f64 {
        self.run_s
    }

    /// Puts silence in the place of the packets that failed, because another follows.
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
        match self.lost.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.lost.push(start..end),
        }
        self.run_packets = 0;
        self.run_s = 0.0;
        Ok(())
    }

    /// As [`close_run`](Self::close_run), at the end: where one packet fails there, the file was cut
    /// off within it, and nothing is lost that was in the file.
    ///
    /// # Errors
    /// [`AudioError::TooLong`].
    pub fn close_last_run(&mut self, streams: &mut ChannelStreams<'_>) -> Result<(), AudioError> {
        if self.run_packets <= 1 {
            return Ok(());
        }
        self.close_run(streams)
    }

    /// How much was lost, in seconds.
    pub fn lost_s(&self) -> f64 {
        self.lost_s
    }

    /// Where it was, in samples.
    pub fn into_lost(self) -> Vec<Range<usize>> {
        self.lost
    }
}
