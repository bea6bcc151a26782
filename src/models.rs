//! Models: found on disk, named, loaded once, unloaded when idle.

mod aliases;
mod id;
mod loaded;
mod store;

pub use aliases::Aliases;
pub use id::{InvalidModelId, ModelId};
pub use loaded::{Lease, Load, LoadedModel, LoadedModels, ModelError};
pub use store::{Store, StoredModel};
