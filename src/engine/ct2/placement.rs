//! Where a model runs and in which numbers, in our words and in CTranslate2's.

use ct2rs::sys::{ComputeType as Ct2ComputeType, Config, Device, get_device_count};

use super::gemm::mixes_lengths;
use super::load_error;
use crate::config::ComputeType;
use crate::engine::EngineError;

/// Of the attention heads that our decoder on a card takes: that of every Whisper.
const HEAD_WIDTH: usize = 64;

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the processor, with this many threads.
    Cpu {
        /// Threads of one engine.
        threads: usize,
    },
    /// On the card with this index.
    Cuda {
        /// The CUDA device index.
        index: u32,
    },
}

/// Number of CUDA devices this build and this machine offer; 0 without a driver.
#[must_use]
pub fn cuda_devices() -> usize {
    if cfg!(feature = "cuda") {
        usize::try_from(get_device_count(Device::CUDA)).unwrap_or(0)
    } else {
        0
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu { .. } => f.write_str("cpu"),
            Self::Cuda { index } => write!(f, "cuda:{index}"),
        }
    }
}

impl Placement {
    /// Whether it is on the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu { .. })
    }

    /// What CTranslate2 wants to know of it.
    pub(super) fn config(self, compute_type: ComputeType) -> Result<Config, EngineError> {
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

    /// Whether windows of different lengths may share a batch, at no cost: where the decoder is ours.
    #[must_use]
    pub fn mixes_lengths(self, compute_type: ComputeType, head_width: usize) -> bool {
        match self {
            Self::Cpu { .. } => mixes_lengths(),
            Self::Cuda { .. } => {
                use ComputeType::{Auto, Float16, Int8Float16};
                head_width == HEAD_WIDTH && matches!(compute_type, Auto | Float16 | Int8Float16)
            }
        }
    }

    /// Bytes that a value takes in memory, of the matrices and of everything else; none where the
    /// model's own types are kept.
    #[must_use]
    pub fn bytes_per_value(self, compute_type: ComputeType) -> Option<(u64, u64)> {
        let float = match self {
            Self::Cpu { .. } => 4,
            Self::Cuda { .. } => 2,
        };
        match compute_type {
            ComputeType::Default => None,
            ComputeType::Auto => match self {
                Self::Cpu { .. } => Some((1, 4)),
                Self::Cuda { .. } => Some((2, 2)),
            },
            ComputeType::Int8 => Some((1, float)),
            ComputeType::Int8Float16 | ComputeType::Int8Bfloat16 => Some((1, 2)),
            ComputeType::Int8Float32 => Some((1, 4)),
            ComputeType::Int16 => Some((2, float)),
            ComputeType::Float16 | ComputeType::Bfloat16 => Some((2, 2)),
            ComputeType::Float32 => Some((4, 4)),
        }
    }
}

fn resolve(wanted: ComputeType, auto: Ct2ComputeType) -> Ct2ComputeType {
    match wanted {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_mixes_lengths_in_16_bit_floats_and_heads_of_a_whisper() {
        use ComputeType::{Auto, Bfloat16, Default, Float16, Float32, Int8, Int8Float16};
        let card = Placement::Cuda { index: 1 };
        for (compute_type, mixes) in [
            (Auto, true),
            (Float16, true),
            (Int8Float16, true),
            (Bfloat16, false),
            (Float32, false),
            // Their floats are those of the model's file.
            (Int8, false),
            (Default, false),
        ] {
            assert_eq!(card.mixes_lengths(compute_type, 64), mixes);
            assert!(!card.mixes_lengths(compute_type, 32));
        }
    }
}
