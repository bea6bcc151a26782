//! Decides which words of the partial texts of a turn are certain.

use std::mem;
use std::time::Duration;

use halkspeech_whisper::Language;

use super::position::samples_in;
use super::word_counts::{self, WordCounts};
use super::{CommitRule, PartialWord};

/// A word is committed after this number of decodes that hold a complete word in its place, even if they disagree.
const MAX_DECODES: u32 = 3;

/// The same, in samples of audio since the first of these decodes.
const MAX_WAIT_SAMPLES: usize = samples_in(Duration::from_secs(3));

/// A word whose attended end lies this long before the end of the audio is complete.
const ATTENDED_MARGIN: Duration = Duration::from_millis(500);

/// Maximum length of the text that is context, in bytes: more than the model takes, 223 tokens.
const MAX_CONTEXT_BYTES: usize = 2_000;

/// Marks that end a sentence.
const SENTENCE_ENDS: [char; 8] = ['.', '?', '!', '…', '。', '？', '！', '।'];

/// What is known about a decode besides its words.
#[derive(Clone, Copy, Debug)]
pub struct DecodedAudio {
    /// The position of its end.
    pub end: usize,
    /// Its length.
    pub length: Duration,
    /// Its length up to the end of the last speech in it.
    pub speech: Duration,
    /// Whether speech goes on at its end, so that its last word may be incomplete.
    pub goes_on: bool,
    /// The language spoken, as far as it is known.
    pub language: Option<Language>,
}

/// The committed words of a turn and the newest ones behind them.
///
/// A decode begins with the committed words that are in its audio, because their tokens are its forced prefix. The
/// punctuation behind the last of them is not forced, because it depends on what follows.
#[derive(Debug, Default)]
pub struct CommittedText {
    rule: CommitRule,
    /// All committed text.
    text: String,
    /// The committed text before the audio of the next decode.
    context: String,
    /// Committed words in this audio.
    prefix: Vec<PartialWord>,
    /// The punctuation behind the last committed word, according to the newest decode.
    punctuation: String,
    /// The words of the newest decode that are not committed.
    tail: Vec<PartialWord>,
    /// Where the words of the tail end, in samples since the session began.
    tail_ends: Vec<usize>,
    counts: WordCounts,
    /// For each place in the tail, since when decodes hold a complete word there: one that another follows, because
    /// words grow.
    held: Vec<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    decodes: u32,
    since: usize,
}

impl CommittedText {
    /// No text yet.
    pub fn new(rule: CommitRule) -> Self {
        Self {
            rule,
            ..Self::default()
        }
    }

    /// All committed text: the joined deltas.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The committed text before the audio of the next decode.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The tokens that the next decode begins with.
    pub fn prefix_tokens(&self) -> Vec<u32> {
        let Some((last, before)) = self.prefix.split_last() else {
            return Vec::new();
        };
        let before = before.iter().flat_map(|word| &word.tokens);
        before.chain(word_tokens(last)).copied().collect()
    }

    /// Whether there are words that are not committed.
    pub fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// The text of the newest decode behind the committed words.
    pub fn tail(&self) -> String {
        let mut tail = self.punctuation.clone();
        for word in &self.tail {
            tail.push_str(&word.text);
            tail.push_str(&word.punctuation);
        }
        if self.text.is_empty() {
            tail.trim_start().to_owned()
        } else {
            tail
        }
    }

    /// Whether everything is committed and ends a sentence.
    pub fn ends_sentence(&self) -> bool {
        self.tail.is_empty() && ends_sentence(&self.punctuation)
    }

    /// Takes the words of a decode; returns the text that is committed by it, if any.
    pub fn accept(&mut self, words: Vec<PartialWord>, audio: &DecodedAudio) -> Option<String> {
        let characters = words.iter().map(word_counts::length).sum();
        let mut tail = self.skip_prefix(words);
        let mut ends = word_counts::ends(&tail, characters, audio);
        self.counts.withdrawn += word_counts::withdrawn(&self.tail, &tail);
        self.separate_from_context(&mut tail, audio.language);
        let complete = tail.len() - usize::from(audio.goes_on).min(tail.len());
        self.held.truncate(complete);
        for held in &mut self.held {
            held.decodes += 1;
        }
        let new = Held {
            decodes: 1,
            since: audio.end,
        };
        self.held.resize(complete, new);
        let certain = (0..complete)
            .take_while(|&place| self.is_certain(place, &tail[place], audio))
            .count();
        self.tail = tail.split_off(certain);
        self.held.drain(..certain);
        self.tail_ends = ends.split_off(certain);
        self.counts.committed_ends.append(&mut ends);
        self.commit(tail)
    }

    /// Commits the tail; returns its text, if any.
    pub fn commit_tail(&mut self) -> Option<String> {
        self.held.clear();
        self.counts.committed_ends.append(&mut self.tail_ends);
        let tail = mem::take(&mut self.tail);
        self.commit(tail)
    }

    /// Makes the words up to the last one that ends until `latest` context; returns the end of the audio that is no
    /// longer needed.
    pub fn trim(&mut self, latest: Duration) -> Option<Duration> {
        let ends_early = |word: &PartialWord| word.end.is_some_and(|end| end <= latest);
        let last = self.prefix.iter().rposition(ends_early)?;
        let end = self.prefix[last].end;
        self.move_to_context(last + 1);
        for word in &mut self.prefix {
            word.end = None;
        }
        end
    }

    /// Makes all committed words context and forgets the tail, because the audio of the next decode is another.
    pub fn begin_anew(&mut self) {
        self.move_to_context(self.prefix.len());
        self.tail.clear();
        self.tail_ends.clear();
        self.held.clear();
    }

