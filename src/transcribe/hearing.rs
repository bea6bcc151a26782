//! Turns what the engine made of a window into a piece of the transcript, and joins the pieces.

use std::time::Duration;

use super::{Plan, Recordings, Wishes, guard};
use crate::audio::{Clip, Clock, SAMPLE_RATE_HZ};
use crate::engine::{DecodingOptions, Generation};
use crate::job::Answer;
use crate::tokens::segments::{TimedTokens, segments};
use crate::tokens::words::{TimedWords, words};
use crate::tokens::{Language, Task, Vocabulary};
use crate::transcript::{DropReason, Dropped, Segment, Speaker, Timings, TokenLogprob, Transcript};

/// A piece at the end of a window that the model passed over is heard again if it is this long.
const MIN_UNHEARD_S: f64 = 2.0;
/// As [`MIN_UNHEARD_S`], where the detector heard speech up to the window's end.
const MIN_UNHEARD_SPEECH_S: f64 = 1.0;

/// What one window adds to the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The text as it is to be appended to what came before; may be empty.
    pub delta: String,
    /// Its segments, on the recording's own clock.
    pub segments: Vec<Segment>,
    /// Its tokens' probabilities, where they were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// How far the recording has been heard, in seconds.
    pub end_s: f64,
}

/// What was heard in a window.
pub(super) struct Heard {
    pub(super) language: Option<Language>,
    /// How sure the detection of it was.
    language_probability: Option<f32>,
    /// The tokens that the next window's text continues.
    pub(super) tokens: Vec<u32>,
    pub(super) temperature: f32,
    segments: Vec<Segment>,
    logprobs: Vec<TokenLogprob>,
    dropped: Vec<Dropped>,
    clocks: Vec<Clock>,
    timings: Timings,
}

impl Wishes {
    pub(super) fn decoding(&self) -> DecodingOptions {
        DecodingOptions {
            candidates: self.candidates.clone(),
            fallback: self.fallback.clone(),
            align: self.words || self.logprobs,
        }
    }
}

impl Plan<'_> {
    /// Whether the detector heard speech up to the end of a window, and more of it after that: what
    /// ends a recording may be silence, if it is short.
    fn goes_on_after(&self, clock: &Clock) -> bool {
        self.wishes.vad.is_some() && clock.end_s() + MIN_UNHEARD_SPEECH_S < self.end_s
    }
}

impl Heard {
    /// Reads an answer. Beside it stands the place in the window from which on the model has to
    /// listen again, in seconds.
    pub(super) fn new(
        plan: &Plan<'_>,
        speaker: Option<Speaker>,
        clock: &Clock,
        answer: Answer,
    ) -> (Self, Option<f64>) {
        let generation = answer.generation;
        let mut heard = Self {
            language: generation.language.map(|found| found.language),
            language_probability: generation.language.map(|found| found.probability),
            tokens: Vec::new(),
            temperature: generation.temperature,
            segments: Vec::new(),
            logprobs: Vec::new(),
            dropped: Vec::new(),
            clocks: vec![clock.clone()],
            timings: Timings {
                decode: Duration::ZERO,
                queue: answer.queue_time,
                inference: answer.inference_time,
                batch_size: answer.batch_size,
            },
        };
        let vocabulary = &plan.model.vocabulary;
        if plan.wishes.fallback.drops(&generation.quality) {
            heard.dropped.push(Dropped {
                start_s: clock.start_s(),
                end_s: clock.end_s(),
                reason: DropReason::NoSpeech,
                text: vocabulary.decode(&generation.tokens).trim().to_owned(),
            });
            return (heard, None);
        }
        let duration_s = clock.duration_s();
        let parsed = segments(vocabulary, &generation.tokens, duration_s);
        let unheard = if parsed.unfinished.is_some() {
            None
        } else if plan.goes_on_after(clock) {
            // A window that was cut out of speech ends with speech, whatever its last stamp says.
            let last = parsed.finished.last().map(|last| last.end_s);
            last.filter(|end_s| duration_s - end_s >= MIN_UNHEARD_SPEECH_S)
        } else {
            parsed
                .heard_until_s
                .filter(|end_s| duration_s - end_s >= MIN_UNHEARD_S)
        };
        // From the beginning the same would be heard once more.
        let unheard = unheard.filter(|&from_s| from_s > 0.0);
        let timed: Vec<TimedTokens> = parsed
            .finished
            .into_iter()
            .chain(parsed.unfinished)
            .collect();
        heard.tokens = timed
            .iter()
            .flat_map(|piece| &piece.tokens)
            .copied()
            .collect();
        if plan.wishes.logprobs {
            heard.logprobs = logprobs(vocabulary, &generation);
        }
        heard.segments = timed_segments(plan, clock, &generation, timed);
        for segment in &mut heard.segments {
            segment.speaker = speaker;
        }
        if let Some(threshold_s) = plan.wishes.hallucination_silence_threshold_s {
            let window = clock.start_s()..clock.end_s();
            let kept = std::mem::take(&mut heard.segments);
            let (kept, dropped) =
                guard::drop_hallucinations(kept, window, clock.start_s(), threshold_s);
            heard.segments = kept;
            heard.dropped.extend(dropped);
        }
        (heard, unheard)
    }

