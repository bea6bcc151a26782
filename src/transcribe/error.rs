//! Why a request has no transcript.

use super::FrontEndPanicked;
use crate::audio::AudioError;
use crate::job::JobError;
use crate::models::{ModelError, ModelId};
use crate::queue::{QueueClosed, QueueFull};
use crate::tokens::Language;

/// Why a request has no transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeError {
    /// The model is absent or cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model does not know the language that was given.
    #[error("model {model} does not know {}", language.name())]
    UnknownLanguage {
        /// What was asked for.
        language: Language,
        /// The model.
        model: ModelId,
    },
    /// The model does not know a language that detection was to choose from.
    #[error("model {model} cannot detect {}", language.name())]
    UnknownCandidate {
        /// What was asked for.
        language: Language,
        /// The model.
        model: ModelId,
    },
    /// The queue has no place for a new request.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The audio cannot be used.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The time given is over.
    #[error("deadline passed")]
    DeadlinePassed,
    /// A window was not generated.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The model was unloaded meanwhile.
    #[error(transparent)]
    QueueClosed(#[from] QueueClosed),
    /// Decoding or the features panicked.
    #[error(transparent)]
    FrontEnd(#[from] FrontEndPanicked),
}
