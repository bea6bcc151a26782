//! The result of a request: plain data.

use std::sync::Arc;
use std::time::Duration;

use halkspeech_whisper::{Language, Task, Word};

/// The merged result of all windows of a request. Times are seconds of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// The requested task.
    pub task: Task,
    /// The language spoken, given or detected; none if there was no speech to detect it from.
    pub language: Option<Language>,
    /// The probability of the detected language, 0 to 1, and 1 if it was given; none if there is no
    /// language.
    pub language_probability: Option<f32>,
    /// Tokens of the prompt and the hints that the model was given.
    pub prompt_tokens: usize,
    /// Length of the audio.
    pub duration: Duration,
    /// The text, trimmed.
    pub text: String,
    /// The segments, in order of their starts.
    pub segments: Vec<Segment>,
    /// Every text token with its log probability; empty unless requested.
    pub logprobs: Vec<TokenLogprob>,
    /// How the speakers were told apart.
    pub speakers: Speakers,
    /// The parts without text, in order.
    pub dropped: Vec<DroppedSpan>,
    /// The duration of each stage.
    pub timings: Timings,
}

/// A phrase or sentence with its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Where its window begins, in frames of 10 ms.
    pub seek: usize,
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds; not before its start.
    pub end_s: f64,
    /// Its text as the model generated it, usually with a leading space.
    pub text: String,
    /// Its tokens, including time stamps.
    pub tokens: Vec<u32>,
    /// The temperature at which its window was generated.
    pub temperature: f32,
    /// Mean log probability of its window's tokens.
    pub avg_logprob: f32,
    /// Compression ratio of its window's text; above 2.4 the text repeats itself.
    pub compression_ratio: f32,
    /// Probability that its window holds no speech.
    pub no_speech_prob: f32,
    /// Its words; empty unless requested.
    pub words: Vec<Word>,
    /// Who speaks it, or most of it; none unless speakers are told apart.
    pub speaker: Option<Speaker>,
    /// Who speaks each of its words; empty unless speakers are told apart by their voices.
    pub word_speakers: Vec<Speaker>,
}

/// A word of a segment, or a segment without words.
#[derive(Clone, Copy, Debug)]
pub struct SegmentUnit<'a> {
    /// Its text as the model generated it.
    pub text: &'a str,
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds.
    pub end_s: f64,
    /// Who speaks it; none unless speakers are told apart.
    pub speaker: Option<&'a Speaker>,
}

/// A token of the text with its log probability.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its text; bytes that are not a whole character are replaced by U+FFFD.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How the speakers of a transcript were told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speakers {
    /// They were not, or by the channels of the recording.
    #[default]
    Channels,
    /// By their voices.
    Voices,
}

/// A speaker: the label that responses have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Speaker(Arc<str>);

impl Segment {
    /// Its words, or if it has none, the whole of it.
    #[must_use]
    pub fn units(&self) -> Vec<SegmentUnit<'_>> {
        let whole = self.speaker.as_ref();
        if self.words.is_empty() {
            return vec![SegmentUnit {
                text: &self.text,
                start_s: self.start_s,
                end_s: self.end_s,
                speaker: whole,
            }];
        }
        let words = self.words.iter().enumerate();
        words
            .map(|(index, word)| SegmentUnit {
                text: &word.text,
                start_s: word.start_s,
                end_s: word.end_s,
                speaker: self.word_speakers.get(index).or(whole),
            })
            .collect()
    }
}

impl Speaker {
    /// The speaker with this number, counted from 0: `A` to `Z`, then `AA` and so on.
    #[must_use]
    pub fn numbered(number: usize) -> Self {
        let mut label = Vec::new();
        let mut number = number + 1;
        while number > 0 {
            label.push(b'A' + ((number - 1) % 26) as u8);
            number = (number - 1) / 26;
        }
        let letters = label.iter().rev();
        let label: String = letters.map(|&letter| char::from(letter)).collect();
        Self(label.into())
    }

    /// A name as RTTM writes it, where white space separates fields.
    #[must_use]
    pub fn rttm_name(name: &str) -> String {
        name.split_whitespace().collect::<Vec<_>>().join("_")
    }

    /// The speaker with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.0
    }
}

/// Who speaks when in a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerTimeline {
    /// Length of the recording.
    pub duration: Duration,
    /// By start; those of different speakers may overlap.
    pub spans: Vec<LabelledSpan>,
}

/// A speaker without interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledSpan {
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds.
    pub end_s: f64,
    /// Who speaks.
    pub speaker: Speaker,
}

/// A part of the recording without text.
#[derive(Clone, Debug, PartialEq)]
pub struct DroppedSpan {
    /// Where it begins, in seconds.
    pub start_s: f64,
    /// Where it ends, in seconds.
    pub end_s: f64,
    /// Why it has no text.
    pub reason: DropReason,
    /// The text that the model generated for it; empty if it was not given to the model.
    pub text: String,
}

/// Why a part of the recording has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The voice activity detector detected no speech.
    NoVoice,
    /// The model classified the window as silence, and its text had a low probability.
    NoSpeech,
    /// Improbable text between long silences.
    Hallucination,
    /// A text repeated itself up to the maximum length after its begin had been sent.
    Repetition,
    /// The file is damaged and could not be decoded.
    Damaged,
}

impl DropReason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::NoVoice,
        Self::NoSpeech,
        Self::Hallucination,
        Self::Repetition,
        Self::Damaged,
    ];

    /// Its name in responses and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoVoice => "no_voice",
            Self::NoSpeech => "no_speech",
            Self::Hallucination => "hallucination",
            Self::Repetition => "repetition",
            Self::Damaged => "damaged",
        }
    }
}

/// The duration of the stages of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Decoding and resampling, including the wait for a worker.
    pub decode: Duration,
    /// The longest time of a window in the queue.
    pub queue: Duration,
    /// The longest batch of a window.
    pub inference: Duration,
    /// The largest batch of a window.
    pub batch_size: usize,
}

impl Timings {
    /// Merges the timings of another window; windows run concurrently, so the maximum counts.
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
        let speakers = [0, 1, 25, 26, 27, 51, 52, 701, 702].map(Speaker::numbered);
        let labels: Vec<_> = speakers.iter().map(Speaker::label).collect();
        assert_eq!(labels, ["A", "B", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]);
    }
}