    /// Adds what was heard in the rest of the window.
    pub(super) fn append(&mut self, rest: Self) {
        self.tokens.extend(rest.tokens);
        self.segments.extend(rest.segments);
        self.logprobs.extend(rest.logprobs);
        self.dropped.extend(rest.dropped);
        self.temperature = rest.temperature;
        self.timings = self.timings.max(rest.timings);
    }
}

/// The segments of a window on the recording's own clock.
fn timed_segments(
    plan: &Plan<'_>,
    clock: &Clock,
    generation: &Generation,
    timed: Vec<TimedTokens>,
) -> Vec<Segment> {
    let vocabulary = &plan.model.vocabulary;
    let language = generation.language.map(|found| found.language);
    // A translation is English, whatever was spoken.
    let language = match plan.prompt.task {
        Task::Transcribe => language,
        Task::Translate => Some(Language::ENGLISH),
    };
    let timed_words = match &generation.alignment {
        Some(alignment) if plan.wishes.words => words(vocabulary, language, &timed, alignment, 0.0),
        _ => timed
            .iter()
            .map(|piece| TimedWords {
                start_s: piece.start_s,
                end_s: piece.end_s,
                words: Vec::new(),
            })
            .collect(),
    };
    let quality = generation.quality;
    let segment = |(piece, with_words): (TimedTokens, TimedWords)| Segment {
        seek: (clock.start_s() * 100.0).round() as usize,
        start_s: clock.original_start_s(with_words.start_s),
        end_s: clock.original_end_s(with_words.end_s),
        text: vocabulary.decode(&piece.tokens),
        tokens: piece.tokens,
        temperature: generation.temperature,
        avg_logprob: quality.avg_logprob,
        compression_ratio: quality.compression_ratio,
        no_speech_prob: quality.no_speech_prob,
        words: with_words
            .words
            .into_iter()
            .map(|mut word| {
                word.start_s = clock.original_start_s(word.start_s);
                word.end_s = clock.original_end_s(word.end_s).max(word.start_s);
                word
            })
            .collect(),
        speaker: None,
    };
    let segments = timed.into_iter().zip(timed_words).map(segment);
    segments
        .filter(|segment| !segment.text.trim().is_empty())
        .collect()
}

fn logprobs(vocabulary: &Vocabulary, generation: &Generation) -> Vec<TokenLogprob> {
    let Some(alignment) = &generation.alignment else {
        return Vec::new();
    };
    let tokens = alignment.tokens.iter().zip(&alignment.probabilities);
    tokens
        .map(|(&token, probability)| TokenLogprob {
            token: vocabulary.decode(&[token]),
            logprob: probability.max(f32::MIN_POSITIVE).ln(),
            bytes: vocabulary.bytes(token).to_vec(),
        })
        .collect()
}

/// Joins what was heard, window by window, in order.
pub(super) struct Joiner {
    transcript: Transcript,
    clip: Clip,
    detects_voice: bool,
    clocks: Vec<Clock>,
}

