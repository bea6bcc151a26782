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
