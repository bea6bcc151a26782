//! Writes the texts of any windows at once. A window enters at any time, takes part in every step with its own options,
//! and leaves at its own end: there is no batch that has to end together (continuous batching: Orca, OSDI 2022).
//!
//! Pure but for its decoder: the caller decides when windows enter and when a step is made.

mod attempt_search;
mod certain;
mod open_window;

use std::sync::Arc;

use super::attempts::{WindowLength, select_attempt};
use super::decoder::{Decoder, SlotRow, TextToAlign};
use super::{
    Attempt, DecodingOptions, EngineError, GenerateOptions, Generation, LanguageDetection,
    RandomSeed,
};
use crate::search::{ScoredToken, State, Token};
use crate::words::times_from_path;
use crate::{Alignment, Language, PromptSpec, Vocabulary};
use attempt_search::{AttemptStart, new_search};
use certain::{CertainText, part};
use open_window::{OpenWindow, with_sent};

/// Identifies a window to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowId(pub u64);

/// A window whose text is to be written.
#[derive(Clone, Debug)]
pub struct WindowTask {
    /// Its length.
    pub length: WindowLength,
    /// Its audio in frames.
    pub audio_frames: usize,
    /// The prompt; without a language, it is detected.
    pub prompt: PromptSpec,
    /// Options of the search.
    pub options: GenerateOptions,
    /// Languages, fallback and alignment.
    pub decoding: Arc<DecodingOptions>,
    /// The rejected attempt with a shorter encoding, if there was one.
    pub previous_attempt: Option<Attempt>,
    /// Seed of the random numbers of all its attempts.
    pub random_seed: RandomSeed,
    /// The begin of its text that its caller has received; none if its text is not sent before it is final.
    pub sent: Option<Vec<ScoredToken>>,
}

/// A window and its encoding.
#[derive(Debug)]
pub struct EncodedWindow<E> {
    /// The caller's number of it.
    pub id: WindowId,
    /// What is to be written.
    pub task: WindowTask,
    /// The encoder's output.
    pub encoding: E,
}

/// The texts that are being written by one decoder.
pub struct Writer<D: Decoder> {
    decoder: D,
    vocabulary: Arc<Vocabulary>,
    windows: Vec<OpenWindow<D::Encoding>>,
}

impl<D: Decoder> Writer<D> {
    /// A writer without windows.
    pub fn new(decoder: D, vocabulary: Arc<Vocabulary>) -> Self {
        Self {
            decoder,
            vocabulary,
            windows: Vec::new(),
        }
    }

