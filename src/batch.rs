//! From waiting jobs to batches: what may share one, when it leaves, who sends it.

mod batcher;
mod key;
mod pending;
mod policy;

pub use batcher::{Batch, Batcher, EngineSlot};
pub use key::{BatchKey, GenerateOptions};
pub use pending::{Pending, Standing};
pub use policy::{Decision, Limits, Situation, Weigh, decide};
