//! Shortens words that are implausibly long because they contain pauses.

use super::{TimedWords, Word, in_hundredths};

/// Maximum usual duration of a word, in seconds; twice that is too long after a pause.
const MAX_USUAL_S: f64 = 0.7;
/// Maximum extent of the first and the last word beyond their segment's time stamps, in seconds.
const MAX_OVERHANG_S: f64 = 0.5;
/// Marks that end a sentence.
const SENTENCE_ENDS: &str = ".。!！?？";

/// Word durations of a window's speaker.
pub(super) struct SpeakingRate {
    /// Usual duration of a word, in seconds; 0 if unknown.
    usual_s: f64,
    /// Maximum duration of a word next to a pause, in seconds.
    max_s: f64,
}

impl SpeakingRate {
    pub(super) fn of(mut durations_s: Vec<f64>) -> Self {
        durations_s.retain(|&duration_s| duration_s > 0.0);
        durations_s.sort_by(f64::total_cmp);
        let middle = durations_s.len() / 2;
        let median_s = match durations_s.get(middle) {
            None => 0.0,
            Some(&upper_s) if durations_s.len() % 2 == 1 => upper_s,
            Some(&upper_s) => (durations_s[middle - 1] + upper_s) / 2.0,
        };
        let usual_s = median_s.min(MAX_USUAL_S);
        Self {
            usual_s,
            max_s: usual_s * 2.0,
        }
    }

    /// Removes pauses between sentences from the adjacent words, to which the alignment adds them.
    pub(super) fn shorten_at_sentence_ends<'a>(&self, words: impl Iterator<Item = &'a mut Word>) {
        if self.usual_s == 0.0 {
            return;
        }
        let ends_sentence =
            |word: &Word| !word.text.is_empty() && SENTENCE_ENDS.contains(&word.text);
        // `None` before the first word, which is not changed.
        let mut after_end = None;
        for word in words {
            let is_end = ends_sentence(word);
            if let Some(after_end) = after_end
                && word.end_s - word.start_s > self.max_s
            {
                if is_end {
                    word.end_s = in_hundredths(word.start_s + self.max_s);
                } else if after_end {
                    word.start_s = in_hundredths(word.end_s - self.max_s);
                }
            }
            after_end = Some(is_end);
        }
    }

    /// Removes pauses around a segment from its first and last word, to which the alignment adds them. Sets
    /// the segment's times to those of its words, unless a word extends too far.
    pub(super) fn adjust_edges(&self, segment: &mut TimedWords, last_speech_s: f64) {
        self.shorten_after_pause(&mut segment.words, last_speech_s);
        if let Some(first) = segment.words.first_mut() {
            if segment.start_s < first.end_s && segment.start_s - MAX_OVERHANG_S > first.start_s {
                let latest_s = first.end_s - self.usual_s;
                first.start_s = latest_s.min(segment.start_s).max(0.0);
            } else {
                segment.start_s = first.start_s;
            }
        }
        if let Some(last) = segment.words.last_mut() {
            if segment.end_s > last.start_s && segment.end_s + MAX_OVERHANG_S < last.end_s {
                last.end_s = segment.end_s.max(last.start_s + self.usual_s);
            } else {
                segment.end_s = last.end_s;
            }
        }
    }

    /// Shortens the first two words after a pause.
    fn shorten_after_pause(&self, words: &mut [Word], last_speech_s: f64) {
        let max_s = self.max_s;
        let lasts_too_long = |word: &Word| word.end_s - word.start_s > max_s;
        let (first, second) = match words {
            [first, second, ..] => (first, Some(second)),
            [first] => (first, None),
            [] => return,
        };
        let both_last_too_long = second
            .as_ref()
            .is_some_and(|second| second.end_s - first.start_s > max_s * 2.0);
        if self.usual_s == 0.0
            || first.end_s - last_speech_s <= self.usual_s * 4.0
            || !(lasts_too_long(first) || both_last_too_long)
        {
            return;
        }
        if let Some(second) = second.filter(|second| lasts_too_long(second)) {
            second.start_s = second.end_s - max_s;
            first.end_s = second.start_s;
        }
        first.start_s = (first.end_s - max_s).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second per word.
    const RATE: SpeakingRate = SpeakingRate {
        usual_s: 0.5,
        max_s: 1.0,
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
    fn the_usual_duration_is_the_median_of_nonzero_durations() {
        for (durations_s, expected) in [
            (&[][..], 0.0),
            (&[0.0, 0.0], 0.0),
            (&[0.5, 0.0, 0.25, 0.375], 0.375),
            (&[0.5, 0.25], 0.375),
            (&[0.8, 0.9, 2.0], MAX_USUAL_S),
        ] {
            let rate = SpeakingRate::of(durations_s.to_vec());
            assert_eq!(rate.usual_s, expected, "{durations_s:?}");
        }
    }

    #[test]
    fn removes_pauses_between_sentences() {
        let mut words = [
            (" First", 0.0, 4.0),
            (".", 4.0, 6.0),
            (" Next", 6.0, 9.0),
            (" one", 9.0, 12.0),
        ]
        .map(word);

        RATE.shorten_at_sentence_ends(words.iter_mut());

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

        RATE.adjust_edges(&mut segment, 0.0);

        let found = [
            &[(segment.start_s, segment.end_s)],
            &times(&segment.words)[..],
        ]
        .concat();
        assert_eq!(found, expected, "{segment_s:?} {words:?}");
    }

    #[test]
    fn removes_pauses_around_a_segment() {
        for (segment_s, words, expected) in [
            ((1.0, 2.0), &[][..], &[(1.0, 2.0)][..]),
            // The segment gets the times of its words.
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
            // The segment keeps its start if the first word extends too far, but the word keeps its usual
            // duration.
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
    fn no_word_starts_before_the_window() {
        let mut segment = segment((0.0, 4.0), &[(0.0, 0.5), (3.0, 4.0)]);

        RATE.adjust_edges(&mut segment, -10.0);

        assert_eq!(times(&segment.words), [(0.0, 0.5), (3.0, 4.0)]);
    }
}
