//! The speakers of a session, as far as they are known when a turn ends.

use std::ops::Range;

use halkspeech_audio::{Voice, VoiceTracker};

use super::position::duration_of;
use super::{ItemId, SessionEvent};
use crate::transcript::Speaker;

/// Who speaks in a piece.
#[derive(Clone, Debug, Default)]
pub enum PieceVoice {
    /// Speakers are not wanted.
    #[default]
    NotWanted,
    /// Nobody's voice was found.
    Unknown,
    /// The voice that speaks longest.
    Found(Box<Voice>),
}

/// The text of a piece with its voice.
#[derive(Debug)]
pub struct SpokenPiece {
    /// Its audio.
    pub range: Range<usize>,
    /// Its text.
    pub text: String,
    /// None if nobody's voice was found.
    pub voice: Option<Box<Voice>>,
}

/// Labels the speakers of a session; a label is never renamed.
#[derive(Default)]
pub struct SessionSpeakers {
    tracker: VoiceTracker,
    /// The speaker of the last piece.
    last: usize,
}

impl SessionSpeakers {
    /// The events of the pieces of a turn, which are labelled in their order. A piece without a voice belongs to the
    /// speaker before it.
    pub fn segments(
        &mut self,
        item: ItemId,
        pieces: Vec<SpokenPiece>,
    ) -> impl Iterator<Item = SessionEvent> + use<'_> {
        (0..).zip(pieces).map(move |(index, piece)| {
            if let Some(voice) = &piece.voice {
                self.last = self.tracker.number(voice);
            }
            SessionEvent::Segment {
                item,
                index,
                start: duration_of(piece.range.start),
                end: duration_of(piece.range.end),
                speaker: Speaker::numbered(self.last),
                text: piece.text,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `number`-th of voices that are unlike each other.
    fn voice(number: usize) -> Option<Box<Voice>> {
        let mut vector = [0.0; Voice::DIMENSIONS];
        vector[number] = 1.0;
        Some(Box::new(Voice::from_vector(&vector)))
    }

    #[track_caller]
    fn check(speakers: &mut SessionSpeakers, voices: Vec<Option<Box<Voice>>>, expected: &str) {
        let piece = |(number, voice)| SpokenPiece {
            range: 16_000 * number..16_000 * (number + 1),
            text: "Bir.".to_owned(),
            voice,
        };
        let pieces = voices.into_iter().enumerate().map(piece).collect();
        let events: Vec<_> = speakers.segments(ItemId(1), pieces).collect();
        let mut labels = String::new();
        for (number, event) in events.iter().enumerate() {
            let SessionEvent::Segment {
                index,
                start,
                end,
                speaker,
                ..
            } = event
            else {
                panic!("{event:?}");
            };
            let second = std::time::Duration::from_secs(number as u64);
            assert_eq!((*index, *start), (number, second));
            assert_eq!(*end, second + std::time::Duration::from_secs(1));
            labels.push_str(speaker.label());
        }
        assert_eq!(labels, expected);
    }

    #[test]
    fn a_voice_keeps_its_label_for_the_session() {
        let mut speakers = SessionSpeakers::default();
        check(&mut speakers, vec![voice(3), voice(7), voice(3)], "ABA");
        check(&mut speakers, vec![voice(7), voice(5)], "BC");
    }

    #[test]
    fn a_piece_without_a_voice_has_the_speaker_before_it() {
        let mut speakers = SessionSpeakers::default();
        check(&mut speakers, vec![None, voice(3), voice(7), None], "AABB");
        check(&mut speakers, vec![None, voice(3)], "BA");
    }
}
