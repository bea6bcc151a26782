//! A window while its text is written: its attempts, one after the other.

use super::attempt_search::{AttemptStart, new_search};
use super::certain::{CertainText, PartContext, text_language};
use super::{WindowId, WindowTask};
use crate::Vocabulary;
use crate::engine::attempts::{AttemptedText, next_temperature};
use crate::engine::decoder::{Decoder, OpenedSlot};
use crate::engine::{EngineError, LanguageDetection};
use crate::search::{Search, State};

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
}

impl<E> OpenWindow<E> {
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
