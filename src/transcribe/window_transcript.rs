//! Converts the engine's output for a window into a part of the transcript.

use std::time::Duration;

use super::sent_text::logprobs_of;
use super::{Plan, TranscriptionOptions, hallucinations};
use crate::job::JobOutput;
use crate::transcript::{DropReason, DroppedSpan, Segment, Speaker, Timings, TokenLogprob};
use halkspeech_audio::WindowClock;
use halkspeech_whisper::engine::{DecodingOptions, Generation};
use halkspeech_whisper::search::ScoredToken;
use halkspeech_whisper::{Language, Task, TimedTokens, TimedWords, Vocabulary, segments, words};

/// Audio that the model skipped at the end of a window is transcribed again if it is at least this long.
const MIN_SKIPPED_S: f64 = 2.0;
/// As [`MIN_SKIPPED_S`], if speech was detected up to the window's end.
const MIN_SKIPPED_SPEECH_S: f64 = 1.0;

/// The part of a transcript that one window adds; without the words that were reported before.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptPart {
    /// The text to append to what was reported before; may be empty.
    pub delta: String,
    /// Its segments, with times of the recording.
    pub segments: Vec<Segment>,
    /// Its tokens' log probabilities, if requested.
    pub logprobs: Vec<TokenLogprob>,
    /// The end of the transcribed part of the recording, in seconds.
    pub end_s: f64,
}

/// The transcript of one window.
pub(super) struct WindowTranscript {
    pub(super) language: Option<Language>,
    /// Probability of the detected language.
    pub(super) language_probability: Option<f32>,
    /// The tokens that the next window's text continues.
    pub(super) tokens: Vec<u32>,
    pub(super) temperature: f32,
    pub(super) segments: Vec<Segment>,
    pub(super) logprobs: Vec<TokenLogprob>,
    pub(super) dropped: Vec<DroppedSpan>,
    pub(super) clocks: Vec<WindowClock>,
    pub(super) timings: Timings,
}

impl TranscriptionOptions {
    pub(super) fn decoding(&self) -> DecodingOptions {
        DecodingOptions {
            candidates: self.candidates.clone(),
            fallback: self.fallback.clone(),
            align: self.words || self.logprobs,
        }
    }
}

impl Plan<'_> {
    /// Whether speech was detected up to the end of a window and continues after it. The end of a
    /// recording may be a short silence.
    fn speech_continues_after(&self, clock: &WindowClock) -> bool {
        self.options.vad.is_some() && clock.end_s() + MIN_SKIPPED_SPEECH_S < self.end_s
    }
}

impl WindowTranscript {
    /// Converts an engine's output; `sent` is the begin of its tokens that was sent before. The second value
    /// is the time in the window, in seconds, from which on it has to be transcribed again.
    pub(super) fn new(
        plan: &Plan<'_>,
        speaker: Option<&Speaker>,
        clock: &WindowClock,
        output: JobOutput,
        sent: &[ScoredToken],
    ) -> (Self, Option<f64>) {
        let generation = output.generation;
        let mut transcript = Self {
            language: generation.language.map(|detected| detected.language),
            language_probability: generation.language.map(|detected| detected.probability),
            tokens: Vec::new(),
            temperature: generation.temperature,
            segments: Vec::new(),
            logprobs: Vec::new(),
            dropped: Vec::new(),
            clocks: vec![clock.clone()],
            timings: Timings {
                decode: Duration::ZERO,
                queue: output.queue_time,
                inference: output.inference_time,
                batch_size: output.batch_size,
            },
        };
        let vocabulary = &plan.model.vocabulary;
        let dropped = |reason, tokens: &[u32]| DroppedSpan {
            start_s: clock.start_s(),
            end_s: clock.end_s(),
            reason,
            text: vocabulary.decode(tokens).trim().to_owned(),
        };
        // With another encoding, a window of which words were sent may look silent.
        if plan.options.fallback.drops(&generation.quality) && sent.is_empty() {
            let dropped = dropped(DropReason::NoSpeech, &generation.tokens);
            transcript.dropped.push(dropped);
            return (transcript, None);
        }
        if !generation.removed.is_empty() {
            let dropped = dropped(DropReason::Repetition, &generation.removed);
            transcript.dropped.push(dropped);
        }
        let duration_s = clock.duration_s();
        let parsed = segments(vocabulary, &generation.tokens, duration_s);
        let skipped = if parsed.unfinished.is_some() {
            None
        } else if plan.speech_continues_after(clock) {
            // A window that was cut within speech ends with speech, whatever its last time stamp.
            let last = parsed.finished.last().map(|last| last.end_s);
            last.filter(|end_s| duration_s - end_s >= MIN_SKIPPED_SPEECH_S)
        } else {
            parsed
                .transcribed_until_s
                .filter(|end_s| duration_s - end_s >= MIN_SKIPPED_S)
        };
        // From the beginning, the result would be the same.
        let skipped = skipped.filter(|&from_s| from_s > 0.0);
        let timed: Vec<TimedTokens> = parsed
            .finished
            .into_iter()
            .chain(parsed.unfinished)
            .collect();
        transcript.tokens = timed
            .iter()
            .flat_map(|segment| &segment.tokens)
            .copied()
            .collect();
        if plan.options.logprobs {
            transcript.logprobs = logprobs(vocabulary, &generation, sent);
        }
        transcript.segments = timed_segments(plan, clock, &generation, timed);
        for segment in &mut transcript.segments {
            segment.speaker = speaker.cloned();
        }
        if let Some(threshold_s) = plan.options.hallucination_silence_threshold_s {
            let window = clock.start_s()..clock.end_s();
            let kept = std::mem::take(&mut transcript.segments);
            let (kept, dropped) =
                hallucinations::drop_hallucinations(kept, window, clock.start_s(), threshold_s);
            transcript.segments = kept;
            transcript.dropped.extend(dropped);
        }
        (transcript, skipped)
    }

