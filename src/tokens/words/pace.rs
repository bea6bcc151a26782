//! Takes pauses out of words that are too long to be spoken.

use super::{TimedWords, Word, in_hundredths};

/// A word is not expected to take longer, in seconds; twice that is too long after a pause.
const LONGEST_USUAL_S: f64 = 0.7;
/// So much, in seconds, the first and the last word may reach out of a segment's time stamps.
const REACH_S: f64 = 0.5;
/// Marks that end a sentence.
const SENTENCE_ENDS: &str = ".。!！?？";

/// How fast the speaker of a window speaks.
pub(super) struct Pace {
    /// What a word takes, in seconds; 0 if not known.
    usual_s: f64,
    /// What a word at the edge of a pause may take.
    longest_s: f64,
}

impl Pace {
    pub(super) fn of(mut durations_s: Vec<f64>) -> Self {
        durations_s.retain(|&duration_s| duration_s > 0.0);
        durations_s.sort_by(f64::total_cmp);
        let middle = durations_s.len() / 2;
        let median_s = match durations_s.get(middle) {
            None => 0.0,
            Some(&upper_s) if durations_s.len() % 2 == 1 => upper_s,
            Some(&upper_s) => (durations_s[middle - 1] + upper_s) / 2.0,
        };
        let usual_s = median_s.min(LONGEST_USUAL_S);
        Self {
            usual_s,
            longest_s: usual_s * 2.0,
        }
    }

