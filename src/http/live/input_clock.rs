//! When the audio of a session came, for the times between speech and text.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::protocol::BufferState;
use crate::live::{ItemId, SessionEvent};
use crate::session::Arrivals;

/// Samples per second of all audio.
const RATE_HZ: u64 = 16_000;
/// Turns whose end is kept; they complete in order.
const MAX_TURNS: usize = 64;

/// When a session's audio and the ends of its turns arrived.
#[derive(Debug, Default)]
pub struct InputClock {
    arrivals: Arrivals,
    /// Samples up to the end of the last turn.
    consumed: u64,
    is_in_turn: bool,
    /// When the last audio of each turn came.
    turn_ends: VecDeque<(ItemId, Instant)>,
}

impl InputClock {
    /// Counts audio.
    pub fn push(&mut self, samples: usize, arrival: Instant) {
        self.arrivals.push(samples, arrival);
    }

    /// All audio so far belongs to a turn, or is dropped.
    pub fn consume(&mut self) {
        self.consumed = self.arrivals.samples();
    }

    /// Length of all audio.
    pub fn audio(&self) -> Duration {
        Duration::from_micros(self.arrivals.samples() * 1_000_000 / RATE_HZ)
    }

    /// Time since the newest audio came.
    pub fn since_newest(&self, now: Instant) -> Duration {
        let newest = self.arrivals.newest();
        newest.map_or(Duration::ZERO, |arrival| {
            now.saturating_duration_since(arrival)
        })
    }

    /// What is known of the buffer.
    pub fn buffer(&self) -> BufferState {
        BufferState {
            has_audio: self.arrivals.samples() > self.consumed,
            is_in_turn: self.is_in_turn,
        }
    }

    /// Follows the session's turns. Returns the time since the end of a turn that is now complete.
    pub fn observe(&mut self, event: &SessionEvent, now: Instant) -> Option<Duration> {
        match event {
            SessionEvent::SpeechStarted { .. } => self.is_in_turn = true,
            SessionEvent::SpeechStopped { item, audio_end } => {
                let end = audio_end.as_micros() as u64 * RATE_HZ / 1_000_000;
                self.consumed = self.consumed.max(end.min(self.arrivals.samples()));
                let arrival = self.arrivals.of(end).unwrap_or(now);
                self.end_turn(*item, arrival);
            }
            SessionEvent::Committed { item, .. } => {
                self.is_in_turn = false;
                if self.turn_ends.iter().all(|(other, _)| other != item) {
                    let newest = self.arrivals.newest().unwrap_or(now);
                    self.end_turn(*item, newest);
                }
            }
            SessionEvent::Completed { item, .. } | SessionEvent::Failed { item, .. } => {
                let at = self.turn_ends.iter().position(|(other, _)| other == item)?;
                let (_, end) = self.turn_ends.remove(at)?;
                return Some(now.saturating_duration_since(end));
            }
            SessionEvent::Cleared => self.is_in_turn = false,
            SessionEvent::Partial { .. }
            | SessionEvent::Delta { .. }
            | SessionEvent::Segment { .. } => {}
        }
        None
    }

    fn end_turn(&mut self, item: ItemId, end: Instant) {
        if self.turn_ends.len() == MAX_TURNS {
            self.turn_ends.pop_front();
        }
        self.turn_ends.push_back((item, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: ItemId = ItemId(1);

    fn completed() -> SessionEvent {
        SessionEvent::Completed {
            item: ITEM,
            transcript: String::new(),
            audio: Duration::ZERO,
            language: None,
            logprobs: None,
        }
    }

    #[test]
    fn a_text_is_measured_from_the_end_of_its_turn() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = InputClock::default();
        for second in 1..=5 {
            clock.push(16_000, at(second * 1_000));
        }
        assert_eq!(clock.audio(), Duration::from_secs(5));
        assert_eq!(clock.since_newest(at(5_500)), Duration::from_millis(500));
        assert!(clock.buffer().has_audio);

        let audio_start = Duration::from_millis(300);
        clock.observe(
            &SessionEvent::SpeechStarted {
                item: ITEM,
                audio_start,
            },
            at(5_500),
        );
        assert!(clock.buffer().is_in_turn);
        let audio_end = Duration::from_millis(2_500);
        clock.observe(
            &SessionEvent::SpeechStopped {
                item: ITEM,
                audio_end,
            },
            at(5_600),
        );
        let committed = SessionEvent::Committed {
            item: ITEM,
            previous: None,
        };
        clock.observe(&committed, at(5_600));

        assert_eq!(
            clock.observe(&completed(), at(6_000)),
            Some(Duration::from_secs(3))
        );
        assert_eq!(clock.observe(&completed(), at(6_000)), None);
        let silence = BufferState {
            has_audio: true,
            is_in_turn: false,
        };
        assert_eq!(clock.buffer(), silence);
    }

    #[test]
    fn a_committed_turn_ends_with_the_newest_audio() {
        let start = Instant::now();
        let mut clock = InputClock::default();
        clock.push(800, start);
        clock.consume();
        assert_eq!(clock.buffer(), BufferState::default());
        let later = start + Duration::from_secs(1);
        clock.observe(
            &SessionEvent::Committed {
                item: ITEM,
                previous: None,
            },
            later,
        );

        assert_eq!(
            clock.observe(&completed(), later),
            Some(Duration::from_secs(1))
        );
    }
}
