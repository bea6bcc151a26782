//! Errors of a transcription.

use super::{FrontEndPanicked, ReferenceError};
use crate::caller::AudioQuotaExceeded;
use crate::job::JobError;
use crate::models::{ModelError, ModelId, SpeakerModelError};
use crate::queue::{NoPlace, QueueClosed, QueueFull, TooLate};
use halkspeech_audio::AudioError;
use halkspeech_whisper::Language;

/// Why a request has no transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeError {
    /// The model is absent or cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The networks of speaker diarization are absent or cannot be loaded.
    #[error(transparent)]
    SpeakerModel(#[from] SpeakerModelError),
    /// The reference of a known speaker cannot be used.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The model does not support the language that was given.
    #[error("model {model} does not know {}", language.name())]
    UnknownLanguage {
        /// The requested language.
        language: Language,
        /// The model.
        model: ModelId,
    },
    /// The model does not support a candidate language for detection.
    #[error("model {model} cannot detect {}", language.name())]
    UnknownCandidate {
        /// The requested candidate.
        language: Language,
        /// The model.
        model: ModelId,
    },
    /// The model's engines run whole batches, in which no text can be continued.
    #[error("model {model} runs in batches, which live transcription cannot use")]
    NoLiveEngine {
        /// The model.
        model: ModelId,
    },
    /// The queue has no permit for a new request.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The windows that wait would take longer than until the deadline.
    #[error(transparent)]
    TooLate(#[from] TooLate),
    /// The caller has sent as much audio as it may.
    #[error(transparent)]
    AudioQuota(#[from] AudioQuotaExceeded),
    /// The audio cannot be used.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The deadline passed.
    #[error("deadline passed")]
    DeadlinePassed,
    /// A window was not generated.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The model was unloaded before the request was complete.
    #[error(transparent)]
    QueueClosed(#[from] QueueClosed),
    /// Decoding, speech detection or the features panicked.
    #[error(transparent)]
    FrontEnd(#[from] FrontEndPanicked),
}

impl From<NoPlace> for TranscribeError {
    fn from(error: NoPlace) -> Self {
        match error {
            NoPlace::Full(error) => Self::QueueFull(error),
            NoPlace::TooLate(error) => Self::TooLate(error),
            NoPlace::Closed(error) => Self::QueueClosed(error),
        }
    }
}
