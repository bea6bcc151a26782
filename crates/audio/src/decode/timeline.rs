//! Places packets in time by the container's time stamps. Pure.

use crate::demux::ContainerClock;

/// Deviation between time stamps and decoded length that is ignored, in seconds: time stamps are
/// rounded to milliseconds, and recorders' clocks drift. Same as in ffmpeg's `aresample`.
const TOLERANCE_S: f64 = 0.1;

/// The same for time stamps in samples.
const SAMPLES_TOLERANCE_S: f64 = 0.001;

/// Maximum loss in seconds; a longer gap in sample time stamps is an error of the time stamps.
const MAX_LOSS_S: f64 = 600.0;

/// Gap between two consecutive packets, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// Silence in the recording.
    pub silence_s: f64,
    /// Audio that is missing from the file.
    pub lost_s: f64,
}

/// Compares time stamps with the length of the decoded audio.
#[derive(Debug)]
pub struct Timeline {
    clock: ContainerClock,
    /// Time stamp of the start of the recording; `None` before the first packet.
    origin_s: Option<f64>,
    /// Time stamp of the earliest packet of another track.
    earliest_other_s: f64,
    /// Number of packets whose time stamps follow the previous packet, and of those that do not.
    continuous: u32,
    discontinuous: u32,
}

impl Timeline {
    /// A timeline before the first packet.
    pub fn new(clock: ContainerClock) -> Self {
        let origin_s = (clock == ContainerClock::FromZero).then_some(0.0);
        Self {
            clock,
            origin_s,
            earliest_other_s: f64::INFINITY,
            continuous: 0,
            discontinuous: 0,
        }
    }

    /// Whether packets of other tracks can still determine the start of the recording.
    pub fn is_before_first_packet(&self) -> bool {
        self.clock != ContainerClock::None && self.origin_s.is_none()
    }

    /// Records the time stamp of another track's packet.
    pub fn observe_other_track(&mut self, start_s: f64) {
        self.earliest_other_s = self.earliest_other_s.min(start_s);
    }

    /// The gap before a packet with time stamp `start_s`, given the length of the recording so far. If
    /// time stamps jump back, the recording continues without a gap.
    pub fn gap_before(&mut self, start_s: f64, position_s: f64) -> Gap {
        if self.clock == ContainerClock::None {
            return Gap::default();
        }
        let counts_samples = self.clock == ContainerClock::Samples && self.origin_s.is_some();
        let first_s = start_s.min(self.earliest_other_s);
        let origin_s = *self.origin_s.get_or_insert(first_s - position_s);
        let gap_s = start_s - origin_s - position_s;
        let (silence_s, lost_s) = match counts_samples {
            true => (0.0, self.lost_s(gap_s)),
            false if gap_s > TOLERANCE_S => (gap_s, 0.0),
            false => (0.0, 0.0),
        };
        let is_rebased = gap_s < -TOLERANCE_S || (counts_samples && lost_s == 0.0);
        if is_rebased {
            self.origin_s = Some(start_s - position_s);
        }
        Gap { silence_s, lost_s }
    }

    /// The lost duration for a gap in sample time stamps; 0 if most time stamps so far were inconsistent
    /// with the packets.
    fn lost_s(&mut self, gap_s: f64) -> f64 {
        if gap_s.abs() <= SAMPLES_TOLERANCE_S {
            self.continuous = self.continuous.saturating_add(1);
            return 0.0;
        }
        self.discontinuous = self.discontinuous.saturating_add(1);
        let is_plausible =
            gap_s > 0.0 && gap_s <= MAX_LOSS_S && self.continuous >= self.discontinuous;
        if is_plausible { gap_s } else { 0.0 }
    }

