//! Between text and the ids that Whisper reads and writes.

pub mod language;
pub mod prompt;
mod text_bytes;
pub mod vocabulary;

pub use language::Language;
pub use prompt::{PREVIOUS_TOKENS, PromptSpec, Task};
pub use vocabulary::{Vocabulary, VocabularyError};

#[cfg(test)]
mod test_models;