    /// What became of the words since the last call.
    pub fn take_counts(&mut self) -> WordCounts {
        mem::take(&mut self.counts)
    }

    fn is_certain(&self, place: usize, word: &PartialWord, audio: &DecodedAudio) -> bool {
        let is_agreed = self
            .tail
            .get(place)
            .is_some_and(|before| comparable(before) == comparable(word));
        let is_attended = word
            .end
            .is_some_and(|end| end + ATTENDED_MARGIN <= audio.length);
        let held = self.held[place];
        let is_overdue = held.decodes >= MAX_DECODES || audio.end >= held.since + MAX_WAIT_SAMPLES;
        is_overdue
            || match self.rule {
                CommitRule::Agreement => is_agreed,
                CommitRule::AttendedEnd => is_attended,
                CommitRule::Either => is_agreed || is_attended,
            }
    }

    /// The words behind the forced prefix. Of the committed words it takes what is new: their ends, and the
    /// punctuation behind the last.
    fn skip_prefix(&mut self, words: Vec<PartialWord>) -> Vec<PartialWord> {
        let mut left = self.prefix_tokens().len();
        let mut words = words.into_iter();
        let mut place = 0;
        let mut grown = None;
        while left > 0 {
            let Some(word) = words.next() else { break };
            if let Some(committed) = self.prefix.get_mut(place) {
                committed.end = word.end;
            }
            place += 1;
            let without_punctuation = word_tokens(&word).len();
            if left > without_punctuation {
                left = left.saturating_sub(word.tokens.len());
                continue;
            }
            if left < without_punctuation {
                grown = self.growth(word, left);
            } else {
                self.replace_punctuation(&word);
            }
            left = 0;
        }
        let tail = grown.into_iter().chain(words);
        tail.filter(|word| !word.text.is_empty()).collect()
    }

    /// What a word has more than the last committed one, of which its first `tokens` tokens are.
    fn growth(&mut self, word: PartialWord, tokens: usize) -> Option<PartialWord> {
        let last = self.prefix.last()?;
        let text = word
            .text
            .trim_start()
            .strip_prefix(last.text.trim_start())?;
        let growth = PartialWord {
            text: text.to_owned(),
            tokens: word.tokens[tokens..].to_vec(),
            ..word
        };
        self.replace_punctuation(&PartialWord::default());
        Some(growth)
    }

    /// Takes the punctuation of `newer`, which is the last committed word in the newest decode.
    fn replace_punctuation(&mut self, newer: &PartialWord) {
        let Some(last) = self.prefix.last_mut() else {
            return;
        };
        let kept = word_tokens(last).len();
        last.tokens.truncate(kept);
        let punctuation = &newer.tokens[word_tokens(newer).len()..];
        last.tokens.extend_from_slice(punctuation);
        last.punctuation_tokens = punctuation.len();
        last.punctuation.clone_from(&newer.punctuation);
        self.punctuation.clone_from(&newer.punctuation);
    }

    /// The model does not always write the space before the first word of its audio.
    fn separate_from_context(&self, tail: &mut [PartialWord], language: Option<Language>) {
        let is_spaced = language.is_none_or(Language::puts_spaces_between_words);
        if !is_spaced || !self.prefix.is_empty() || self.text.is_empty() {
            return;
        }
        if let Some(first) = tail.first_mut()
            && !first.text.starts_with(char::is_whitespace)
        {
            first.text.insert(0, ' ');
        }
    }

    fn commit(&mut self, words: Vec<PartialWord>) -> Option<String> {
        let last = words.last()?.punctuation.clone();
        let mut text = mem::replace(&mut self.punctuation, last);
        for (index, word) in words.iter().enumerate() {
            text.push_str(&word.text);
            if index + 1 < words.len() {
                text.push_str(&word.punctuation);
            }
        }
        self.prefix.extend(words);
        if self.text.is_empty() {
            text = text.trim_start().to_owned();
        }
        self.text.push_str(&text);
        (!text.is_empty()).then_some(text)
    }

    fn move_to_context(&mut self, words: usize) {
        for word in self.prefix.drain(..words) {
            self.context.push_str(&word.text);
            self.context.push_str(&word.punctuation);
        }
        if self.context.len() > MAX_CONTEXT_BYTES {
            let earliest = self.context.len() - MAX_CONTEXT_BYTES;
            let cut = (earliest..self.context.len())
                .find(|&index| self.context.is_char_boundary(index))
                .unwrap_or(earliest);
            self.context.drain(..cut);
        }
    }
}

/// Whether a text ends with a mark that ends a sentence, quotation marks and brackets aside.
pub fn ends_sentence(text: &str) -> bool {
    let is_closing = |c: char| c.is_whitespace() || "\"'”’»)]".contains(c);
    text.trim_end_matches(is_closing).ends_with(SENTENCE_ENDS)
}

/// The tokens of a word without those of its punctuation.
fn word_tokens(word: &PartialWord) -> &[u32] {
    let count = word.tokens.len().saturating_sub(word.punctuation_tokens);
    &word.tokens[..count]
}

/// A word without case and marks. The dotless ı is compared as i, because lower case without a language makes it of
/// the Turkish I.
pub fn comparable(word: &PartialWord) -> String {
    let letters = word.text.chars().flat_map(char::to_lowercase);
    let letters: String = letters
        .filter(|c| c.is_alphanumeric())
        .map(|c| if c == 'ı' { 'i' } else { c })
        .collect();
    if letters.is_empty() {
        word.text.trim().to_owned()
    } else {
        letters
    }
}

#[cfg(test)]
mod tests;
