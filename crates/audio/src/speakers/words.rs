//! Which speaker said which word.

use super::SpeakerSpan;

/// A word of a transcript.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedWord {
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds; not before its start.
    pub end_s: f64,
    /// Whether it is the last word of a sentence.
    pub ends_sentence: bool,
}

/// The speaker of each word: the one who speaks most of its time, of equal ones that of the word before.
///
/// A word during which nobody speaks has the speaker nearest in time. A single word between words of
/// another speaker, in the middle of a sentence, is taken for the other's: people do not interrupt with
/// the word that the sentence needs. `spans` are in order of their starts. All words have speaker 0 if
/// there is no span.
#[must_use]
pub fn word_speakers(words: &[TimedWord], spans: &[SpeakerSpan]) -> Vec<usize> {
    let mut by_start: Vec<usize> = (0..words.len()).collect();
    by_start.sort_by(|a, b| words[*a].start_s.total_cmp(&words[*b].start_s));
    let mut candidates = vec![Vec::new(); words.len()];
    let mut sweep = Sweep::new(spans);
    for index in by_start {
        candidates[index] = sweep.candidates(&words[index]);
    }
    let mut speakers: Vec<usize> = Vec::with_capacity(words.len());
    for candidates in candidates {
        let before = speakers.last().copied();
        let same = before.filter(|before| candidates.contains(before));
        let speaker = same.or(candidates.first().copied());
        speakers.push(speaker.unwrap_or(0));
    }
    for index in 1..words.len().saturating_sub(1) {
        let (before, after) = (speakers[index - 1], speakers[index + 1]);
        let is_inside = !words[index - 1].ends_sentence && !words[index].ends_sentence;
        if is_inside && before == after {
            speakers[index] = before;
        }
    }
    speakers
}

/// The spans around words that follow each other in order of their starts: each span enters and leaves once.
struct Sweep<'a> {
    /// Those that begin later than the ends of the words so far, in order of their starts.
    later: &'a [SpeakerSpan],
    /// Those that may overlap the word, in order of their starts.
    near: Vec<&'a SpeakerSpan>,
    /// Of those that end before the word, the one that ends last.
    before: Option<&'a SpeakerSpan>,
}

impl<'a> Sweep<'a> {
    fn new(spans: &'a [SpeakerSpan]) -> Self {
        Self {
            later: spans,
            near: Vec::new(),
            before: None,
        }
    }

    /// The speakers who speak longest during the next word, or if there are none, the nearest in time.
    fn candidates(&mut self, word: &TimedWord) -> Vec<usize> {
        let begun = self.later.partition_point(|span| span.start_s < word.end_s);
        let (begun, later) = self.later.split_at(begun);
        self.later = later;
        self.near.extend(begun);
        let before = &mut self.before;
        self.near.retain(|span| {
            let is_near = span.end_s > word.start_s;
            if !is_near && before.is_none_or(|before| span.end_s > before.end_s) {
                *before = Some(span);
            }
            is_near
        });
        let mut durations: Vec<(usize, f64)> = Vec::new();
        for span in &self.near {
            let overlap = span.end_s.min(word.end_s) - span.start_s.max(word.start_s);
            if overlap <= 0.0 {
                continue;
            }
            match durations
                .iter_mut()
                .find(|(speaker, _)| *speaker == span.speaker)
            {
                Some((_, duration)) => *duration += overlap,
                None => durations.push((span.speaker, overlap)),
            }
        }
        let longest = durations
            .iter()
            .map(|(_, duration)| *duration)
            .fold(0.0, f64::max);
        durations.retain(|(_, duration)| *duration == longest);
        if durations.is_empty() {
            return self.nearest(word).into_iter().collect();
        }
        durations.into_iter().map(|(speaker, _)| speaker).collect()
    }

