//! Whisper without its network: log-mel features, vocabulary, prompts and languages; segments and words
//! from generated tokens; and the interface of the engines that run the network.
//!
//! Pure computation: no clock, no environment, no async runtime.
#![forbid(unsafe_code)]

pub mod features;
mod language;
mod prompt;
pub mod search;
mod segments;
mod special;
mod text_bytes;
mod vocabulary;
mod words;
pub mod engine;

pub use language::Language;
pub use prompt::{MAX_PREVIOUS_TOKENS, PromptSpec, Task};
pub use segments::{Segments, TimedTokens, segments};
pub use vocabulary::{TOKENIZER_FILE, Vocabulary, VocabularyError};
pub use words::{
    Alignment, TimedWords, Word, WrittenWord, times_from_path, whole_words, words, written_words,
};

#[cfg(test)]
#[path = "../../../tests/fixtures/fetched_files.rs"]
mod fetched_files;
#[cfg(test)]
mod test_models;
