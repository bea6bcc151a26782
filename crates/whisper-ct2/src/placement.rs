//! The device and the number formats of a model, converted to CTranslate2's configuration.

#[cfg(feature = "generate")]
use crate::generate::supports_mixed_lengths;
#[cfg(not(feature = "generate"))]
use crate::runner_engine::supports_mixed_lengths;
use halkspeech_whisper::engine::ComputeType;

/// Width of the attention heads that the project's decoder on a GPU supports: that of every Whisper.
const HEAD_WIDTH: usize = 64;

/// The device that a model runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The CPU.
    Cpu {
        /// Threads of one engine.
        threads: usize,
    },
    /// A GPU.
    Cuda {
        /// The CUDA device index.
        index: u32,
    },
}

/// Whether this build supports GPUs.
pub const HAS_CUDA: bool = cfg!(any(feature = "cuda", feature = "cuda-runner"));

/// Whether the engines of a model on one device share its weights.
pub const SHARES_WEIGHTS: bool = cfg!(not(feature = "generate"));

/// Whether windows enter and leave an engine one by one, which live sessions need.
pub const IS_CONTINUOUS: bool = cfg!(not(feature = "generate"));

/// Number of CUDA devices that this build can use on this machine; 0 without a driver.
#[must_use]
pub fn cuda_devices() -> usize {
    count_devices()
}

#[cfg(feature = "cuda-runner")]
fn count_devices() -> usize {
    crate::runner::cuda_devices()
}

#[cfg(feature = "cuda")]
fn count_devices() -> usize {
    use ct2rs::sys::{Device, get_device_count};

    usize::try_from(get_device_count(Device::CUDA)).unwrap_or(0)
}

#[cfg(not(any(feature = "cuda", feature = "cuda-runner")))]
fn count_devices() -> usize {
    0
}

/// Whether a build whose GPUs are used by the runner computes in this number format on them: in 16-bit floats only.
const fn is_runner_gpu_type(compute_type: ComputeType) -> bool {
    matches!(
        compute_type,
        ComputeType::Auto | ComputeType::Default | ComputeType::Float16
    )
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
    /// Whether it is the CPU.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu { .. })
    }

    /// Whether this build computes in this number format there.
    #[must_use]
    pub fn supports(self, compute_type: ComputeType) -> bool {
        match self {
            Self::Cpu { .. } => matches!(
                compute_type,
                ComputeType::Default
                    | ComputeType::Auto
                    | ComputeType::Int8
                    | ComputeType::Int8Float32
                    | ComputeType::Float32
            ),
            Self::Cuda { .. } => !cfg!(feature = "cuda-runner") || is_runner_gpu_type(compute_type),
        }
    }

    /// Whether windows of different lengths may share a batch without cost: with the project's own decoder.
    #[must_use]
    pub fn supports_mixed_lengths(self, compute_type: ComputeType, head_width: usize) -> bool {
        match self {
            Self::Cpu { .. } => supports_mixed_lengths(),
            // A model with other heads is not loaded.
            Self::Cuda { .. } if cfg!(feature = "cuda-runner") => true,
            Self::Cuda { .. } => {
                use ComputeType::{Auto, Float16, Int8Float16};
                head_width == HEAD_WIDTH && matches!(compute_type, Auto | Float16 | Int8Float16)
            }
        }
    }

    /// Bytes of a value in matrices and elsewhere; none if the model's own types are kept.
    #[must_use]
    pub fn bytes_per_value(self, compute_type: ComputeType) -> Option<(u64, u64)> {
        let float = match self {
            Self::Cpu { .. } => 4,
            Self::Cuda { .. } => 2,
        };
        if cfg!(feature = "cuda-runner") && !self.is_cpu() {
            return Some((2, 2));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "cuda-runner")]
    fn the_runner_computes_in_16_bit_floats_on_a_gpu() {
        use ComputeType::{Auto, Default, Float16, Int8, Int8Float16};
        let gpu = Placement::Cuda { index: 0 };
        for compute_type in [Auto, Default, Float16] {
            assert!(gpu.supports(compute_type));
            assert_eq!(gpu.bytes_per_value(compute_type), Some((2, 2)));
        }
        assert!(!gpu.supports(Int8) && !gpu.supports(Int8Float16));
        assert!(gpu.supports_mixed_lengths(Auto, 64));
    }

    #[test]
    #[cfg(not(feature = "cuda-runner"))]
    fn a_gpu_supports_mixed_lengths_with_16_bit_floats_and_heads_of_width_64() {
        use ComputeType::{Auto, Bfloat16, Default, Float16, Float32, Int8, Int8Float16};
        let gpu = Placement::Cuda { index: 1 };
        for (compute_type, is_supported) in [
            (Auto, true),
            (Float16, true),
            (Int8Float16, true),
            (Bfloat16, false),
            (Float32, false),
            // Their floats have the format of the model's file.
            (Int8, false),
            (Default, false),
        ] {
            assert_eq!(gpu.supports_mixed_lengths(compute_type, 64), is_supported);
            assert!(!gpu.supports_mixed_lengths(compute_type, 32));
        }
    }
}
