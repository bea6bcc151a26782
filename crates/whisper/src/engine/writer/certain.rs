//! The begin of a text that is sent while the rest is written. What was sent is never withdrawn: each further attempt of
//! its window begins with it.

use crate::engine::{AttemptedText, DecodingOptions, WindowLength};
use crate::search::ScoredToken;
use crate::words::whole_words;
use crate::{Language, Task, Vocabulary};

/// The part of a window's text that was sent.
#[derive(Clone, Debug)]
pub(super) struct CertainText {
    tokens: Vec<ScoredToken>,
    /// Whether an attempt has begun with the sent tokens: it is the last one.
    is_last_attempt: bool,
}

/// What decides whether a begin of a text can be sent.
pub(super) struct PartContext<'a> {
    pub vocabulary: &'a Vocabulary,
    /// The language of the text.
    pub language: Option<Language>,
    pub decoding: &'a DecodingOptions,
    pub length: WindowLength,
    pub no_speech_prob: f32,
}

impl CertainText {
    /// The text of a window whose caller has received these tokens.
    pub(super) fn new(sent: &[ScoredToken]) -> Self {
        Self {
            tokens: sent.to_vec(),
            is_last_attempt: !sent.is_empty(),
        }
    }

    pub(super) fn tokens(&self) -> &[ScoredToken] {
        &self.tokens
    }

    /// Takes the whole words of what is agreed, unless they would be rejected as they are.
    pub(super) fn extend(&mut self, context: &PartContext<'_>, agreed: &[ScoredToken]) {
        if agreed.len() <= self.tokens.len() {
            return;
        }
        let ids = ids(agreed);
        let end = whole_words(context.vocabulary, context.language, &ids);
        if end > self.tokens.len() && context.accepts(&agreed[..end]) {
            self.tokens.clear();
            self.tokens.extend_from_slice(&agreed[..end]);
        }
    }

    /// Whether another attempt can change the text, of which the last one wrote this.
    pub(super) fn allows_attempt(&self, last: &[u32]) -> bool {
        self.tokens.is_empty() || (!self.is_last_attempt && last.len() > self.tokens.len())
    }

    /// Whether another attempt with a longer encoding is allowed.
    pub(super) fn allows_longer_encoding(&self) -> bool {
        !self.is_last_attempt
    }

    /// Called when an attempt begins.
    pub(super) fn begin_attempt(&mut self) {
        self.is_last_attempt = !self.tokens.is_empty();
    }

    /// Whether a text begins with what was sent.
    pub(super) fn begins(&self, text: &[u32]) -> bool {
        text.starts_with(&ids(&self.tokens))
    }

    /// Whether a text has to end where it was sent to: it repeats itself up to the maximum length, and no attempt is
    /// left.
    pub(super) fn ends_text(&self, decoding: &DecodingOptions, text: &AttemptedText) -> bool {
        !self.tokens.is_empty() && text.is_cut() && decoding.fallback.is_repetitive(&text.quality)
    }
}

impl PartContext<'_> {
    /// Whether the rules that reject a text and drop a silent window let this one pass.
    fn accepts(&self, tokens: &[ScoredToken]) -> bool {
        let fallback = &self.decoding.fallback;
        let is_silence = |bound| self.no_speech_prob > bound;
        if fallback.no_speech_threshold.is_some_and(is_silence) {
            return false;
        }
        let text = part(self.vocabulary, tokens, (0.0, self.no_speech_prob));
        !fallback.rejects(&text.quality) && !text.needs_longer_encoding(fallback, self.length)
    }
}

/// The text of these tokens, at this temperature and with this probability of no speech.
pub(super) fn part(
    vocabulary: &Vocabulary,
    tokens: &[ScoredToken],
    (temperature, no_speech_prob): (f32, f32),
) -> AttemptedText {
    let sum: f32 = tokens.iter().map(|scored| scored.log_prob).sum();
    let avg_logprob = sum / (tokens.len() as f32 + 1.0);
    AttemptedText::new(
        vocabulary,
        ids(tokens),
        temperature,
        (avg_logprob, no_speech_prob),
    )
}

/// The language of the text of a task: a translation is English.
pub(super) fn text_language(task: Task, spoken: Option<Language>) -> Option<Language> {
    match task {
        Task::Transcribe => spoken,
        Task::Translate => Some(Language::ENGLISH),
    }
}

fn ids(tokens: &[ScoredToken]) -> Vec<u32> {
    tokens.iter().map(|scored| scored.token).collect()
}
