//! Models: found on disk, downloaded, loaded within a budget, unloaded when idle.

mod id;
mod aliases;
pub mod files;
mod shape;
mod store;
mod catalog;
mod hub;
mod downloads;
mod load;
mod loaded;
mod speaker_networks;
mod error;

#[cfg(test)]
#[path = "../tests/fixtures/model_files.rs"]
pub(crate) mod test_files;

pub use aliases::{Aliases, DefaultModel, ModelLookup};
pub use catalog::Catalog;
pub use downloads::{Download, Downloads};
pub use error::{DeleteError, LoadError, ModelError, SpeakerModelError, UnloadError};
pub use hub::{DownloadProgress, DownloadSummary, Hub, HubError, HubSettings};
pub use id::{InvalidModelId, ModelId};
pub use load::{EngineFactoryBuilder, LoadedModel, ModelPlan, SlotMemory};
pub use loaded::{
    LoadedModelInfo, LoadedModels, LoadedModelsConfig, ModelBudget, ModelLease, ModelPlanner,
};
pub use shape::{ModelShape, ShapeError, WeightType};
pub use speaker_networks::SpeakerNetworks;
pub use store::{Store, StoreError, StoredModel, StoredSpeakerModel};
