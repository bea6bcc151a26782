//! The prompt of a window: the language, words to expect, and the previous text.

use super::window_transcript::WindowTranscript;
use super::{TranscribeError, TranscriptionOptions};
use crate::models::{LoadedModel, ModelId};
use halkspeech_whisper::{Language, MAX_PREVIOUS_TOKENS, PromptSpec, Vocabulary};

/// Above this temperature a text is too uncertain as a prompt (the reference's
/// `prompt_reset_on_temperature`).
const MAX_CONTINUED_TEMPERATURE: f32 = 0.5;

/// Maximum length of the end of a text that is tokenized: far more than [`MAX_PREVIOUS_TOKENS`] tokens of
/// any language. Tokenizing the whole text would take seconds for some texts.
const MAX_PROMPT_BYTES: usize = 8 * 1024;

pub(super) fn check_languages(
    model: &LoadedModel,
    id: &ModelId,
    options: &TranscriptionOptions,
) -> Result<(), TranscribeError> {
    let unknown = |language: &&Language| !model.vocabulary.languages().contains(language);
    let model = || id.clone();
    if let Some(&language) = options.language.iter().find(unknown) {
        return Err(TranscribeError::UnknownLanguage {
            language,
            model: model(),
        });
    }
    match options.candidates.iter().find(unknown) {
        Some(&language) => Err(TranscribeError::UnknownCandidate {
            language,
            model: model(),
        }),
        None => Ok(()),
    }
}

/// The language, if it is known without detection.
pub(super) fn language(
    vocabulary: &Vocabulary,
    options: &TranscriptionOptions,
) -> Option<Language> {
    let only = (!vocabulary.is_multilingual()).then_some(Language::ENGLISH);
    options.language.or(only)
}

/// Tokens of the hotwords and the prompt, of which the last ones are kept.
pub(super) fn previous_tokens(vocabulary: &Vocabulary, options: &TranscriptionOptions) -> Vec<u32> {
    tokens_before(options, |text| vocabulary.encode_prompt_text(text))
}

fn tokens_before(options: &TranscriptionOptions, encode: impl Fn(&str) -> Vec<u32>) -> Vec<u32> {
    let texts = [&options.hotwords, &options.prompt].into_iter().flatten();
    let mut tokens: Vec<u32> = texts.flat_map(|text| encode(end_of(text))).collect();
    keep_last(&mut tokens);
    tokens
}

fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(MAX_PROMPT_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// Adds a window's text to the prompt of the next one, unless it is too uncertain.
pub(super) fn continue_with(prompt: &mut PromptSpec, transcribed: &WindowTranscript) {
    if transcribed.temperature > MAX_CONTINUED_TEMPERATURE {
        prompt.previous.clear();
    } else {
        prompt.previous.extend_from_slice(&transcribed.tokens);
        keep_last(&mut prompt.previous);
    }
}

pub(super) fn keep_last(tokens: &mut Vec<u32>) {
    tokens.drain(..tokens.len().saturating_sub(MAX_PREVIOUS_TOKENS));
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn only_the_end_of_a_prompt_is_tokenized() {
        let options = TranscriptionOptions {
            hotwords: Some("h".repeat(1 << 20)),
            prompt: Some("p".repeat(1 << 20)),
            ..TranscriptionOptions::default()
        };
        let encoded = RefCell::new(Vec::new());
        let tokens = tokens_before(&options, |text| {
            encoded
                .borrow_mut()
                .push((text[..1].to_owned(), text.len()));
            vec![7; 1_000]
        });
        let end = |text: &str| (text.to_owned(), MAX_PROMPT_BYTES);
        assert_eq!(encoded.take(), [end("h"), end("p")]);
        assert_eq!(tokens, [7; MAX_PREVIOUS_TOKENS]);
    }

    #[test]
    fn the_end_of_a_long_text_is_kept_in_whole_characters() {
        assert_eq!(end_of("Willoughby."), "Willoughby.");
        // Three bytes per character, and the limit is not a multiple of three.
        let long = "\u{20ac}".repeat(MAX_PROMPT_BYTES);
        let end = end_of(&long);
        assert_eq!(end.len(), MAX_PROMPT_BYTES / 3 * 3);
        assert!(long.ends_with(end));
    }
}
