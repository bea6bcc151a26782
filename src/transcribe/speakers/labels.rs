//! Which speaker said which word of a transcript.

use std::time::Duration;

use super::FoundSpeakers;
use crate::transcript::{
    LabelledSpan, Segment, SegmentUnit, Speaker, SpeakerTimeline, Speakers, Transcript,
};
use halkspeech_audio::{TimedWord, word_speakers};

/// Characters that may follow the end of a sentence.
const CLOSING: [char; 8] = ['"', '\'', '”', '’', '»', '」', ')', ']'];
/// Characters that end a sentence.
const ENDS: [char; 9] = ['.', '!', '?', '…', '。', '！', '？', '؟', '।'];

impl FoundSpeakers {
    /// Sets the speakers of the transcript's segments and words. Unknown speakers have letters in the order of
    /// their first words.
    pub fn label(&self, transcript: &mut Transcript) {
        transcript.speakers = Speakers::Voices;
        let units = transcript.segments.iter().flat_map(Segment::units);
        let words: Vec<TimedWord> = units.map(timed_word).collect();
        let numbers = word_speakers(&words, &self.spans);
        let labels = self.labels(&numbers);
        let mut spoken = words.iter().zip(numbers);
        for segment in &mut transcript.segments {
            let count = segment.words.len().max(1);
            let spoken: Vec<_> = spoken.by_ref().take(count).collect();
            segment.speaker = Some(labels[longest(&spoken)].clone());
            if !segment.words.is_empty() {
                let speakers = spoken.iter().map(|(_, number)| labels[*number].clone());
                segment.word_speakers = speakers.collect();
            }
        }
    }

    /// The timeline of a recording of this length. Unknown speakers are `SPEAKER_00`, `SPEAKER_01` and so on, in the
    /// order of their first speech.
    #[must_use]
    pub fn timeline(&self, duration: Duration) -> SpeakerTimeline {
        let labels = self.timeline_labels();
        let spans = self.spans.iter().map(|span| LabelledSpan {
            start_s: span.start_s,
            end_s: span.end_s,
            speaker: labels[span.speaker].clone(),
        });
        SpeakerTimeline {
            duration,
            spans: spans.collect(),
        }
    }

    /// The label of each speaker in a timeline.
    fn timeline_labels(&self) -> Vec<Speaker> {
        // Names are compared as RTTM writes them.
        let known: Vec<String> = self
            .known
            .iter()
            .map(|name| Speaker::rttm_name(name))
            .collect();
        let numbered = (0..).map(|number| format!("SPEAKER_{number:02}"));
        let numbered = numbered.filter(|label| !known.contains(label));
        let label = |(name, numbered): (&Option<String>, String)| {
            Speaker::named(name.as_ref().unwrap_or(&numbered))
        };
        self.names.iter().zip(numbered).map(label).collect()
    }

    /// The label of each speaker in a transcript, given the speakers of the words.
    fn labels(&self, of_words: &[usize]) -> Vec<Speaker> {
        let count = of_words.iter().max().map_or(0, |last| last + 1);
        let mut labels: Vec<Option<Speaker>> = vec![None; count];
        let known: Vec<Speaker> = self.known.iter().map(|name| Speaker::named(name)).collect();
        let letters = (0..).map(Speaker::numbered);
        // A letter may be somebody's name.
        let mut letters = letters.filter(|letter| !known.contains(letter));
        for &number in of_words {
            if labels[number].is_none() {
                let letter = letters.next();
                let name = self.names.get(number).and_then(Option::as_deref);
                labels[number] = name.map(Speaker::named).or(letter);
            }
        }
        // A speaker without a word has no label, and is not asked for one.
        let label = |label: Option<Speaker>| label.unwrap_or_else(|| Speaker::numbered(0));
        labels.into_iter().map(label).collect()
    }
}

fn timed_word(unit: SegmentUnit<'_>) -> TimedWord {
    TimedWord {
        start_s: unit.start_s,
        end_s: unit.end_s.max(unit.start_s),
        ends_sentence: ends_sentence(unit.text),
    }
}

fn ends_sentence(text: &str) -> bool {
    text.trim_end().trim_end_matches(CLOSING).ends_with(ENDS)
}

