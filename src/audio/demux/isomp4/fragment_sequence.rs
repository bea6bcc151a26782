//! Goes through the fragments of a file, and finds where their presentation starts.

use std::collections::HashMap;

use symphonia::core::errors::{Error, Result};

use super::boxes::Boxes;
use super::edits::{self, Edit};
use super::fragment::{self, FragmentDefaults, TrackFragment};
use super::input::Mp4Input;

/// So many fragments are looked at for the start of every track. Some writers have a fragment for
/// each track in turn.
const MAX_LOOK_AHEAD: usize = 32;

/// What the fragments of a track are read with.
#[derive(Debug)]
pub struct FragmentTrack {
    /// What fragments use where they say nothing.
    pub defaults: FragmentDefaults,
    /// Whether its samples are wanted.
    pub is_audio: bool,
    /// What of it is presented.
    pub edits: Vec<Edit>,
    /// Its ticks per second.
    pub ticks_per_s: u32,
}

/// The fragments of a file, from one on.
#[derive(Debug)]
pub struct FragmentSequence {
    boxes: Boxes,
    /// Audio and video tracks by their numbers. The presentation starts with the first of them.
    tracks: HashMap<u32, FragmentTrack>,
}

impl FragmentSequence {
    /// The fragments among these boxes.
    pub fn new(boxes: Boxes, tracks: HashMap<u32, FragmentTrack>) -> Self {
        Self { boxes, tracks }
    }

    /// When the first sample of all tracks is due, in seconds. Recordings of a live stream count from
    /// the start of the stream.
    ///
    /// # Errors
    /// Those of the source.
    pub fn first_start_s(&self, input: &mut Mp4Input) -> Result<f64> {
        let mut starts = HashMap::new();
        let mut ahead = self.boxes;
        for _ in 0..MAX_LOOK_AHEAD {
            match self.read_next(&mut ahead, input) {
                Ok(Some(fragments)) => self.note_starts(&fragments, &mut starts),
                Ok(None) => break,
                Err(error @ Error::IoError(_)) => return Err(error),
                // It is reported once it is reached.
                Err(_) => break,
            }
            if starts.len() == self.tracks.len() {
                break;
            }
        }
        Ok(starts.into_values().reduce(f64::min).unwrap_or(0.0))
    }

    /// The next fragment; none behind the last one.
    ///
    /// # Errors
    /// As [`fragment::read`].
    pub fn next(&mut self, input: &mut Mp4Input) -> Result<Option<Vec<TrackFragment>>> {
        let mut boxes = self.boxes;
        let next = self.read_next(&mut boxes, input);
        self.boxes = boxes;
        next
    }

    fn read_next(
        &self,
        boxes: &mut Boxes,
        input: &mut Mp4Input,
    ) -> Result<Option<Vec<TrackFragment>>> {
        while let Some(header) = boxes.next(input)? {
            if header.kind == *b"moof" {
                let track = |id| match self.tracks.get(&id) {
                    Some(track) => (track.defaults, track.is_audio),
                    None => (FragmentDefaults::default(), false),
                };
                return fragment::read(input, &header, track).map(Some);
            }
        }
        Ok(None)
    }

    fn note_starts(&self, fragments: &[TrackFragment], starts: &mut HashMap<u32, f64>) {
        for fragment in fragments {
            if let Some(track) = self.tracks.get(&fragment.track_id) {
                let time = fragment.decode_time.unwrap_or(0);
                let start = edits::presentation_start(&track.edits, time);
                let start_s = start as f64 / f64::from(track.ticks_per_s.max(1));
                starts.entry(fragment.track_id).or_insert(start_s);
            }
        }
    }
}
