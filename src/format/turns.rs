//! Runs of one speaker's words, and the passages between pauses.

use std::borrow::Cow;

use super::cues::spacing;
use super::text_units::Spacing;
use crate::transcript::{Segment, SegmentUnit, Speaker, Transcript};

/// Pause between two words at which a passage ends, in seconds.
const PAUSE_S: f64 = 1.0;

/// Words of one speaker, without a long pause.
pub(super) struct Turn {
    /// The id of its passage; behind the first turn of a passage also its number there.
    pub id: String,
    /// Where the first word begins, in seconds.
    pub start_s: f64,
    /// Where the last word ends, in seconds.
    pub end_s: f64,
    /// Trimmed.
    pub text: String,
    pub speaker: Speaker,
    passage: usize,
    /// Its number in the passage, from 1.
    number: usize,
}

/// Numbers the passages of a text: words, in order, that no long pause separates.
///
/// They depend on the words alone, so that they are known before the speakers are.
#[derive(Debug, Default)]
pub struct Passages {
    /// The last passage, from 1.
    number: usize,
    end_s: f64,
}

/// The id of a segment or passage, counted from 1.
pub(super) fn segment_id(number: usize) -> String {
    format!("seg_{number:03}")
}

impl Passages {
    /// Cuts the text that the segments add into passages, each with its number.
    pub fn cut<'a>(&mut self, segments: &[Segment], added: &'a str) -> Vec<(usize, &'a str)> {
        let mut starts: Vec<(usize, usize)> = Vec::new();
        let mut position = 0;
        for unit in segments.iter().flat_map(Segment::units) {
            let text = unit.text.trim();
            if text.is_empty() {
                continue;
            }
            let found = added[position..].find(text);
            let start = position + found.unwrap_or(0);
            let number = self.next(&unit);
            if starts.last().is_none_or(|(last, _)| *last != number) {
                // The space before a word belongs to it.
                starts.push((number, added[..start].trim_end().len()));
            }
            position = start + found.map_or(0, |_| text.len());
        }
        if let Some((_, start)) = starts.first_mut() {
            *start = 0;
        }
        let ends = starts.iter().skip(1).map(|(_, start)| *start);
        let ends: Vec<usize> = ends.chain([added.len()]).collect();
        let cut = starts.into_iter().zip(ends);
        let texts = cut.map(|((number, start), end)| (number, &added[start.min(end)..end]));
        texts.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// The passage of the next word.
    fn next(&mut self, word: &SegmentUnit<'_>) -> usize {
        if self.number == 0 || word.start_s - self.end_s >= PAUSE_S {
            self.number += 1;
            self.end_s = word.end_s;
        }
        self.end_s = self.end_s.max(word.end_s);
        self.number
    }
}

/// The turns of a transcript whose speakers were told apart by their voices.
pub(super) fn turns(transcript: &Transcript) -> Vec<Turn> {
    let is_spaced = spacing(transcript) == Spacing::Spaced;
    let nobody = Speaker::numbered(0);
    let mut passages = Passages::default();
    let mut turns: Vec<Turn> = Vec::new();
    for segment in &transcript.segments {
        for (index, unit) in segment.units().into_iter().enumerate() {
            if unit.text.trim().is_empty() {
                continue;
            }
            let passage = passages.next(&unit);
            let speaker = unit.speaker.unwrap_or(&nobody);
            match turns.last_mut() {
                Some(turn) if turn.passage == passage && turn.speaker == *speaker => {
                    let is_apart = turn.text.ends_with(char::is_whitespace)
                        || unit.text.starts_with(char::is_whitespace);
                    // A model does not always write the space before the first word of a segment.
                    if index == 0 && is_spaced && !is_apart {
                        turn.text.push(' ');
                    }
                    turn.text.push_str(unit.text);
                    turn.end_s = turn.end_s.max(unit.end_s);
                }
                last => {
                    let last = last.filter(|last| last.passage == passage);
                    let number = last.map_or(1, |last| last.number + 1);
                    turns.push(Turn::begin(&unit, speaker, (passage, number)));
                }
            }
        }
    }
    for turn in &mut turns {
        turn.text = turn.text.trim().to_owned();
    }
    turns
}

