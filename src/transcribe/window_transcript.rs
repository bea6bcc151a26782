//! Converts the engine's output for a window into a part of the transcript, and joins the parts.

use std::time::Duration;

use super::{Plan, Recordings, TranscriptionOptions, hallucinations};
use crate::job::JobOutput;
use crate::transcript::{
    DropReason, DroppedSpan, Segment, Speaker, Timings, TokenLogprob, Transcript,
};
use halkspeech_audio::{Clip, SAMPLE_RATE_HZ, WindowClock};
use halkspeech_whisper::engine::{DecodingOptions, Generation};
use halkspeech_whisper::{Language, Task, TimedTokens, TimedWords, Vocabulary, segments, words};

/// Audio that the model skipped at the end of a window is transcribed again if it is at least this long.
const MIN_SKIPPED_S: f64 = 2.0;
/// As [`MIN_SKIPPED_S`], if speech was detected up to the window's end.
const MIN_SKIPPED_SPEECH_S: f64 = 1.0;

/// The part of a transcript that one window adds.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptPart {
    /// The text to append to the previous parts; may be empty.
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
    language_probability: Option<f32>,
    /// The tokens that the next window's text continues.
    pub(super) tokens: Vec<u32>,
    pub(super) temperature: f32,
    segments: Vec<Segment>,
    logprobs: Vec<TokenLogprob>,
    dropped: Vec<DroppedSpan>,
    clocks: Vec<WindowClock>,
    timings: Timings,
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
    /// Converts an engine's output. The second value is the time in the window, in seconds, from which
    /// on it has to be transcribed again.
    pub(super) fn new(
        plan: &Plan<'_>,
        speaker: Option<Speaker>,
        clock: &WindowClock,
        output: JobOutput,
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
        if plan.options.fallback.drops(&generation.quality) {
            transcript.dropped.push(DroppedSpan {
                start_s: clock.start_s(),
                end_s: clock.end_s(),
                reason: DropReason::NoSpeech,
                text: vocabulary.decode(&generation.tokens).trim().to_owned(),
            });
            return (transcript, None);
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
            transcript.logprobs = logprobs(vocabulary, &generation);
        }
        transcript.segments = timed_segments(plan, clock, &generation, timed);
        for segment in &mut transcript.segments {
            segment.speaker = speaker;
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
    let segment = |(timed, with_words): (TimedTokens, TimedWords)| Segment {
        seek: (clock.start_s() * 100.0).round() as usize,
        start_s: clock.original_start_s(with_words.start_s),
        end_s: clock.original_end_s(with_words.end_s),
        text: vocabulary.decode(&timed.tokens),
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

/// Joins the transcripts of windows, in order.
pub(super) struct TranscriptBuilder {
    transcript: Transcript,
    clip: Clip,
    detects_voice: bool,
    clocks: Vec<WindowClock>,
}

impl TranscriptBuilder {
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
            clip: plan.options.clip,
            detects_voice: plan.options.vad.is_some(),
            clocks: Vec::new(),
        }
    }

    /// Adds a window and returns the part that it adds.
    pub(super) fn add(&mut self, window: WindowTranscript) -> TranscriptPart {
        let transcript = &mut self.transcript;
        transcript.language_probability =
            (transcript.language_probability).or(window.language_probability);
        let language = match transcript.task {
            Task::Transcribe => window.language,
            Task::Translate => Some(Language::ENGLISH),
        };
        let texts = window.segments.iter().map(|segment| segment.text.as_str());
        let delta = delta_after(&transcript.text, &texts.collect::<String>(), language);
        transcript.text.push_str(&delta);
        transcript.segments.extend(window.segments.iter().cloned());
        transcript.logprobs.extend(window.logprobs.iter().cloned());
        transcript.dropped.extend(window.dropped);
        transcript.timings = transcript.timings.max(window.timings);
        let end_s = window.clocks.last().map_or(0.0, WindowClock::end_s);
        self.clocks.extend(window.clocks);
        TranscriptPart {
            end_s,
            delta,
            segments: window.segments,
            logprobs: window.logprobs,
        }
    }

    /// The whole transcript; segments of channels, which are transcribed one after the other, are sorted
    /// by time.
    pub(super) fn finish(self, language: Option<Language>) -> Transcript {
        let mut transcript = self.transcript;
        transcript.language = language;
        let segments = &mut transcript.segments;
        if segments.iter().any(|segment| segment.speaker.is_some()) {
            segments.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
            transcript.text.clear();
            for segment in segments {
                let delta = delta_after(&transcript.text, &segment.text, language);
                transcript.text.push_str(&delta);
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

/// The text to append to `before`: trimmed, with a space between the words of two windows. Whisper
/// writes the space before a word with the word, but not always at a window's start.
fn delta_after(before: &str, text: &str, language: Option<Language>) -> String {
    let text = text.trim();
    let spaced = language.is_none_or(Language::puts_spaces_between_words);
    if spaced && !before.is_empty() && !text.is_empty() {
        format!(" {text}")
    } else {
        text.to_owned()
    }
}

/// End of the requested part of a recording, in seconds.
pub(super) fn clip_end_s(clip: Clip, duration: Duration) -> f64 {
    let end_s = clip
        .duration
        .map_or(f64::INFINITY, |length| (clip.offset + length).as_secs_f64());
    end_s.min(duration.as_secs_f64())
}

/// The silences that were not given to the model.
fn silences(clocks: &[WindowClock], clip: Clip, duration: Duration) -> Vec<DroppedSpan> {
    let seconds = |samples: usize| samples as f64 / f64::from(SAMPLE_RATE_HZ);
    let end_s = clip
        .duration
        .map_or(f64::INFINITY, |length| (clip.offset + length).as_secs_f64());
    let end_s = end_s.min(duration.as_secs_f64());
    let mut silences = Vec::new();
    let mut covered_s = clip.offset.as_secs_f64();
    let spans = clocks.iter().flat_map(WindowClock::spans);
    let spans = spans.map(|span| (seconds(span.start), seconds(span.start + span.samples)));
    for (start_s, next_end_s) in spans.chain([(end_s, end_s)]) {
        if start_s > covered_s {
            silences.push(DroppedSpan {
                start_s: covered_s,
                end_s: start_s,
                reason: DropReason::NoVoice,
                text: String::new(),
            });
        }
        covered_s = covered_s.max(next_end_s);
    }
    silences
}