    /// Appends the transcript of the part that the model skipped.
    pub(super) fn append(&mut self, continuation: Self) {
        self.tokens.extend(continuation.tokens);
        self.segments.extend(continuation.segments);
        self.logprobs.extend(continuation.logprobs);
        self.dropped.extend(continuation.dropped);
        self.temperature = continuation.temperature;
        self.timings = self.timings.max(continuation.timings);
    }
}

/// The segments of a window, with times of the recording.
fn timed_segments(
    plan: &Plan<'_>,
    clock: &WindowClock,
    generation: &Generation,
    timed: Vec<TimedTokens>,
) -> Vec<Segment> {
    let vocabulary = &plan.model.vocabulary;
    let language = generation.language.map(|detected| detected.language);
    // A translation is English, whatever the language spoken.
    let language = match plan.prompt.task {
        Task::Transcribe => language,
        Task::Translate => Some(Language::ENGLISH),
    };
    let timed_words = match &generation.alignment {
        Some(alignment) if plan.options.words => {
            words(vocabulary, language, &timed, alignment, 0.0)
        }
        _ => timed
            .iter()
            .map(|segment| TimedWords {
                start_s: segment.start_s,
                end_s: segment.end_s,
                words: Vec::new(),
            })
            .collect(),
    };
    let quality = generation.quality;
    let segment = |(timed, with_words): (TimedTokens, TimedWords)| {
        Some(Segment {
            seek: (clock.start_s() * 100.0).round() as usize,
            start_s: clock.original_start_s(with_words.start_s),
            end_s: clock.original_end_s(with_words.end_s),
            text: segment_text(vocabulary, &timed.tokens)?,
            tokens: timed.tokens,
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
            word_speakers: Vec::new(),
        })
    };
    let segments = timed.into_iter().zip(timed_words);
    segments.filter_map(segment).collect()
}

/// The text of a segment; none if nothing of it is visible.
pub(super) fn segment_text(vocabulary: &Vocabulary, tokens: &[u32]) -> Option<String> {
    let text = vocabulary.decode(tokens);
    (!text.trim().is_empty()).then_some(text)
}

/// The text tokens with their log probabilities; those that were sent keep what was sent with them.
fn logprobs(
    vocabulary: &Vocabulary,
    generation: &Generation,
    sent: &[ScoredToken],
) -> Vec<TokenLogprob> {
    let Some(alignment) = &generation.alignment else {
        return Vec::new();
    };
    let mut logprobs: Vec<TokenLogprob> = logprobs_of(vocabulary, sent).collect();
    let tokens = alignment.tokens.iter().zip(&alignment.probabilities);
    let rest = tokens.map(|(&token, probability)| ScoredToken {
        token,
        log_prob: probability.max(f32::MIN_POSITIVE).ln(),
    });
    let rest: Vec<ScoredToken> = rest.skip(logprobs.len()).collect();
    logprobs.extend(logprobs_of(vocabulary, &rest));
    logprobs
}
