//! What the model is told before a window: languages it must know, words to expect, text so far.

use super::hearing::Heard;
use super::{TranscribeError, Wishes};
use crate::models::{LoadedModel, ModelId};
use crate::tokens::{Language, MAX_PREVIOUS_TOKENS, PromptSpec, Vocabulary};

/// Above this temperature a text is too uncertain to be continued (the reference's
/// `prompt_reset_on_temperature`).
const MAX_CONTINUED_TEMPERATURE: f32 = 0.5;

/// The end of a text that can matter: far more than [`MAX_PREVIOUS_TOKENS`] tokens of any language. What is
/// in front would be turned into tokens only to be left out, which takes seconds for some texts.
const MAX_PROMPT_BYTES: usize = 8 * 1024;

pub(super) fn check_languages(
    model: &LoadedModel,
    id: &ModelId,
    wishes: &Wishes,
) -> Result<(), TranscribeError> {
    let unknown = |language: &&Language| !model.vocabulary.languages().contains(language);
    let model = || id.clone();
    if let Some(&language) = wishes.language.iter().find(unknown) {
        return Err(TranscribeError::UnknownLanguage {
            language,
            model: model(),
        });
    }
    match wishes.candidates.iter().find(unknown) {
        Some(&language) => Err(TranscribeError::UnknownCandidate {
            language,
            model: model(),
        }),
        None => Ok(()),
    }
}

/// The language that is known before anything was heard.
pub(super) fn language(vocabulary: &Vocabulary, wishes: &Wishes) -> Option<Language> {
    let only = (!vocabulary.is_multilingual()).then_some(Language::ENGLISH);
    wishes.language.or(only)
}

/// Hotwords first, then the prompt, whose end is the one that is kept.
pub(super) fn previous_tokens(vocabulary: &Vocabulary, wishes: &Wishes) -> Vec<u32> {
    tokens_before(wishes, |text| vocabulary.encode_prompt_text(text))
}

fn tokens_before(wishes: &Wishes, encode: impl Fn(&str) -> Vec<u32>) -> Vec<u32> {
    let texts = [&wishes.hotwords, &wishes.prompt].into_iter().flatten();
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

/// What was heard becomes the text before the next window, unless it is too uncertain.
pub(super) fn continue_with(prompt: &mut PromptSpec, heard: &Heard) {
    if heard.temperature > MAX_CONTINUED_TEMPERATURE {
        prompt.previous.clear();
    } else {
        prompt.previous.extend_from_slice(&heard.tokens);
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
    fn no_more_of_a_prompt_becomes_tokens_than_its_end() {
        let wishes = Wishes {
            hotwords: Some("h".repeat(1 << 20)),
            prompt: Some("p".repeat(1 << 20)),
            ..Wishes::default()
        };
        let encoded = RefCell::new(Vec::new());
        let tokens = tokens_before(&wishes, |text| {
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
        // Three bytes a character, and the bound is no multiple of three.
        let long = "\u{20ac}".repeat(MAX_PROMPT_BYTES);
        let end = end_of(&long);
        assert_eq!(end.len(), MAX_PROMPT_BYTES / 3 * 3);
        assert!(long.ends_with(end));
    }
}
