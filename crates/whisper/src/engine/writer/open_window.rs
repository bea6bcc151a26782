//! A window of a writer, and the rules of its attempts.

use super::attempt_search::new_search;
use super::{WindowId, WindowTask};
use crate::engine::attempts::{AttemptedText, next_temperature, select_attempt};
use crate::engine::decoder::{Decoder, OpenedSlot};
use crate::engine::{EngineError, Generation, LanguageDetection};
use crate::search::Search;
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
    /// The complete text, which waits to be aligned.
    pub written: Option<AttemptedText>,
}

impl<E> OpenWindow<E> {
    /// Whether its text is continued by a step of these windows.
    pub fn takes_part(&self, ids: &[WindowId]) -> bool {
        self.written.is_none() && ids.contains(&self.id)
    }

    /// The text of its attempts, which have ended.
    pub fn select_text(&mut self) -> Result<AttemptedText, EngineError> {
        let texts = std::mem::take(&mut self.texts);
        let no_text = || EngineError::Batch("a window ended without a text".to_owned());
        select_attempt(&self.task.decoding.fallback, texts).ok_or_else(no_text)
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

    pub fn generation(&self, text: AttemptedText, alignment: Option<Alignment>) -> Generation {
        let fallback = &self.task.decoding.fallback;
        Generation {
            needs_longer_encoding: text.needs_longer_encoding(fallback, self.task.length),
            tokens: text.tokens,
            language: self.language,
            quality: text.quality,
            temperature: text.temperature,
            alignment,
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

    pub fn next_temperature(&self) -> Option<f32> {
        let task = &self.task;
        next_temperature(
            &self.texts,
            &task.decoding,
            task.previous_attempt.as_ref(),
            task.length,
        )
    }

    /// Begins another attempt, behind the prompt.
    pub fn begin_attempt<D: Decoder<Encoding = E>>(
        &mut self,
        decoder: &mut D,
        temperature: f32,
    ) -> Result<(), EngineError> {
        decoder.close(self.opened.slot);
        let attempt = self.texts.len() as u64;
        self.temperature = temperature;
        self.search = new_search(
            decoder.model(),
            &self.task,
            &self.prompt,
            temperature,
            attempt,
        )?;
        self.opened = decoder.open(&self.encoding, &self.prompt)?;
        Ok(())
    }
}
