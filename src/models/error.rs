//! Why a model cannot be used.

use std::sync::Arc;
use std::time::Duration;

use super::files::SPEAKER_COMMAND;
use super::{HubError, ModelId, StoreError};
use halkspeech_audio::WeightsError;
use halkspeech_whisper::VocabularyError;
use halkspeech_whisper::engine::EngineError;

/// Why a model cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModelError {
    /// No complete model with this name is on disk.
    #[error("model {0} is not on disk")]
    NotFound(ModelId),
    /// It could not be downloaded.
    #[error("model {id} could not be downloaded")]
    Download {
        /// The model.
        id: ModelId,
        /// Why.
        #[source]
        source: Arc<HubError>,
    },
    /// It alone exceeds the memory limit of all models.
    #[error("model {id} needs about {needed} bytes of the {limit} that models may have")]
    TooLarge {
        /// The model.
        id: ModelId,
        /// Estimated size of its weights, in bytes.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It is on disk but could not be loaded.
    #[error("model {id} could not be loaded")]
    Load {
        /// The model.
        id: ModelId,
        /// Time until the next request loads it again.
        retry_in: Duration,
        /// Why.
        #[source]
        source: Arc<LoadError>,
    },
}

/// Why a model on disk could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its vocabulary could not be read.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// Its engine could not be created.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The loading panicked.
    #[error("loading panicked")]
    Panicked,
}

/// Why the networks of speaker diarization cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpeakerModelError {
    /// They are not on disk.
    #[error("the networks of speaker diarization are not on disk: {SPEAKER_COMMAND} installs them")]
    NotFound,
    /// They are on disk but could not be loaded.
    #[error("the networks of speaker diarization could not be loaded")]
    Load(#[source] Arc<WeightsError>),
    /// Their loading panicked.
    #[error("loading the networks of speaker diarization panicked")]
    Panicked,
}

/// Why a model is not unloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnloadError {
    /// It is not loaded.
    #[error("model {0} is not loaded")]
    NotLoaded(ModelId),
    /// A request uses it.
    #[error("model {0} is in use")]
    InUse(ModelId),
}

/// Why a model is not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// No complete model with this name is on disk.
    #[error("model {0} is not on disk")]
    NotFound(ModelId),
    /// A request uses it.
    #[error("model {0} is in use")]
    InUse(ModelId),
    /// It is being downloaded.
    #[error("model {0} is being downloaded")]
    Downloading(ModelId),
    /// Its files could not be removed.
    #[error("files of model {id} cannot be removed")]
    Store {
        /// The model.
        id: ModelId,
        /// Why.
        #[source]
        source: StoreError,
    },
}
