//! Where a container's clock says that the sound of a packet belongs. Pure.

use crate::audio::demux::ContainerClock;

/// Packets lie this far from where the ones before end without it meaning anything, in seconds:
/// clocks are rounded to milliseconds, and recorders' clocks run beside the samples. `aresample` of
/// ffmpeg allows as much.
const TOLERANCE_S: f64 = 0.1;

/// The same for a clock that counts samples.
const SAMPLES_TOLERANCE_S: f64 = 0.001;

/// A longer hole in a clock that counts samples is a fault of the clock.
const MAX_LOSS_S: f64 = 600.0;

/// What stands between a packet and the one before, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gap {
    /// Silence of the recording.
    pub silence_s: f64,
    /// Sound that is not in the file.
    pub lost_s: f64,
}

/// Compares the clock with the length of what was decoded.
#[derive(Debug)]
pub struct Timeline {
    clock: ContainerClock,
    /// What the clock shows at the start of the recording; none before the first packet.
    origin_s: Option<f64>,
    /// The earliest packet of another track.
    earliest_other_s: f64,
    /// Packets that followed those before them by the clock, and packets that did not.
    followed: u32,
    jumped: u32,
}

impl Timeline {
    /// Before the first packet.
    pub fn new(clock: ContainerClock) -> Self {
        let origin_s = (clock == ContainerClock::FromZero).then_some(0.0);
        Self {
            clock,
            origin_s,
            earliest_other_s: f64::INFINITY,
            followed: 0,
            jumped: 0,
        }
    }

    /// Whether packets of other tracks still tell where the recording starts.
    pub fn waits_for_first(&self) -> bool {
        self.clock != ContainerClock::None && self.origin_s.is_none()
    }

    /// Notes that another track has a packet at this time.
    pub fn observe_other(&mut self, start_s: f64) {
        self.earliest_other_s = self.earliest_other_s.min(start_s);
    }

    /// What goes in front of a packet that begins at `start_s` of the clock, where the recording is
    /// `position_s` long so far. A clock that jumps back goes on from there.
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
        let goes_on_from_here = gap_s < -TOLERANCE_S || (counts_samples && lost_s == 0.0);
        if goes_on_from_here {
            self.origin_s = Some(start_s - position_s);
        }
        Gap { silence_s, lost_s }
    }

    /// How much of a hole is believed. A clock that counts wrong does so from the start, and mostly
    /// disagrees with the packets.
    fn lost_s(&mut self, gap_s: f64) -> f64 {
        if gap_s.abs() <= SAMPLES_TOLERANCE_S {
            self.followed = self.followed.saturating_add(1);
            return 0.0;
        }
        self.jumped = self.jumped.saturating_add(1);
        let is_believed = gap_s > 0.0 && gap_s <= MAX_LOSS_S && self.followed >= self.jumped;
        if is_believed { gap_s } else { 0.0 }
    }

    /// The next packet follows the ones before, whatever its clock says: it is of another recording
    /// in the same file.
    pub fn rebase(&mut self) {
        if self.clock != ContainerClock::FromZero {
            *self = Self::new(self.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of half a second at these times, and the silence before each.
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

    /// The same for a clock that counts samples, with the loss before each.
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
    fn holes_become_silence_and_jitter_does_not() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let packets = [(100.0, 0.0), (100.55, 0.0), (101.0, 0.0), (104.0, 2.5)];
        check(&mut timeline, &mut 0.0, &packets);
    }

    #[test]
    fn a_clock_that_jumps_back_goes_on_from_there() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let packets = [(7.0, 0.0), (7.5, 0.0), (0.0, 0.0), (0.5, 0.0), (3.0, 2.0)];
        check(&mut timeline, &mut 0.0, &packets);
    }

    #[test]
    fn audio_that_begins_late_has_silence_in_front() {
        for clock in [ContainerClock::FromFirstPacket, ContainerClock::Samples] {
            let mut timeline = Timeline::new(clock);
            timeline.observe_other(60.0);
            timeline.observe_other(61.0);
            assert!(timeline.waits_for_first());
            check(&mut timeline, &mut 0.0, &[(63.0, 3.0), (63.5, 0.0)]);
            assert!(!timeline.waits_for_first());
        }
        let mut timeline = Timeline::new(ContainerClock::FromZero);
        check(&mut timeline, &mut 0.0, &[(3.0, 3.0), (3.5, 0.0)]);
    }

    #[test]
    fn another_recording_follows_at_once() {
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        let mut position_s = 0.0;
        check(&mut timeline, &mut position_s, &[(0.0, 0.0), (0.5, 0.0)]);
        timeline.rebase();
        check(&mut timeline, &mut position_s, &[(50.0, 0.0), (51.0, 0.5)]);
    }

    #[test]
    fn without_a_clock_packets_follow_one_another() {
        let mut timeline = Timeline::new(ContainerClock::None);
        check(
            &mut timeline,
            &mut 0.0,
            &[(9.0, 0.0), (99.0, 0.0), (0.0, 0.0)],
        );
    }

    #[test]
    fn a_hole_in_a_count_of_samples_is_a_loss() {
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
    fn a_count_that_is_wrong_makes_no_silence() {
        // Twice as fast as the sound, by far too high, and high for one packet.
        check_lost(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]);
        check_lost(&[(0.0, 0.0), (0.5, 0.0), (9e6, 0.0), (9e6 + 0.5, 0.0)]);
        check_lost(&[(0.0, 0.0), (0.5, 0.0), (9e6, 0.0), (1.5, 0.0), (2.0, 0.0)]);
    }
}
