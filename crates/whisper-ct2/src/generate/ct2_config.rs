//! The device and the number formats of a model, converted to CTranslate2's configuration.

use ct2rs::sys::{ComputeType as Ct2ComputeType, Config, Device};
use halkspeech_whisper::engine::{ComputeType, EngineError};

use crate::Placement;
use crate::errors::load_error;

impl Placement {
    /// CTranslate2's configuration for it.
    ///
    /// # Errors
    /// [`EngineError::Load`] if the index of the GPU is too large.
    pub fn config(self, compute_type: ComputeType) -> Result<Config, EngineError> {
        Ok(match self {
            Self::Cpu { threads } => Config {
                device: Device::CPU,
                compute_type: resolve(compute_type, Ct2ComputeType::INT8),
                num_threads_per_replica: threads,
                ..Config::default()
            },
            Self::Cuda { index } => Config {
                device: Device::CUDA,
                compute_type: resolve(compute_type, Ct2ComputeType::FLOAT16),
                device_indices: vec![i32::try_from(index).map_err(load_error)?],
                ..Config::default()
            },
        })
    }
}

fn resolve(compute_type: ComputeType, auto: Ct2ComputeType) -> Ct2ComputeType {
    match compute_type {
        ComputeType::Auto => auto,
        ComputeType::Default => Ct2ComputeType::DEFAULT,
        ComputeType::Int8 => Ct2ComputeType::INT8,
        ComputeType::Int8Float16 => Ct2ComputeType::INT8_FLOAT16,
        ComputeType::Int8Bfloat16 => Ct2ComputeType::INT8_BFLOAT16,
        ComputeType::Int8Float32 => Ct2ComputeType::INT8_FLOAT32,
        ComputeType::Int16 => Ct2ComputeType::INT16,
        ComputeType::Float16 => Ct2ComputeType::FLOAT16,
        ComputeType::Bfloat16 => Ct2ComputeType::BFLOAT16,
        ComputeType::Float32 => Ct2ComputeType::FLOAT32,
    }
}
