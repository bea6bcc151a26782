//! The speech of a session that no finished decode contains.

use std::collections::VecDeque;
use std::ops::Range;

/// Speech with a shorter pause than this is one range, which bounds their number.
const MAX_JOINED_PAUSE_SAMPLES: usize = 16_000 / 2;

/// Ranges of speech, in order.
#[derive(Debug, Default)]
pub struct UndecodedSpeech {
    ranges: VecDeque<Range<usize>>,
    /// Whether the next speech is not joined to the last.
    is_divided: bool,
}

impl UndecodedSpeech {
    /// Adds speech behind all speech so far.
    pub fn add(&mut self, speech: Range<usize>) {
        match self.ranges.back_mut() {
            Some(last)
                if !self.is_divided && speech.start <= last.end + MAX_JOINED_PAUSE_SAMPLES =>
            {
                last.end = speech.end;
            }
            _ => self.ranges.push_back(speech),
        }
        self.is_divided = false;
    }

    /// Ends the last range, because the audio behind it belongs to another turn or to none.
    pub fn divide(&mut self) {
        self.is_divided = true;
    }

    /// Removes the speech of a finished decode of `audio`.
    pub fn remove(&mut self, audio: &Range<usize>) {
        if audio.is_empty() {
            return;
        }
        let rest = self.ranges.iter().flat_map(|range| {
            let before = range.start..range.end.min(audio.start);
            let behind = range.start.max(audio.end)..range.end;
            [before, behind]
        });
        self.ranges = rest.filter(|range| !range.is_empty()).collect();
    }

    /// Where the oldest begins.
    pub fn oldest(&self) -> Option<usize> {
        self.ranges.front().map(|range| range.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_oldest_speech_without_a_decode() {
        let mut speech = UndecodedSpeech::default();
        assert_eq!(speech.oldest(), None);
        for start in [1_000, 2_000, 50_000] {
            speech.add(start..start + 1_000);
        }
        assert_eq!(speech.ranges, [1_000..3_000, 50_000..51_000]);

        speech.remove(&(1_500..2_500));
        assert_eq!(speech.oldest(), Some(1_000));
        speech.remove(&(0..2_800));
        assert_eq!(speech.oldest(), Some(2_800));
        speech.remove(&(2_000..50_100));
        assert_eq!(speech.ranges, [50_100..51_000; 1]);
        speech.remove(&(0..99_000));
        assert_eq!(speech.oldest(), None);
    }

    #[test]
    fn does_not_join_speech_of_two_turns() {
        let mut speech = UndecodedSpeech::default();
        speech.add(0..1_000);
        speech.divide();
        speech.add(1_500..2_000);
        assert_eq!(speech.ranges, [0..1_000, 1_500..2_000]);
    }
}