    /// The speaker of the span that is nearest in time; of equally near ones, that before the word.
    fn nearest(&self, word: &TimedWord) -> Option<usize> {
        let distance =
            |span: &SpeakerSpan| (span.start_s - word.end_s).max(word.start_s - span.end_s);
        let near = self.near.iter().copied();
        let spans = self
            .before
            .into_iter()
            .chain(near)
            .chain(self.later.first());
        let nearest = spans.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.map(|span| span.speaker)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words of 0.4 s, one every half second, of which a full stop ends a sentence.
    fn words(text: &str) -> Vec<TimedWord> {
        let words = text.split(' ').enumerate();
        words
            .map(|(index, word)| TimedWord {
                start_s: index as f64 * 0.5,
                end_s: index as f64 * 0.5 + 0.4,
                ends_sentence: word.ends_with('.'),
            })
            .collect()
    }

    fn spans(spans: &[(f64, f64, usize)]) -> Vec<SpeakerSpan> {
        let span = |&(start_s, end_s, speaker): &(f64, f64, usize)| SpeakerSpan {
            start_s,
            end_s,
            speaker,
        };
        spans.iter().map(span).collect()
    }

    #[track_caller]
    fn check(text: &str, of_speakers: &[(f64, f64, usize)], expected: &[usize]) {
        assert_eq!(word_speakers(&words(text), &spans(of_speakers)), expected);
    }

    #[test]
    fn a_word_belongs_to_who_speaks_most_of_it() {
        check("a b. c d", &[(0.0, 1.05, 0), (1.05, 2.0, 1)], &[0, 0, 1, 1]);
        // Several spans of a speaker count together.
        let interrupted = [(0.0, 0.15, 0), (0.1, 0.25, 1), (0.25, 0.4, 0)];
        check("a", &interrupted, &[0]);
        let interrupted = [(0.0, 0.1, 0), (0.1, 0.35, 1), (0.35, 0.4, 0)];
        check("a", &interrupted, &[1]);
    }

    #[test]
    fn ties_go_to_the_speaker_before() {
        let both = [(0.0, 0.9, 0), (0.0, 0.4, 1), (0.5, 1.9, 1)];
        check("a b c. d", &both, &[0, 0, 1, 1]);
        let other = [(0.0, 0.4, 1), (0.5, 0.9, 0), (0.5, 0.9, 1)];
        check("a b", &other, &[1, 1]);
    }

    #[test]
    fn words_without_a_speaker_go_to_the_nearest() {
        check("a b c. d", &[(0.0, 0.3, 0), (1.7, 2.0, 1)], &[0, 0, 1, 1]);
        check("a b", &[], &[0, 0]);
        // Equally near: the one before.
        let word = TimedWord {
            start_s: 2.0,
            end_s: 3.0,
            ends_sentence: true,
        };
        let around = spans(&[(0.0, 1.0, 0), (0.0, 1.0, 2), (4.0, 5.0, 1)]);
        assert_eq!(word_speakers(&[word], &around), [0]);
    }

    /// The same by its definition: every span is compared with every word.
    fn plain(word: &TimedWord, spans: &[SpeakerSpan]) -> Vec<usize> {
        let overlap = |span: &SpeakerSpan| {
            (span.end_s.min(word.end_s) - span.start_s.max(word.start_s)).max(0.0)
        };
        let of_speaker = |speaker: usize| -> f64 {
            let own = spans.iter().filter(|span| span.speaker == speaker);
            own.map(overlap).sum()
        };
        let longest = (0..3).map(of_speaker).fold(0.0, f64::max);
        if longest > 0.0 {
            return (0..3).filter(|it| of_speaker(*it) == longest).collect();
        }
        let distance =
            |span: &SpeakerSpan| (span.start_s - word.end_s).max(word.start_s - span.end_s);
        let least = spans.iter().map(distance).fold(f64::MAX, f64::min);
        let nearest = spans.iter().filter(|span| distance(span) == least);
        nearest.map(|span| span.speaker).collect()
    }

    proptest! {
        // Whole numbers, so that equal lengths and distances are frequent and sums are exact.
        #[test]
        fn the_sweep_finds_what_every_pair_of_word_and_span_would(
            words in prop::collection::vec((0_u8..40, 0_u8..6), 0..12),
            mut spans in prop::collection::vec((0_u8..40, 1_u8..9, 0_usize..3), 0..12),
        ) {
            spans.sort_unstable();
            let spans: Vec<SpeakerSpan> = spans
                .iter()
                .map(|&(start, length, speaker)| SpeakerSpan {
                    start_s: f64::from(start),
                    end_s: f64::from(start + length),
                    speaker,
                })
                .collect();
            // No sentence has a word in its middle.
            let words: Vec<TimedWord> = words
                .iter()
                .map(|&(start, length)| TimedWord {
                    start_s: f64::from(start),
                    end_s: f64::from(start + length),
                    ends_sentence: true,
                })
                .collect();
            for (word, speaker) in words.iter().zip(word_speakers(&words, &spans)) {
                let allowed = plain(word, &spans);
                prop_assert!(allowed.contains(&speaker) || spans.is_empty() && speaker == 0);
            }
        }
    }

    #[test]
    fn a_single_word_inside_a_sentence_goes_to_the_sentence() {
        let other = [(0.0, 0.45, 0), (0.45, 0.95, 1), (0.95, 2.0, 0)];
        check("a b c d.", &other, &[0, 0, 0, 0]);
        check("a. b. c d.", &other, &[0, 1, 0, 0]);
        check("a b. c d.", &other, &[0, 1, 0, 0]);
        let longer = [(0.0, 0.45, 0), (0.45, 1.45, 1), (1.45, 2.0, 0)];
        check("a b c d.", &longer, &[0, 1, 1, 0]);
    }
}
