//! Models: found on disk, downloaded, loaded within a budget, unloaded when idle.

mod id;
mod aliases;
mod shape;
mod store;
mod catalog;
mod hub;
mod downloads;
mod load;
mod loaded;
mod error;

#[cfg(test)]
#[path = "../tests/fixtures/model_files.rs"]
pub(crate) mod test_files;

pub use aliases::{Aliases, DefaultModel, OnDisk};
pub use catalog::Catalog;
pub use downloads::{Download, Downloads};
pub use error::{DeleteError, LoadError, ModelError, UnloadError};
pub use hub::{Downloaded, Hub, HubError, HubSettings, Progress};
pub use id::{InvalidModelId, ModelId};
pub use load::{LoadedModel, MakeFactory, Plan};
pub use loaded::{Budget, InMemory, Lease, LoadedModels, MakePlan, Setup};
pub use shape::{Shape, ShapeError, WeightType};
pub use store::{Store, StoreError, StoredModel};
