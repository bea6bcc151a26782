//! The response object of an engine's plan.

use serde::Serialize;
use utoipa::ToSchema;

use halkspeech_whisper::engine::EnginePlan;

/// How one engine of a model runs batches of 30 s windows; bytes are of GPU memory.
#[derive(Serialize, ToSchema)]
#[schema(as = EnginePlan)]
pub struct EnginePlanResponse {
    /// `cpu`, or a GPU such as `cuda:0`.
    device: String,
    /// Windows per batch.
    windows: usize,
    /// Windows per call of the encoder.
    encoder_windows: usize,
    /// Estimated memory of a batch.
    #[schema(required)]
    planned_bytes: Option<u64>,
    /// Free memory when the plan was made.
    #[schema(required)]
    free_bytes: Option<u64>,
    /// Total memory of the GPU.
    #[schema(required)]
    total_bytes: Option<u64>,
}

impl From<EnginePlan> for EnginePlanResponse {
    fn from(plan: EnginePlan) -> Self {
        let memory = plan.memory;
        Self {
            device: plan.device,
            windows: plan.windows,
            encoder_windows: plan.encoder_windows,
            planned_bytes: memory.map(|memory| memory.planned),
            free_bytes: memory.map(|memory| memory.free),
            total_bytes: memory.map(|memory| memory.total),
        }
    }
}
