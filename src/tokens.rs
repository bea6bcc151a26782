//! Conversion between text and Whisper's tokens.

pub mod language;
pub mod prompt;
pub mod segments;
mod special;
mod text_bytes;
pub mod vocabulary;
pub mod words;

pub use language::Language;
pub use prompt::{MAX_PREVIOUS_TOKENS, PromptSpec, Task};
pub use segments::{Segments, TimedTokens, segments};
pub use vocabulary::{TOKENIZER_FILE, Vocabulary, VocabularyError};
pub use words::{Alignment, TimedWords, Word, times_from_path, words};

#[cfg(test)]
pub mod test_models;
