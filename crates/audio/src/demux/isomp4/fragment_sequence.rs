//! Iterates over the fragments of a file and finds the start of the presentation.

use std::collections::HashMap;

use symphonia::core::errors::{Error, Result};

use super::boxes::Boxes;
use super::edits::{self, Edit};
use super::fragment::{self, FragmentDefaults, TrackFragment};
use super::input::Mp4Input;

/// Maximum number of fragments searched for the start of every track. Some writers use alternating
/// fragments for the tracks.
const MAX_LOOK_AHEAD: usize = 32;

/// Parameters for reading the fragments of a track.
#[derive(Debug)]
pub struct FragmentTrack {
    /// Defaults of its fragments.
    pub defaults: FragmentDefaults,
    /// Whether its samples are wanted.
    pub is_audio: bool,
    /// Presented ranges of its media.
    pub edits: Vec<Edit>,
    /// Ticks per second.
    pub ticks_per_s: u32,
}

/// Iterates over the fragments of a file.
#[derive(Debug)]
pub struct FragmentSequence {
    boxes: Boxes,
    /// Audio and video tracks by number. The presentation starts with the earliest of them.
    tracks: HashMap<u32, FragmentTrack>,
}

impl FragmentSequence {
    /// The fragments among these boxes.
    pub fn new(boxes: Boxes, tracks: HashMap<u32, FragmentTrack>) -> Self {
        Self { boxes, tracks }
    }

    /// Presentation time of the first sample of any track, in seconds. Recordings of a live stream have
    /// times from the start of the stream.
    ///
    /// # Errors
    /// Those of the source.
    pub fn first_start_s(&self, input: &mut Mp4Input) -> Result<f64> {
        let mut starts = HashMap::new();
        let mut ahead = self.boxes;
        for _ in 0..MAX_LOOK_AHEAD {
            match self.read_next(&mut ahead, input) {
                Ok(Some(fragments)) => self.collect_starts(&fragments, &mut starts),
                Ok(None) => break,
                Err(error @ Error::IoError(_)) => return Err(error),
                // Reported when the fragment is read.
                Err(_) => break,
            }
            if starts.len() == self.tracks.len() {
                break;
            }
        }
        Ok(starts.into_values().reduce(f64::min).unwrap_or(0.0))
    }

    /// The next fragment; `None` after the last one.
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

    fn collect_starts(&self, fragments: &[TrackFragment], starts: &mut HashMap<u32, f64>) {
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
