//! Joins the transcripts of windows, in order.

use std::time::Duration;

use super::Plan;
use super::progress::TextDelta;
use super::recordings::Recordings;
use super::sent_text::SentText;
use super::window_transcript::{TranscriptPart, WindowTranscript};
use crate::transcript::{DropReason, DroppedSpan, Speakers, Timings, Transcript};
use halkspeech_audio::{Clip, SAMPLE_RATE_HZ, WindowClock};
use halkspeech_whisper::search::ScoredToken;
use halkspeech_whisper::{Language, Task};

/// The transcript of the windows so far.
pub(super) struct TranscriptBuilder {
    transcript: Transcript,
    clip: Clip,
    detects_voice: bool,
    clocks: Vec<WindowClock>,
    /// What was reported of the next window.
    sent: SentText,
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
                speakers: Speakers::Channels,
                dropped: recordings.damaged.clone(),
                timings: Timings {
                    decode,
                    ..Timings::default()
                },
            },
            clip: plan.options.clip,
            detects_voice: plan.options.vad.is_some(),
            clocks: Vec::new(),
            sent: SentText::default(),
        }
    }

    /// The words of the next window that are certain and were not returned before.
    pub(super) fn words(&mut self, plan: &Plan<'_>, certain: &[ScoredToken]) -> Option<TextDelta> {
        let before = self.transcript.text.as_str();
        let vocabulary = &plan.model.vocabulary;
        let language = self.text_language(plan.prompt.language);
        // The language decides whether there is a space between two windows.
        let is_known = language.is_some() || !vocabulary.is_multilingual();
        if !is_known && !before.is_empty() {
            return None;
        }
        let mut delta = (self.sent).advance(vocabulary, (before, language), certain)?;
        if !plan.options.logprobs {
            delta.logprobs.clear();
        }
        Some(delta)
    }

    /// The language of the text of windows in this language.
    fn text_language(&self, spoken: Option<Language>) -> Option<Language> {
        match self.transcript.task {
            Task::Transcribe => spoken,
            Task::Translate => Some(Language::ENGLISH),
        }
    }

    /// Adds a window and returns the part that it adds.
    pub(super) fn add(&mut self, window: WindowTranscript) -> TranscriptPart {
        let language = self.text_language(window.language);
        let transcript = &mut self.transcript;
        transcript.language_probability =
            (transcript.language_probability).or(window.language_probability);
        let texts = window.segments.iter().map(|segment| segment.text.as_str());
        let delta = delta_after(&transcript.text, &texts.collect::<String>(), language);
        let sent = std::mem::take(&mut self.sent);
        let logprobs = sent.rest_of_logprobs(&window.logprobs);
        let (text, delta) = sent.rest(delta);
        transcript.text.push_str(&text);
        transcript.segments.extend(window.segments.iter().cloned());
        transcript.logprobs.extend(window.logprobs);
        transcript.dropped.extend(window.dropped);
        transcript.timings = transcript.timings.max(window.timings);
        let end_s = window.clocks.last().map_or(0.0, WindowClock::end_s);
        self.clocks.extend(window.clocks);
        TranscriptPart {
            end_s,
            delta,
            segments: window.segments,
            logprobs,
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
pub(super) fn delta_after(before: &str, text: &str, language: Option<Language>) -> String {
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