    /// The alignment gives the pause between two sentences to one of the words beside it; takes it
    /// away again.
    pub(super) fn shorten_at_sentence_ends<'a>(&self, words: impl Iterator<Item = &'a mut Word>) {
        if self.usual_s == 0.0 {
            return;
        }
        let ends_sentence =
            |word: &Word| !word.text.is_empty() && SENTENCE_ENDS.contains(&word.text);
        // None before the first word, which is left as it is.
        let mut after_end = None;
        for word in words {
            let is_end = ends_sentence(word);
            if let Some(after_end) = after_end
                && word.end_s - word.start_s > self.longest_s
            {
                if is_end {
                    word.end_s = in_hundredths(word.start_s + self.longest_s);
                } else if after_end {
                    word.start_s = in_hundredths(word.end_s - self.longest_s);
                }
            }
            after_end = Some(is_end);
        }
    }

    /// The alignment gives the pause around a segment to its first and its last word; takes it away
    /// again. The segment's edges become those of its words, unless a word reaches too far out.
    pub(super) fn settle_edges(&self, segment: &mut TimedWords, last_speech_s: f64) {
        self.shorten_after_pause(&mut segment.words, last_speech_s);
        if let Some(first) = segment.words.first_mut() {
            if segment.start_s < first.end_s && segment.start_s - REACH_S > first.start_s {
                let latest_s = first.end_s - self.usual_s;
                first.start_s = latest_s.min(segment.start_s).max(0.0);
            } else {
                segment.start_s = first.start_s;
            }
        }
        if let Some(last) = segment.words.last_mut() {
            if segment.end_s > last.start_s && segment.end_s + REACH_S < last.end_s {
                last.end_s = segment.end_s.max(last.start_s + self.usual_s);
            } else {
                segment.end_s = last.end_s;
            }
        }
    }

    /// The first two words after a pause.
    fn shorten_after_pause(&self, words: &mut [Word], last_speech_s: f64) {
        let longest_s = self.longest_s;
        let lasts_too_long = |word: &Word| word.end_s - word.start_s > longest_s;
        let (first, second) = match words {
            [first, second, ..] => (first, Some(second)),
            [first] => (first, None),
            [] => return,
        };
        let both_last_too_long = second
            .as_ref()
            .is_some_and(|second| second.end_s - first.start_s > longest_s * 2.0);
        if self.usual_s == 0.0
            || first.end_s - last_speech_s <= self.usual_s * 4.0
            || !(lasts_too_long(first) || both_last_too_long)
        {
            return;
        }
        if let Some(second) = second.filter(|second| lasts_too_long(second)) {
            second.start_s = second.end_s - longest_s;
            first.end_s = second.start_s;
        }
        first.start_s = (first.end_s - longest_s).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A speaker who needs half a second for a word.
    const PACE: Pace = Pace {
        usual_s: 0.5,
        longest_s: 1.0,
    };

    fn word((text, start_s, end_s): (&str, f64, f64)) -> Word {
        Word {
            text: text.to_owned(),
            start_s,
            end_s,
            probability: 1.0,
        }
    }

    fn times(words: &[Word]) -> Vec<(f64, f64)> {
        words
            .iter()
            .map(|word| (word.start_s, word.end_s))
            .collect()
    }

    #[test]
    fn the_usual_length_is_the_median_of_what_takes_time() {
        for (durations_s, expected) in [
            (&[][..], 0.0),
            (&[0.0, 0.0], 0.0),
            (&[0.5, 0.0, 0.25, 0.375], 0.375),
            (&[0.5, 0.25], 0.375),
            (&[0.8, 0.9, 2.0], LONGEST_USUAL_S),
        ] {
            let pace = Pace::of(durations_s.to_vec());
            assert_eq!(pace.usual_s, expected, "{durations_s:?}");
        }
    }

    #[test]
    fn pauses_between_sentences_belong_to_no_word() {
        let mut words = [
            (" First", 0.0, 4.0),
            (".", 4.0, 6.0),
            (" Next", 6.0, 9.0),
            (" one", 9.0, 12.0),
        ]
        .map(word);

        PACE.shorten_at_sentence_ends(words.iter_mut());

        assert_eq!(
            times(&words),
            [(0.0, 4.0), (4.0, 5.0), (8.0, 9.0), (9.0, 12.0)]
        );
    }

    fn segment(segment_s: (f64, f64), words: &[(f64, f64)]) -> TimedWords {
        TimedWords {
            start_s: segment_s.0,
            end_s: segment_s.1,
            words: words
                .iter()
                .map(|&(start_s, end_s)| word((" a", start_s, end_s)))
                .collect(),
        }
    }

    #[track_caller]
    fn check(segment_s: (f64, f64), words: &[(f64, f64)], expected: &[(f64, f64)]) {
        let mut segment = segment(segment_s, words);

        PACE.settle_edges(&mut segment, 0.0);

        let found = [
            &[(segment.start_s, segment.end_s)],
            &times(&segment.words)[..],
        ]
        .concat();
        assert_eq!(found, expected, "{segment_s:?} {words:?}");
    }

    #[test]
    fn pauses_around_a_segment_belong_to_no_word() {
        for (segment_s, words, expected) in [
            ((1.0, 2.0), &[][..], &[(1.0, 2.0)][..]),
            // The words make the segment's time.
            (
                (5.0, 6.0),
                &[(4.75, 5.25), (5.25, 6.25)],
                &[(4.75, 6.25), (4.75, 5.25), (5.25, 6.25)],
            ),
            // A word is too long after a pause, and so are two.
            ((5.0, 9.0), &[(5.0, 9.0)], &[(8.0, 9.0), (8.0, 9.0)]),
            (
                (5.0, 9.0),
                &[(5.0, 7.0), (7.0, 9.0)],
                &[(7.0, 9.0), (7.0, 8.0), (8.0, 9.0)],
            ),
            // Not without a pause.
            ((0.0, 2.0), &[(0.0, 2.0)], &[(0.0, 2.0), (0.0, 2.0)]),
            // The segment's own start, where the first word reaches too far out of it, but no
            // later than leaves the word its usual length.
            (
                (0.75, 2.0),
                &[(0.0, 1.5), (1.5, 2.0)],
                &[(0.75, 2.0), (0.75, 1.5), (1.5, 2.0)],
            ),
            (
                (1.25, 2.0),
                &[(0.0, 1.5), (1.5, 2.0)],
                &[(1.25, 2.0), (1.0, 1.5), (1.5, 2.0)],
            ),
            // The same at its end.
            (
                (0.0, 2.0),
                &[(0.0, 0.5), (0.5, 4.0)],
                &[(0.0, 2.0), (0.0, 0.5), (0.5, 2.0)],
            ),
            (
                (0.0, 0.75),
                &[(0.0, 0.5), (0.5, 4.0)],
                &[(0.0, 0.75), (0.0, 0.5), (0.5, 1.0)],
            ),
        ] {
            check(segment_s, words, expected);
        }
    }

    #[test]
    fn no_word_begins_before_the_window() {
        let mut segment = segment((0.0, 4.0), &[(0.0, 0.5), (3.0, 4.0)]);

        PACE.settle_edges(&mut segment, -10.0);

        assert_eq!(times(&segment.words), [(0.0, 0.5), (3.0, 4.0)]);
    }
}
