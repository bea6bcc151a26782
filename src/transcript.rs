//! What a request comes back with: plain data.

use std::time::Duration;

use crate::tokens::{Language, Task};

pub use crate::tokens::Word;

/// The merged result of all windows of a request. Times are seconds of the recording's own clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// What was asked for.
    pub task: Task,
    /// The language spoken, given or detected; none for silence of an unknown language.
    pub language: Option<Language>,
    /// How sure the detection of the language was, 0 to 1, and 1 where it was given; none where nothing
    /// told of it.
    pub language_probability: Option<f32>,
    /// Tokens of the prompt and the hints as the model was given them.
    pub prompt_tokens: usize,
    /// Length of the audio.
    pub duration: Duration,
    /// The text, without white space around it.
    pub text: String,
    /// The segments, in order of their starts.
    pub segments: Vec<Segment>,
    /// Every text token with its probability; empty unless asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// What was left out on purpose, in order.
    pub dropped: Vec<DroppedSpan>,
    /// Where the time went.
    pub timings: Timings,
}

/// A phrase or sentence with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Where its window begins, in frames of 10 ms.
    pub seek: usize,
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds; not before its start.
    pub end_s: f64,
    /// Its text as the model wrote it, most often with a space in front.
    pub text: String,
    /// Its tokens, time stamps included.
    pub tokens: Vec<u32>,
    /// The temperature at which its window was generated.
    pub temperature: f32,
    /// Mean log probability of its window's tokens.
    pub avg_logprob: f32,
    /// How well its window's text compresses; above 2.4 it repeats itself.
    pub compression_ratio: f32,
    /// Probability that its window holds no speech.
    pub no_speech_prob: f32,
    /// Its words; empty unless asked for.
    pub words: Vec<Word>,
    /// The channel it was spoken on; none unless channels are kept apart.
    pub speaker: Option<Speaker>,
}

/// A token of the text with its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its text; bytes that are no character of their own show as U+FFFD.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One speaker of a recording whose channels are kept apart: the number of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Speaker(pub usize);

impl Speaker {
    /// `A` to `Z`, then `AA` and so on.
    #[must_use]
    pub fn label(self) -> String {
        let mut label = Vec::new();
        let mut rest = self.0 + 1;
        while rest > 0 {
            label.push(b'A' + ((rest - 1) % 26) as u8);
            rest = (rest - 1) / 26;
        }
        label
            .iter()
            .rev()
            .map(|&letter| char::from(letter))
            .collect()
    }
}

/// A piece of the recording for which nothing was written.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedSpan {
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds.
    pub end_s: f64,
    /// Why.
    pub reason: DropReason,
    /// What the model had written; empty where it was never asked.
    pub text: String,
}

/// Why nothing was written for a piece of the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The voice activity detector heard no speech.
    NoVoice,
    /// The model itself took the window for silence, and was not sure of its text.
    NoSpeech,
    /// An improbable text between long silences.
    Hallucination,
    /// The file is damaged there and could not be decoded.
    Damaged,
}

impl DropReason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::NoVoice,
        Self::NoSpeech,
        Self::Hallucination,
        Self::Damaged,
    ];

    /// As answers and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoVoice => "no_voice",
            Self::NoSpeech => "no_speech",
            Self::Hallucination => "hallucination",
            Self::Damaged => "damaged",
        }
    }
}

/// Where the time of a request went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Decoding and resampling, waiting for a processor included.
    pub decode: Duration,
    /// The longest wait of a window for its batch.
    pub queue: Duration,
    /// The longest batch a window was in.
    pub inference: Duration,
    /// The largest batch a window was in.
    pub batch_size: usize,
}

impl Timings {
    /// Adds what another window went through; windows run side by side, so the longest counts.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            decode: self.decode.max(other.decode),
            queue: self.queue.max(other.queue),
            inference: self.inference.max(other.inference),
            batch_size: self.batch_size.max(other.batch_size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_are_lettered_like_the_columns_of_a_table() {
        let labels = [0, 1, 25, 26, 27, 51, 52, 701, 702].map(|n| Speaker(n).label());
        assert_eq!(labels, ["A", "B", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]);
    }
}
