//! A window of a writer: its attempts, one after the other.

use super::attempt_search::{AttemptStart, new_search};
use super::certain::{CertainText, PartContext, part, text_language};
use super::{WindowId, WindowTask};
use crate::engine::attempts::{AttemptedText, next_temperature, select_attempt};
use crate::engine::decoder::{Decoder, OpenedSlot};
use crate::engine::{EngineError, Generation, LanguageDetection};
use crate::search::{Search, State};
use crate::{Alignment, PromptSpec, Vocabulary};

/// A window while its text is written.
pub(super) struct OpenWindow<E> {
    pub id: WindowId,
    pub task: WindowTask,
    pub encoding: E,
    pub language: Option<LanguageDetection>,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// The texts of ended attempts.
    pub texts: Vec<AttemptedText>,
    pub temperature: f32,
    pub opened: OpenedSlot,
    pub search: Search,
    pub certain: CertainText,
    /// The complete text, which waits to be aligned.
    pub written: Option<FinalText>,
}

/// The text of a window whose attempts have ended.
#[derive(Clone)]
pub(super) struct FinalText {
    text: AttemptedText,
    needs_longer_encoding: bool,
    /// Tokens behind the sent begin of the text that were removed.
    removed: Vec<u32>,
}

impl FinalText {
    pub fn tokens(&self) -> &[u32] {
        &self.text.tokens
    }
}

impl<E> OpenWindow<E> {
    /// Whether its text is continued by a step of these windows.
    pub fn takes_part(&self, ids: &[WindowId]) -> bool {
        self.written.is_none() && ids.contains(&self.id)
    }

    /// The text of its attempts, which have ended. It begins with what was sent.
    pub fn select_text(&mut self, vocabulary: &Vocabulary) -> Result<FinalText, EngineError> {
        let (certain, task) = (&self.certain, &self.task);
        let fallback = &task.decoding.fallback;
        let mut texts = std::mem::take(&mut self.texts);
        let no_text = || EngineError::Batch("a window ended without a text".to_owned());
        texts.retain(|text| certain.begins(&text.tokens));
        let mut text = select_attempt(fallback, texts).ok_or_else(no_text)?;
        let needs_longer_encoding =
            certain.allows_longer_encoding() && text.needs_longer_encoding(fallback, task.length);
        let mut removed = Vec::new();
        if !needs_longer_encoding && certain.ends_text(&task.decoding, &text) {
            removed = text.tokens.split_off(certain.tokens().len());
            let quality = (text.temperature, self.opened.no_speech_prob);
            text = part(vocabulary, certain.tokens(), quality);
        }
        Ok(FinalText {
            text,
            needs_longer_encoding,
            removed,
        })
    }

    /// The tokens before the text in an alignment.
    pub fn alignment_start(&self, vocabulary: &Vocabulary) -> Vec<u32> {
        vocabulary.prompt(&PromptSpec {
            language: self.language.map(|detection| detection.language),
            task: self.task.prompt.task,
            timestamps: true,
            previous: Vec::new(),
        })
    }

    pub fn generation(&self, text: FinalText, alignment: Option<Alignment>) -> Generation {
        let FinalText {
            text,
            needs_longer_encoding,
            removed,
        } = text;
        Generation {
            needs_longer_encoding,
            tokens: text.tokens,
            language: self.language,
            quality: text.quality,
            temperature: text.temperature,
            alignment,
            removed,
        }
    }

    /// Keeps the text of the search that has ended.
    pub fn end_attempt(&mut self, vocabulary: &Vocabulary) {
        let text = self.search.clone().finish();
        let quality = (text.avg_logprob, self.opened.no_speech_prob);
        self.texts.push(AttemptedText::new(
            vocabulary,
            text.token_ids(),
            self.temperature,
            quality,
        ));
    }

    /// Extends what can be sent by what has become certain.
    pub fn extend_certain(&mut self, vocabulary: &Vocabulary) {
        let task = &self.task;
        if task.sent.is_none() || self.search.state() == State::Ended {
            return;
        }
        let spoken = self.language.map(|detection| detection.language);
        let context = PartContext {
            vocabulary,
            language: text_language(task.prompt.task, spoken),
            decoding: &task.decoding,
            length: task.length,
            no_speech_prob: self.opened.no_speech_prob,
        };
        self.certain.extend(&context, self.search.agreed());
    }

    /// The temperature of the next attempt; none if its texts are final.
    pub fn next_temperature(&self) -> Option<f32> {
        let task = &self.task;
        if !self.certain.allows_attempt(&self.texts.last()?.tokens) {
            return None;
        }
        next_temperature(
            &self.texts,
            &task.decoding,
            task.previous_attempt.as_ref(),
            task.length,
        )
    }

    /// Begins another attempt, behind the prompt and what was sent.
    pub fn begin_attempt<D: Decoder<Encoding = E>>(
        &mut self,
        decoder: &mut D,
        temperature: f32,
    ) -> Result<(), EngineError> {
        decoder.close(self.opened.slot);
        self.temperature = temperature;
        self.certain.begin_attempt();
        let attempt = AttemptStart {
            index: self.texts.len(),
            temperature,
            sent: self.certain.tokens(),
        };
        self.search = new_search(decoder.model(), &self.task, &self.prompt, &attempt)?;
        self.opened = decoder.open(&self.encoding, &with_sent(&self.prompt, &self.certain))?;
        Ok(())
    }
}

/// What a decoder reads before it writes.
pub(super) fn with_sent(prompt: &[u32], certain: &CertainText) -> Vec<u32> {
    let sent = certain.tokens().iter().map(|scored| scored.token);
    prompt.iter().copied().chain(sent).collect()
}