/// The segment, cut where another speaker begins.
pub(super) fn by_speaker(segment: &Segment) -> Vec<Cow<'_, Segment>> {
    let speakers = &segment.word_speakers;
    let is_mixed = speakers.windows(2).any(|pair| pair[0] != pair[1]);
    if !is_mixed || speakers.len() != segment.words.len() {
        return vec![Cow::Borrowed(segment)];
    }
    let mut start = 0;
    let runs = speakers.chunk_by(|one, other| one == other).map(|run| {
        let range = start..start + run.len();
        start = range.end;
        (range, &run[0])
    });
    let piece = |(range, speaker): (std::ops::Range<usize>, &Speaker)| {
        let words = &segment.words[range.clone()];
        let ends = words.iter().map(|word| word.end_s);
        Cow::Owned(Segment {
            start_s: words[0].start_s,
            end_s: ends.fold(words[0].start_s, f64::max),
            text: words.iter().map(|word| word.text.as_str()).collect(),
            tokens: Vec::new(),
            words: words.to_vec(),
            speaker: Some(speaker.clone()),
            word_speakers: speakers[range].to_vec(),
            ..segment.clone()
        })
    };
    runs.map(piece).collect()
}

impl Turn {
    fn begin(unit: &SegmentUnit<'_>, speaker: &Speaker, (passage, number): (usize, usize)) -> Self {
        let id = segment_id(passage);
        Self {
            id: if number == 1 {
                id
            } else {
                format!("{id}_{number}")
            },
            start_s: unit.start_s,
            end_s: unit.end_s,
            text: unit.text.to_owned(),
            speaker: speaker.clone(),
            passage,
            number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{segment, transcript, two_voices, with_words, word};
    use crate::transcript::Speakers;
    use halkspeech_whisper::Language;

    fn shown(transcript: &Transcript) -> Vec<String> {
        let turns = turns(transcript);
        let turns = turns.iter().map(|turn| {
            let (id, speaker) = (&turn.id, turn.speaker.label());
            format!(
                "{id} {speaker}: {} {} {}",
                turn.text, turn.start_s, turn.end_s
            )
        });
        turns.collect()
    }

    #[test]
    fn turns_are_runs_of_a_speaker_cut_at_pauses() {
        let expected = [
            "seg_001 Ann <1>: The beach is 0 1",
            "seg_001_2 B: long. It ends here. 1 2.5",
        ];
        assert_eq!(shown(&two_voices()), expected);
        let mut paused = two_voices();
        for word in &mut paused.segments[1].words[1..] {
            word.start_s += 1.5;
            word.end_s += 1.5;
        }
        let expected = [
            "seg_001 Ann <1>: The beach is 0 1",
            "seg_001_2 B: long. It 1 1.8",
            "seg_002 B: ends here. 3.3 4",
        ];
        assert_eq!(shown(&paused), expected);
    }

    #[test]
    fn segments_without_words_are_units() {
        let mut transcript = transcript(vec![
            segment(0.0, 1.0, " One."),
            segment(1.0, 2.0, "Two."),
            segment(2.0, 3.0, " \n"),
            segment(5.0, 6.0, " Three."),
        ]);
        transcript.speakers = Speakers::Voices;
        let expected = ["seg_001 A: One. Two. 0 2", "seg_002 A: Three. 5 6"];
        assert_eq!(shown(&transcript), expected);
        transcript.language = Language::parse("ja");
        assert_eq!(shown(&transcript)[0], "seg_001 A: One.Two. 0 2");
    }

    #[test]
    fn every_passage_is_the_id_of_a_turn() {
        let mut transcript = two_voices();
        transcript.segments[1].words[1].start_s = 4.0;
        transcript.segments[1].words[1].end_s = 4.5;
        transcript.segments[1].words[2].start_s = 4.5;
        let mut passages = Passages::default();
        let (first, second) = transcript.segments.split_at(1);
        let mut cut = passages.cut(first, "The beach is long.");
        cut.extend(passages.cut(second, " It ends here."));
        let expected = [(1, "The beach is long."), (1, " It"), (2, " ends here.")];
        assert_eq!(cut, expected);
        let ids: Vec<String> = turns(&transcript).into_iter().map(|turn| turn.id).collect();
        for (number, _) in cut {
            assert!(ids.contains(&segment_id(number)), "{number} of {ids:?}");
        }
    }

    #[test]
    fn the_parts_of_a_text_are_the_text() {
        let mut segments = with_words().segments;
        // Words that are not in the text do not move the cuts beyond it.
        segments[1].words[0] = word(9.0, 9.1, " nowhere");
        segments[1].words[2] = word(12.0, 12.1, " here.");
        for text in ["The beach is long. It ends here.", "", "x", "here. ends"] {
            let cut = Passages::default().cut(&segments, text);
            let joined: String = cut.iter().map(|(_, text)| *text).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn a_segment_of_two_speakers_is_cut() {
        let segment = &two_voices().segments[0];
        let pieces = by_speaker(segment);
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, [" The beach is", " long."]);
        assert_eq!((pieces[1].start_s, pieces[1].end_s), (1.0, 1.4));
        let whole = by_speaker(&two_voices().segments[1]).len();
        assert_eq!(whole, 1);
    }
}
