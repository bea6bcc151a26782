//! What became of the words of partial texts, for measurements.

use super::PartialWord;
use super::committed::{DecodedAudio, comparable};
use super::position::samples_in;

/// The words of partial texts since the last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordCounts {
    /// Where the committed words end, in samples since the session began; estimated by the length of the text where
    /// the engine was not asked for the ends of words.
    pub committed_ends: Vec<usize>,
    /// Words that one partial text showed and the next did not.
    pub withdrawn: u64,
}

impl WordCounts {
    /// Adds those of `other`.
    pub fn add(&mut self, other: Self) {
        let Self {
            committed_ends,
            withdrawn,
        } = other;
        self.committed_ends.extend(committed_ends);
        self.withdrawn += withdrawn;
    }
}

/// Where the last words of a decode end, in samples since the session began. `characters` is the length of all its
/// words.
pub fn ends(last: &[PartialWord], characters: usize, audio: &DecodedAudio) -> Vec<usize> {
    let start = audio.end.saturating_sub(samples_in(audio.length));
    let mut behind = 0;
    let end = |word: &PartialWord| {
        let share = 1.0 - behind as f64 / characters.max(1) as f64;
        behind += length(word);
        let estimate = || audio.speech.mul_f64(share.max(0.0));
        start + samples_in(word.end.unwrap_or_else(estimate))
    };
    let mut ends: Vec<usize> = last.iter().rev().map(end).collect();
    ends.reverse();
    ends
}

/// The length of a word in characters, with its punctuation.
pub fn length(word: &PartialWord) -> usize {
    word.text.chars().chain(word.punctuation.chars()).count()
}

/// How many words of `before` are not in the longest common subsequence with `now`.
pub fn withdrawn(before: &[PartialWord], now: &[PartialWord]) -> u64 {
    let now: Vec<String> = now.iter().map(comparable).collect();
    // The length of the longest common subsequence of the words so far and each beginning of `now`.
    let mut common = vec![0; now.len() + 1];
    for word in before.iter().map(comparable) {
        let mut diagonal = 0;
        for (index, other) in now.iter().enumerate() {
            let above = common[index + 1];
            common[index + 1] = if *other == word {
                diagonal + 1
            } else {
                above.max(common[index])
            };
            diagonal = above;
        }
    }
    (before.len() - common[now.len()]) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn words(text: &str) -> Vec<PartialWord> {
        let word = |text: &str| PartialWord {
            text: text.to_owned(),
            ..PartialWord::default()
        };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn words_end_where_the_engine_says_else_where_the_text_does() {
        let audio = DecodedAudio {
            end: 5 * 16_000,
            length: Duration::from_secs(3),
            speech: Duration::from_secs(2),
            goes_on: false,
            language: None,
        };
        let mut last = words("üç dört");
        // All words: "bir iki üç dört".
        assert_eq!(ends(&last, 12, &audio), [2 * 16_000 + 21_328, 4 * 16_000]);
        last[0].end = Some(Duration::from_millis(500));
        assert_eq!(ends(&last, 12, &audio), [2 * 16_000 + 8_000, 4 * 16_000]);
        assert!(ends(&[], 0, &audio).is_empty());
    }

    #[test]
    fn a_word_is_withdrawn_unless_it_follows() {
        for (before, now, expected) in [
            ("", "bir", 0),
            ("bir iki", "Bir, iki üç", 0),
            ("bir iki", "bir üç iki", 0),
            ("bir iki", "iki bir", 1),
            ("ev", "evde", 1),
            ("bir iki", "", 2),
            ("eski bir ev", "bir ev ve eski", 1),
        ] {
            assert_eq!(withdrawn(&words(before), &words(now)), expected, "{now}");
        }
    }
}
