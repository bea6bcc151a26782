//! Where a container's clock says that the sound of a packet belongs. Pure.

use crate::audio::demux::ContainerClock;

/// Packets lie this far from where the ones before end without it meaning anything, in seconds:
/// clocks are rounded to milliseconds, and recorders' clocks run beside the samples. `aresample` of
/// ffmpeg allows as much.
const TOLERANCE_S: f64 = 0.1;

/// Compares the clock with the length of what was decoded.
#[derive(Debug)]
pub struct Timeline {
    clock: ContainerClock,
    /// What the clock shows at the start of the recording; none before the first packet.
    origin_s: Option<f64>,
    /// The earliest packet of another track.
    earliest_other_s: f64,
}

impl Timeline {
    /// Before the first packet.
    pub fn new(clock: ContainerClock) -> Self {
        let origin_s = (clock == ContainerClock::FromZero).then_some(0.0);
        Self {
            clock,
            origin_s,
            earliest_other_s: f64::INFINITY,
        }
    }

    /// Whether packets of other tracks still tell where the recording starts.
    pub fn waits_for_first(&self) -> bool {
        self.clock == ContainerClock::FromFirstPacket && self.origin_s.is_none()
    }

    /// Notes that another track has a packet at this time.
    pub fn observe_other(&mut self, start_s: f64) {
        self.earliest_other_s = self.earliest_other_s.min(start_s);
    }

    /// The silence in front of a packet that begins at `start_s` of the clock, where the recording
    /// is `position_s` long so far. A clock that jumps back goes on from there.
    pub fn silence_before(&mut self, start_s: f64, position_s: f64) -> f64 {
        if self.clock == ContainerClock::None {
            return 0.0;
        }
        let first_s = start_s.min(self.earliest_other_s);
        let origin_s = *self.origin_s.get_or_insert(first_s - position_s);
        let gap_s = start_s - origin_s - position_s;
        if gap_s < -TOLERANCE_S {
            self.origin_s = Some(start_s - position_s);
        }
        if gap_s > TOLERANCE_S { gap_s } else { 0.0 }
    }

    /// The next packet follows the ones before, whatever its clock says: it is of another recording
    /// in the same file.
    pub fn rebase(&mut self) {
        if self.clock == ContainerClock::FromFirstPacket {
            self.origin_s = None;
            self.earliest_other_s = f64::INFINITY;
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
            let silence_s = timeline.silence_before(start_s, *position_s);
            assert!(
                (silence_s - expected_s).abs() < 1e-9,
                "{start_s}: {silence_s}"
            );
            *position_s += silence_s + 0.5;
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
        let mut timeline = Timeline::new(ContainerClock::FromFirstPacket);
        timeline.observe_other(60.0);
        timeline.observe_other(61.0);
        assert!(timeline.waits_for_first());
        check(&mut timeline, &mut 0.0, &[(63.0, 3.0), (63.5, 0.0)]);
        assert!(!timeline.waits_for_first());

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
}
