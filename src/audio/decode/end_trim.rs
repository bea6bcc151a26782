//! Decides whether what a container marks as padding at the end of a track is padding.
//!
//! A count of frames in a header (Xing, an Ogg granule position) may be wrong, estimated, or of the
//! first of several joined files. Its padding is cut only where it is the last thing of the track
//! and as short as padding is.

use symphonia::core::packet::Packet;
use symphonia::core::units::Duration as Ticks;

/// What proves that marked frames are padding; lengths in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndTrimRule {
    /// Every mark is right: it comes from an edit list.
    Trusted,
    /// All marks at the end together are as long as the encoder says.
    Exactly(u64),
    /// All marks at the end together are no longer than this.
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

/// Keeps packets whose end is marked until it is known whether they are the last ones.
pub struct EndTrim {
    rule: EndTrimRule,
    kept: Vec<Packet>,
    marked: u64,
}

impl EndTrim {
    /// Keeps nothing yet.
    pub fn new(rule: EndTrimRule) -> Self {
        Self {
            rule,
            kept: Vec::new(),
            marked: 0,
        }
    }

    /// Takes a packet, and gives those that are ready to be decoded, in order.
    pub fn push(&mut self, mut packet: Packet) -> Vec<Packet> {
        if self.rule == EndTrimRule::Trusted {
            return vec![packet];
        }
        let marked = packet.trim_end.get();
        self.marked = self.marked.saturating_add(marked);
        if marked > 0 && self.marked <= self.rule.limit() {
            self.kept.push(packet);
            return Vec::new();
        }
        // Sound follows, or more is marked than padding is long: the marks are wrong.
        packet.trim_end = Ticks::ZERO;
        let mut ready = self.unmarked();
        ready.push(packet);
        ready
    }

    /// Ends the track, and gives the packets that are left.
    pub fn finish(&mut self) -> Vec<Packet> {
        let is_padding = match self.rule {
            EndTrimRule::Exactly(frames) => self.marked == frames,
            EndTrimRule::Trusted | EndTrimRule::AtMost(_) => true,
        };
        if is_padding {
            self.marked = 0;
            return std::mem::take(&mut self.kept);
        }
        self.unmarked()
    }

    fn unmarked(&mut self) -> Vec<Packet> {
        // Once wrong, the marks go on being wrong: what was counted stays counted.
        let mut packets = std::mem::take(&mut self.kept);
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

    /// What is trimmed from packets with these marks.
    #[track_caller]
    fn check(rule: EndTrimRule, marks: &[u64], expected: &[u64]) {
        let mut end_trim = EndTrim::new(rule);
        let mut trims = Vec::new();
        for &mark in marks {
            let mut packet = Packet::new(0, Timestamp::ZERO, Ticks::new(1152), Vec::new());
            packet.trim_end = Ticks::new(mark);
            trims.extend(end_trim.push(packet));
        }
        trims.extend(end_trim.finish());
        let trims: Vec<u64> = trims.iter().map(|packet| packet.trim_end.get()).collect();
        assert_eq!(trims, expected, "{rule:?}");
    }

    #[test]
    fn padding_at_the_end_is_cut_and_nothing_else() {
        use EndTrimRule::{AtMost, Exactly, Trusted};

        check(Exactly(1500), &[0, 0, 348, 1152], &[0, 0, 348, 1152]);
        // Another number of frames than the encoder's padding: the count is wrong.
        check(Exactly(1500), &[0, 0, 300, 1152], &[0, 0, 0, 0]);
        check(Exactly(1500), &[0, 1152, 1152, 1152], &[0, 0, 0, 0]);
        check(Exactly(0), &[0, 1152, 1152], &[0, 0, 0]);
        check(AtMost(3000), &[0, 0, 100], &[0, 0, 100]);
        check(AtMost(3000), &[0, 100, 0, 100], &[0, 0, 0, 100]);
        check(AtMost(3000), &[960, 960, 960, 960], &[0, 0, 0, 0]);
        check(Trusted, &[0, 100, 0, 5000], &[0, 100, 0, 5000]);
    }
}
