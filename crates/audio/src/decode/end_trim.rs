//! Checks the padding that a container states at the end of a track.
//!
//! A frame count in a header (Xing, an Ogg granule position) may be wrong, estimated, or of the first of
//! several concatenated files. Its padding is trimmed only at the very end of the track and only if it is
//! short enough to be padding.

use symphonia::core::packet::Packet;
use symphonia::core::units::Duration as Ticks;

/// When frames to trim are accepted as padding; lengths in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndTrimRule {
    /// Always: they come from an edit list.
    Trusted,
    /// If their sum at the end of the track is the stated padding.
    Exactly(u64),
    /// If their sum at the end of the track is at most this.
    AtMost(u64),
}

impl EndTrimRule {
    fn limit(self) -> u64 {
        match self {
            Self::Trusted => u64::MAX,
            Self::Exactly(frames) | Self::AtMost(frames) => frames,
        }
    }
}

/// Delays packets with an end to trim until it is known whether they are the last ones.
pub struct EndTrimmer {
    rule: EndTrimRule,
    pending: Vec<Packet>,
    marked: u64,
}

impl EndTrimmer {
    /// A trimmer without delayed packets.
    pub fn new(rule: EndTrimRule) -> Self {
        Self {
            rule,
            pending: Vec::new(),
            marked: 0,
        }
    }

    /// Adds a packet, and returns those that are ready to be decoded, in order.
    pub fn push(&mut self, mut packet: Packet) -> Vec<Packet> {
        if self.rule == EndTrimRule::Trusted {
            return vec![packet];
        }
        let marked = packet.trim_end.get();
        self.marked = self.marked.saturating_add(marked);
        if marked > 0 && self.marked <= self.rule.limit() {
            self.pending.push(packet);
            return Vec::new();
        }
        // Audio follows, or there is too much to trim for padding: the trims are wrong.
        packet.trim_end = Ticks::ZERO;
        let mut ready = self.take_untrimmed();
        ready.push(packet);
        ready
    }

    /// Ends the track, and returns the delayed packets.
    pub fn finish(&mut self) -> Vec<Packet> {
        let is_padding = match self.rule {
            EndTrimRule::Exactly(frames) => self.marked == frames,
            EndTrimRule::Trusted | EndTrimRule::AtMost(_) => true,
        };
        if is_padding {
            self.marked = 0;
            return std::mem::take(&mut self.pending);
        }
        self.take_untrimmed()
    }

    fn take_untrimmed(&mut self) -> Vec<Packet> {
        // `marked` keeps its value: later trims of this track are wrong, too.
        let mut packets = std::mem::take(&mut self.pending);
        for packet in &mut packets {
            packet.trim_end = Ticks::ZERO;
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use symphonia::core::units::Timestamp;

    use super::*;

    /// Checks the trims of packets that state the trims `marks`.
    #[track_caller]
    fn check(rule: EndTrimRule, marks: &[u64], expected: &[u64]) {
        let mut trimmer = EndTrimmer::new(rule);
        let mut trims = Vec::new();
        for &mark in marks {
            let mut packet = Packet::new(0, Timestamp::ZERO, Ticks::new(1152), Vec::new());
            packet.trim_end = Ticks::new(mark);
            trims.extend(trimmer.push(packet));
        }
        trims.extend(trimmer.finish());
        let trims: Vec<u64> = trims.iter().map(|packet| packet.trim_end.get()).collect();
        assert_eq!(trims, expected, "{rule:?}");
    }

    #[test]
    fn trims_padding_at_the_end_and_nothing_else() {
        use EndTrimRule::{AtMost, Exactly, Trusted};

        check(Exactly(1500), &[0, 0, 348, 1152], &[0, 0, 348, 1152]);
        // The sum differs from the stated padding.
        check(Exactly(1500), &[0, 0, 300, 1152], &[0, 0, 0, 0]);
        check(Exactly(1500), &[0, 1152, 1152, 1152], &[0, 0, 0, 0]);
        check(Exactly(0), &[0, 1152, 1152], &[0, 0, 0]);
        check(AtMost(3000), &[0, 0, 100], &[0, 0, 100]);
        check(AtMost(3000), &[0, 100, 0, 100], &[0, 0, 0, 100]);
        check(AtMost(3000), &[960, 960, 960, 960], &[0, 0, 0, 0]);
        check(Trusted, &[0, 100, 0, 5000], &[0, 100, 0, 5000]);
    }
}