impl Joiner {
    pub(super) fn new(plan: &Plan<'_>, recordings: &Recordings, decode: Duration) -> Self {
        Self {
            transcript: Transcript {
                task: plan.prompt.task,
                language: None,
                language_probability: None,
                prompt_tokens: plan.prompt.previous.len(),
                duration: recordings.duration,
                text: String::new(),
                segments: Vec::new(),
                logprobs: Vec::new(),
                dropped: recordings.damaged.clone(),
                timings: Timings {
                    decode,
                    ..Timings::default()
                },
            },
            clip: plan.wishes.clip,
            detects_voice: plan.wishes.vad.is_some(),
            clocks: Vec::new(),
        }
    }

    /// Adds a window, and says what it adds.
    pub(super) fn add(&mut self, heard: Heard) -> Part {
        let transcript = &mut self.transcript;
        transcript.language_probability =
            (transcript.language_probability).or(heard.language_probability);
        let language = match transcript.task {
            Task::Transcribe => heard.language,
            Task::Translate => Some(Language::ENGLISH),
        };
        let texts = heard.segments.iter().map(|segment| segment.text.as_str());
        let delta = joint(&transcript.text, &texts.collect::<String>(), language);
        transcript.text.push_str(&delta);
        transcript.segments.extend(heard.segments.iter().cloned());
        transcript.logprobs.extend(heard.logprobs.iter().cloned());
        transcript.dropped.extend(heard.dropped);
        transcript.timings = transcript.timings.max(heard.timings);
        let end_s = heard.clocks.last().map_or(0.0, Clock::end_s);
        self.clocks.extend(heard.clocks);
        Part {
            end_s,
            delta,
            segments: heard.segments,
            logprobs: heard.logprobs,
        }
    }

    /// The whole; channels that were heard one after the other are put in the order of time.
    pub(super) fn finish(self, language: Option<Language>) -> Transcript {
        let mut transcript = self.transcript;
        transcript.language = language;
        let segments = &mut transcript.segments;
        if segments.iter().any(|segment| segment.speaker.is_some()) {
            segments.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
            transcript.text.clear();
            for segment in segments {
                let more = joint(&transcript.text, &segment.text, language);
                transcript.text.push_str(&more);
            }
        } else if self.detects_voice {
            let silences = silences(&self.clocks, self.clip, transcript.duration);
            transcript.dropped.extend(silences);
        }
        transcript
            .dropped
            .sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        transcript
    }
}

/// A piece of text as it is to be appended: no white space at either end of the whole, and words
/// apart from those of the window before. Whisper writes the space before a word with the word, but
/// not always at a window's start.
fn joint(before: &str, piece: &str, language: Option<Language>) -> String {
    let piece = piece.trim();
    let spaced = language.is_none_or(Language::puts_spaces_between_words);
    if spaced && !before.is_empty() && !piece.is_empty() {
        format!(" {piece}")
    } else {
        piece.to_owned()
    }
}

/// Where the wanted part of a recording ends, in seconds.
pub(super) fn clip_end_s(clip: Clip, duration: Duration) -> f64 {
    let end_s = clip
        .duration
        .map_or(f64::INFINITY, |length| (clip.offset + length).as_secs_f64());
    end_s.min(duration.as_secs_f64())
}

/// What lies between the pieces that were given to the model.
fn silences(clocks: &[Clock], clip: Clip, duration: Duration) -> Vec<Dropped> {
    let seconds = |samples: usize| samples as f64 / f64::from(SAMPLE_RATE_HZ);
    let end_s = clip
        .duration
        .map_or(f64::INFINITY, |length| (clip.offset + length).as_secs_f64());
    let end_s = end_s.min(duration.as_secs_f64());
    let mut silences = Vec::new();
    let mut heard_s = clip.offset.as_secs_f64();
    let pieces = clocks.iter().flat_map(Clock::pieces);
    let pieces = pieces.map(|piece| (seconds(piece.start), seconds(piece.start + piece.samples)));
    for (start_s, piece_end_s) in pieces.chain([(end_s, end_s)]) {
        if start_s > heard_s {
            silences.push(Dropped {
                start_s: heard_s,
                end_s: start_s,
                reason: DropReason::NoVoice,
                text: String::new(),
            });
        }
        heard_s = heard_s.max(piece_end_s);
    }
    silences
}