    /// Number of windows whose texts are being written.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows.len()
    }

    /// Number of rows of the next step.
    #[must_use]
    pub fn rows(&self) -> usize {
        let rows = self.windows.iter().map(|window| window.search.rows().len());
        rows.sum()
    }

    /// The certain begin of a window's text in its current attempt; none if it is not being written.
    #[must_use]
    pub fn agreed(&self, id: WindowId) -> Option<&[ScoredToken]> {
        let window = self.windows.iter().find(|window| window.id == id)?;
        Some(window.search.agreed())
    }

    /// The begin of a window's text that can be sent: whole words on which its hypotheses agree and which the rules
    /// of attempts do not reject. It only grows, and the final text begins with it. None if the window is not being
    /// written; empty if its text is not sent before it is final.
    #[must_use]
    pub fn certain(&self, id: WindowId) -> Option<&[ScoredToken]> {
        let window = self.windows.iter().find(|window| window.id == id)?;
        Some(window.certain.tokens())
    }

    /// Detects the languages that are not given, and opens the windows for writing.
    ///
    /// # Errors
    /// [`EngineError`]: none of these windows was opened; the others go on.
    pub fn open(&mut self, windows: Vec<EncodedWindow<D::Encoding>>) -> Result<(), EngineError> {
        let languages = self.languages(&windows)?;
        let before = self.windows.len();
        for (window, language) in windows.into_iter().zip(languages) {
            if let Err(error) = self.open_window(window, language) {
                for opened in self.windows.drain(before..) {
                    self.decoder.close(opened.opened.slot);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes one step for all windows, and returns those whose text is final.
    ///
    /// # Errors
    /// [`EngineError`]: the windows can only be closed.
    pub fn step(&mut self) -> Result<Vec<(WindowId, Generation)>, EngineError> {
        let rows = self.windows.iter().flat_map(|window| {
            let slot = window.opened.slot;
            window
                .search
                .rows()
                .iter()
                .map(move |row| SlotRow { slot, row })
        });
        let rows: Vec<SlotRow<'_>> = rows.collect();
        if !rows.is_empty() {
            let candidates = self.decoder.step(&rows)?;
            let mut rest = candidates.as_slice();
            for window in &mut self.windows {
                let count = window.search.rows().len().min(rest.len());
                let (own, others) = rest.split_at(count);
                rest = others;
                window.search.advance(own).map_err(batch_error)?;
                window.extend_certain(&self.vocabulary);
            }
        }
        self.end_searches()
    }

    /// Ends a window without a text: its caller has left. No error if it is not being written.
    pub fn close(&mut self, id: WindowId) {
        if let Some(index) = self.windows.iter().position(|window| window.id == id) {
            let window = self.windows.swap_remove(index);
            self.decoder.close(window.opened.slot);
        }
    }

    /// Ends all windows without a text, after an error.
    pub fn close_all(&mut self) -> Vec<WindowId> {
        let windows = std::mem::take(&mut self.windows);
        let close = |window: OpenWindow<_>| {
            self.decoder.close(window.opened.slot);
            window.id
        };
        windows.into_iter().map(close).collect()
    }

    /// The language of each window: the given one, or the most probable of its candidates.
    fn languages(
        &mut self,
        windows: &[EncodedWindow<D::Encoding>],
    ) -> Result<Vec<Option<LanguageDetection>>, EngineError> {
        let is_unknown =
            |window: &&EncodedWindow<D::Encoding>| window.task.prompt.language.is_none();
        let unknown = windows.iter().filter(is_unknown);
        let unknown: Vec<&D::Encoding> = unknown.map(|window| &window.encoding).collect();
        let mut detected = if unknown.is_empty() || !self.vocabulary.is_multilingual() {
            Vec::new()
        } else {
            self.decoder.detect_languages(&unknown)?
        }
        .into_iter();
        let language = |window: &EncodedWindow<D::Encoding>| match window.task.prompt.language {
            Some(language) => Some(LanguageDetection {
                language,
                probability: 1.0,
            }),
            None => {
                let probabilities = detected.next()?;
                let candidates = &window.task.decoding.candidates;
                most_probable(&self.vocabulary, &probabilities, candidates)
            }
        };
        Ok(windows.iter().map(language).collect())
    }

    fn open_window(
        &mut self,
        window: EncodedWindow<D::Encoding>,
        language: Option<LanguageDetection>,
    ) -> Result<(), EngineError> {
        let EncodedWindow { id, task, encoding } = window;
        let prompt = self.vocabulary.prompt(&PromptSpec {
            language: language.map(|detection| detection.language),
            ..task.prompt.clone()
        });
        let temperature = task.options.temperature;
        let certain = CertainText::new(task.sent.as_deref().unwrap_or_default());
        let first = AttemptStart {
            index: 0,
            temperature,
            sent: certain.tokens(),
        };
        let search = new_search(self.decoder.model(), &task, &prompt, &first)?;
        let opened = (self.decoder).open(&encoding, &with_sent(&prompt, &certain))?;
        self.windows.push(OpenWindow {
            id,
            task,
            encoding,
            language,
            prompt,
            texts: Vec::new(),
            temperature,
            opened,
            search,
            certain,
        });
        Ok(())
    }

    /// Ends the attempts whose search has ended: another one begins, or the window leaves.
    fn end_searches(&mut self) -> Result<Vec<(WindowId, Generation)>, EngineError> {
        let mut final_texts = Vec::new();
        let mut index = 0;
        while let Some(window) = self.windows.get_mut(index) {
            if window.search.state() == State::Open {
                index += 1;
                continue;
            }
            window.end_attempt(&self.vocabulary);
            let slot = window.opened.slot;
            match window.next_temperature() {
                Some(temperature) => {
                    window.begin_attempt(&mut self.decoder, temperature)?;
                    index += 1;
                }
                None => {
                    let window = self.windows.remove(index);
                    self.decoder.close(slot);
                    let id = window.id;
                    final_texts.push((id, self.generation(window)?));
                }
            }
        }
        Ok(final_texts)
    }

    /// The result of a window whose attempts have ended.
    fn generation(&mut self, window: OpenWindow<D::Encoding>) -> Result<Generation, EngineError> {
        let OpenWindow {
            task,
            encoding,
            language,
            mut texts,
            certain,
            opened,
            ..
        } = window;
        let fallback = &task.decoding.fallback;
        let no_text = || EngineError::Batch("a window ended without a text".to_owned());
        texts.retain(|text| certain.begins(&text.tokens));
        let mut text = select_attempt(fallback, texts).ok_or_else(no_text)?;
        let needs_longer_encoding =
            certain.allows_longer_encoding() && text.needs_longer_encoding(fallback, task.length);
        let mut removed = Vec::new();
        if !needs_longer_encoding && certain.ends_text(&task.decoding, &text) {
            removed = text.tokens.split_off(certain.tokens().len());
            let quality = (text.temperature, opened.no_speech_prob);
            text = part(&self.vocabulary, certain.tokens(), quality);
        }
        let alignment = if task.decoding.align {
            Some(self.align(&task, &encoding, language, &text.tokens)?)
        } else {
            None
        };
        Ok(Generation {
            needs_longer_encoding,
            tokens: text.tokens,
            language,
            quality: text.quality,
            temperature: text.temperature,
            alignment,
            removed,
        })
    }

    fn align(
        &mut self,
        task: &WindowTask,
        encoding: &D::Encoding,
        language: Option<LanguageDetection>,
        tokens: &[u32],
    ) -> Result<Alignment, EngineError> {
        let start = self.vocabulary.prompt(&PromptSpec {
            language: language.map(|detection| detection.language),
            task: task.prompt.task,
            timestamps: true,
            previous: Vec::new(),
        });
        let end_of_text = self.vocabulary.eot();
        let is_text = |token: &u32| *token < end_of_text;
        let tokens: Vec<u32> = tokens.iter().copied().filter(is_text).collect();
        let text = TextToAlign {
            start: &start,
            tokens: &tokens,
            frames: task.audio_frames,
        };
        let aligned = self.decoder.align(encoding, &text)?;
        Ok(Alignment {
            starts_s: times_from_path(aligned.path.into_iter(), tokens.len()),
            probabilities: aligned.probabilities,
            tokens,
        })
    }
}

/// The most probable of the candidates, of all languages if there are none.
fn most_probable(
    vocabulary: &Vocabulary,
    probabilities: &[(Token, f32)],
    candidates: &[Language],
) -> Option<LanguageDetection> {
    let all = vocabulary.languages().iter().copied();
    let allowed = all.filter(|known| candidates.is_empty() || candidates.contains(known));
    let detections = allowed.filter_map(|language| {
        let token = vocabulary.language_token(language)?;
        let known = probabilities.iter().find(|(other, _)| *other == token)?;
        Some(LanguageDetection {
            language,
            probability: known.1,
        })
    });
    detections.max_by(|a, b| a.probability.total_cmp(&b.probability))
}

fn batch_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Batch(error.to_string())
}

#[cfg(test)]
mod tests;
