//! Why a model cannot be used.

use std::sync::Arc;
use std::time::Duration;

use super::{HubError, ModelId, StoreError};
use crate::engine::EngineError;
use crate::tokens::VocabularyError;

/// Why a model cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModelError {
    /// No whole model with this name is on disk.
    #[error("model {0} is not on disk")]
    NotFound(ModelId),
    /// It was to be downloaded first, and could not be.
    #[error("model {id} could not be downloaded")]
    Download {
        /// The model.
        id: ModelId,
        /// What the hub said.
        #[source]
        source: Arc<HubError>,
    },
    /// It alone needs more memory than all models together may have.
    #[error("model {id} needs about {needed} bytes of the {limit} that models may have")]
    TooLarge {
        /// The model.
        id: ModelId,
        /// What its weights would take, in bytes.
        needed: u64,
        /// The bound, in bytes.
        limit: u64,
    },
    /// It is on disk, but does not run.
    #[error("model {id} could not be loaded")]
    Load {
        /// The model.
        id: ModelId,
        /// How long until a request has it tried again.
        retry_in: Duration,
        /// What went wrong.
        #[source]
        source: Arc<LoadError>,
    },
}

/// Why a model on disk could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its vocabulary cannot be read.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyError),
    /// Its engine cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The loading panicked.
    #[error("loading panicked")]
    Panicked,
}

/// Why a model is not unloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnloadError {
    /// It is not in memory.
    #[error("model {0} is not loaded")]
    NotLoaded(ModelId),
    /// Requests use it.
    #[error("model {0} is in use")]
    InUse(ModelId),
}

/// Why a model is not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// No whole model with this name is on disk.
    #[error("model {0} is not on disk")]
    NotFound(ModelId),
    /// Requests use it.
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
        /// What went wrong.
        #[source]
        source: StoreError,
    },
}
