//! Forms batches of waiting jobs: which jobs may share one, when it is sent, and the task that sends it.

mod batcher;
mod pending;
mod policy;

pub use batcher::{Batch, Batcher, EngineSlot};
pub use pending::{Arrival, Pending};
pub use policy::{
    BatchLimits, Decision, HYPOTHESES_PER_WINDOW, HypothesisCount, PolicyInput, decide,
};