    /// Starts another recording in the same file: the next packet follows without a gap.
    pub fn rebase(&mut self) {
        if self.clock != ContainerClock::FromZero {
            *self = Self::new(self.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks packets of half a second: time stamp and expected silence before each.
    #[track_caller]
    fn check(timeline: &mut Timeline, position_s: &mut f64, packets: &[(f64, f64)]) {
        for &(start_s, expected_s) in packets {
            let gap = timeline.gap_before(start_s, *position_s);
            assert!(
                (gap.silence_s - expected_s).abs() < 1e-9,
                "{start_s}: {gap:?}"
            );
            assert_eq!(gap.lost_s, 0.0);
            *position_s += gap.silence_s + 0.5;
        }
    }

    /// The same for sample time stamps, with the expected loss before each.
    #[track_caller]
    fn check_lost(packets: &[(f64, f64)]) {
        let mut timeline = Timeline::new(ContainerClock::Samples);
        let mut position_s = 0.0;
        for &(start_s, expected_s) in packets {
            let gap = timeline.gap_before(start_s, position_s);
            assert!((gap.lost_s - expected_s).abs() < 1e-9, "{start_s}: {gap:?}");
            assert_eq!(gap.silence_s, 0.0);
            position_s += gap.lost_s + 0.5;
        }
    }

    #[test]
    fn gaps_become_silence_and_jitter_does_not() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let packets = [(100.0, 0.0), (100.55, 0.0), (101.0, 0.0), (104.0, 2.5)];
        check(&mut timeline, &mut 0.0, &packets);
    }

    #[test]
    fn continues_after_a_jump_back() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let packets = [(7.0, 0.0), (7.5, 0.0), (0.0, 0.0), (0.5, 0.0), (3.0, 2.0)];
        check(&mut timeline, &mut 0.0, &packets);
    }

    #[test]
    fn late_audio_starts_with_silence() {
        for clock in [ContainerClock::FromFirstPacket, ContainerClock::Samples] {
            let mut timeline = Timeline::new(clock);
            timeline.observe_other_track(60.0);
            timeline.observe_other_track(61.0);
            assert!(timeline.is_before_first_packet());
            check(&mut timeline, &mut 0.0, &[(63.0, 3.0), (63.5, 0.0)]);
            assert!(!timeline.is_before_first_packet());
        }
        let mut timeline = Timeline::new(ContainerClock::FromZero);
        check(&mut timeline, &mut 0.0, &[(3.0, 3.0), (3.5, 0.0)]);
    }

    #[test]
    fn another_recording_follows_without_a_gap() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let mut position_s = 0.0;
        check(&mut timeline, &mut position_s, &[(0.0, 0.0), (0.5, 0.0)]);
        timeline.rebase();
        check(&mut timeline, &mut position_s, &[(50.0, 0.0), (51.0, 0.5)]);
    }

    #[test]
    fn packets_without_time_stamps_are_contiguous() {
        let mut timeline = Timeline::new(ContainerClock::None);
        check(
            &mut timeline,
            &mut 0.0,
            &[(9.0, 0.0), (99.0, 0.0), (0.0, 0.0)],
        );
    }

    #[test]
    fn a_gap_in_sample_time_stamps_is_a_loss() {
        check_lost(&[
            (7.0, 0.0),
            (7.5, 0.0),
            (8.05, 0.05),
            (8.55, 0.0),
            (11.0, 1.95),
        ]);
        // Back to the start, as in joined files.
        check_lost(&[(0.0, 0.0), (0.5, 0.0), (0.0, 0.0), (0.5, 0.0), (2.0, 1.0)]);
    }

    #[test]
    fn inconsistent_time_stamps_cause_no_silence() {
        // Twice too fast, far too large, and too large for one packet.
        check_lost(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]);
        check_lost(&[(0.0, 0.0), (0.5, 0.0), (9e6, 0.0), (9e6 + 0.5, 0.0)]);
        check_lost(&[(0.0, 0.0), (0.5, 0.0), (9e6, 0.0), (1.5, 0.0), (2.0, 0.0)]);
    }
}
