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
    let mut speakers = Vec::with_capacity(words.len());
    for word in words {
        let speaker = speaker_of(word, spans, speakers.last().copied());
        speakers.push(speaker);
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

fn speaker_of(word: &TimedWord, spans: &[SpeakerSpan], before: Option<usize>) -> usize {
    let mut durations: Vec<(usize, f64)> = Vec::new();
    for span in spans {
        if span.start_s >= word.end_s {
            break;
        }
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
    let is_longest = |(_, duration): &&(usize, f64)| *duration == longest;
    let mut candidates = durations
        .iter()
        .filter(is_longest)
        .map(|(speaker, _)| *speaker);
    let first = candidates.next();
    match (first, before) {
        (None, _) => nearest(word, spans).or(before).unwrap_or(0),
        (Some(_), Some(before)) if candidates.any(|speaker| speaker == before) => before,
        (Some(first), _) => first,
    }
}

/// The speaker of the span that is nearest in time; of equally near ones, that before the word.
fn nearest(word: &TimedWord, spans: &[SpeakerSpan]) -> Option<usize> {
    let distance = |span: &SpeakerSpan| (span.start_s - word.end_s).max(word.start_s - span.end_s);
    let nearest = spans
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.map(|span| span.speaker)
}

#[cfg(test)]
mod tests {
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