/// The speaker of most of the words' time; of equal ones the first.
fn longest(spoken: &[(&TimedWord, usize)]) -> usize {
    let duration = |number: usize| -> f64 {
        let of_speaker = spoken.iter().filter(|(_, other)| *other == number);
        of_speaker.map(|(word, _)| word.end_s - word.start_s).sum()
    };
    let mut best: Option<(usize, f64)> = None;
    for (_, number) in spoken {
        let time = duration(*number);
        if best.is_none_or(|(_, longest)| time > longest) {
            best = Some((*number, time));
        }
    }
    best.map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Timings;
    use halkspeech_audio::SpeakerSpan;
    use halkspeech_whisper::{Task, Word};

    /// Words of 0.4 s, one every half second; a segment ends at each line.
    fn transcript(text: &str) -> Transcript {
        let mut start_s = 0.0;
        let mut segment = |line: &str| {
            let words: Vec<Word> = line
                .split_whitespace()
                .map(|text| {
                    start_s += 0.5;
                    Word {
                        text: format!(" {text}"),
                        start_s: start_s - 0.5,
                        end_s: start_s - 0.1,
                        probability: 1.0,
                    }
                })
                .collect();
            Segment {
                start_s: words[0].start_s,
                end_s: words[words.len() - 1].end_s,
                text: line.to_owned(),
                words,
                ..Segment::default()
            }
        };
        Transcript {
            task: Task::Transcribe,
            language: None,
            language_probability: None,
            prompt_tokens: 0,
            duration: Duration::from_secs(10),
            text: text.to_owned(),
            segments: text.lines().map(&mut segment).collect(),
            logprobs: Vec::new(),
            speakers: Speakers::Channels,
            dropped: Vec::new(),
            timings: Timings::default(),
        }
    }

    /// The speakers of the spans `(start, end, speaker)`, with their names.
    fn found(spans: &[(f64, f64, usize)], names: &[Option<&str>]) -> FoundSpeakers {
        let span = |&(start_s, end_s, speaker): &(f64, f64, usize)| SpeakerSpan {
            start_s,
            end_s,
            speaker,
        };
        let names = names.iter().map(|name| name.map(str::to_owned));
        let names: Vec<_> = names.collect();
        FoundSpeakers {
            spans: spans.iter().map(span).collect(),
            known: names.iter().flatten().cloned().collect(),
            names,
        }
    }

    /// The speaker of each segment and of its words.
    #[track_caller]
    fn check(text: &str, found: &FoundSpeakers, expected: &[&str]) {
        let mut transcript = transcript(text);
        found.label(&mut transcript);
        let shown = transcript.segments.iter().map(|segment| {
            let of_words = segment.word_speakers.iter().map(Speaker::label);
            let of_words: Vec<_> = of_words.collect();
            let speaker = segment.speaker.as_ref().unwrap().label();
            format!("{speaker}: {}", of_words.join(" "))
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        assert_eq!(transcript.speakers, Speakers::Voices);
    }

    #[test]
    fn a_segment_has_the_speaker_of_most_of_its_time() {
        let spans = [(0.0, 1.0, 0), (1.0, 3.0, 1)];
        let expected = ["B: A A B B B", "B: B"];
        check("a b. c d e\nf", &found(&spans, &[None, None]), &expected);
        let spans = [(0.0, 0.5, 0), (0.5, 1.0, 1)];
        check("a. b", &found(&spans, &[None, None]), &["A: A B"]);
    }

    #[test]
    fn strangers_have_letters_by_their_first_words_and_others_their_names() {
        // The first voice says no word.
        let spans = [(0.0, 0.1, 2), (0.1, 0.9, 1), (1.0, 2.0, 0), (2.0, 3.0, 3)];
        let names = [Some("Ann"), None, None, None];
        let text = "a b.\nc d.\ne f";
        check(
            text,
            &found(&spans, &names),
            &["A: A A", "Ann: Ann Ann", "C: C C"],
        );
        // Nobody else is called A.
        let names = [Some("A"), None, None, None];
        check(
            text,
            &found(&spans, &names),
            &["B: B B", "A: A A", "D: D D"],
        );
    }

    #[test]
    fn strangers_in_a_timeline_have_numbers_that_are_nobodys_name() {
        let labels = |names: &[Option<&str>]| {
            let count = names.len();
            let spans: Vec<_> = (0..count)
                .map(|number| (number as f64, 9.0, number))
                .collect();
            let timeline = found(&spans, names).timeline(Duration::from_secs(9));
            let labels = timeline
                .spans
                .iter()
                .map(|span| span.speaker.label().to_owned());
            labels.collect::<Vec<_>>()
        };
        let expected = ["SPEAKER_00", "Ann", "SPEAKER_02"];
        assert_eq!(labels(&[None, Some("Ann"), None]), expected);
        let expected = ["SPEAKER_01", "SPEAKER_00", "SPEAKER_03"];
        assert_eq!(labels(&[None, Some("SPEAKER_00"), None]), expected);
        // The same in RTTM.
        let expected = ["SPEAKER_00", "SPEAKER 01", "SPEAKER_03"];
        assert_eq!(labels(&[None, Some("SPEAKER 01"), None]), expected);
        let expected = ["SPEAKER_00", "SPEAKER\u{a0}01", "SPEAKER_03"];
        assert_eq!(labels(&[None, Some("SPEAKER\u{a0}01"), None]), expected);
    }

    #[test]
    fn without_a_voice_everything_is_said_by_the_first() {
        check("a b", &found(&[], &[]), &["A: A A"]);
        let mut silence = transcript("");
        found(&[], &[]).label(&mut silence);
        assert!(silence.segments.is_empty());
    }

    #[test]
    fn a_segment_without_words_has_a_speaker() {
        let mut transcript = transcript("a b\nc d");
        for segment in &mut transcript.segments {
            segment.words.clear();
        }
        found(&[(0.0, 1.0, 0), (1.0, 2.0, 1)], &[None, None]).label(&mut transcript);
        let speakers = transcript.segments.iter().map(|segment| {
            assert!(segment.word_speakers.is_empty());
            segment.speaker.as_ref().unwrap().label().to_owned()
        });
        assert_eq!(speakers.collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn sentences_end_with_a_mark() {
        for text in [" long.", "what?\"", "(yes!) ", "です。"] {
            assert!(ends_sentence(text), "{text}");
        }
        for text in [" long", "a,", "\"", ""] {
            assert!(!ends_sentence(text), "{text}");
        }
    }
}
