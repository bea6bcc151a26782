//! The engine on CTranslate2: all C++ and CUDA code, and the unsafe code that calls it.
//!
//! [`factory`] makes engines for the [`Engine`](halkspeech_whisper::engine::Engine) trait. There are two ways, one of
//! which is compiled: the runner in `cpp/runner` writes texts token by token on CTranslate2's public headers, on a CPU
//! and with the feature `cuda-runner` on GPUs; with the feature `generate`, which the feature `cuda` includes,
//! CTranslate2's own search generates batches, and some of its functions are replaced when a program is linked
//! (`unreplaced_functions`).

#[cfg(all(feature = "generate", feature = "cuda-runner"))]
compile_error!("the features `generate` (also of `cuda`) and `cuda-runner` exclude each other");

mod errors;
#[cfg(feature = "generate")]
mod generate;
mod placement;
#[cfg(not(feature = "generate"))]
mod runner;
#[cfg(not(feature = "generate"))]
mod runner_engine;
#[cfg(not(feature = "generate"))]
mod threads;
#[cfg(all(test, target_arch = "x86_64"))]
#[path = "../../../tests/fixtures/fetched_files.rs"]
mod fetched_files;

// Links CTranslate2, whose functions the runner calls from C++ only.
use ct2rs as _;

use std::num::NonZeroUsize;
use std::path::PathBuf;

#[cfg(feature = "generate")]
pub use generate::{GemmFailed, SharedWeights, create_kernels, factory, unreplaced_functions};
use halkspeech_whisper::engine::ComputeType;
use halkspeech_whisper::engine::memory::Dimensions;
pub use placement::{HAS_CUDA, IS_CONTINUOUS, Placement, SHARES_WEIGHTS, cuda_devices};
#[cfg(not(feature = "generate"))]
pub use runner_engine::{SharedWeights, factory};

/// The version of CTranslate2.
pub const CTRANSLATE2_VERSION: &str = env!("HALKSPEECH_CTRANSLATE2");

/// The model and the settings of an engine.
#[derive(Clone, Debug)]
pub struct EngineSpec {
    /// The model's folder.
    pub dir: PathBuf,
    /// The device it runs on.
    pub placement: Placement,
    /// The number formats it computes with.
    pub compute_type: ComputeType,
    /// The sizes that its memory use depends on.
    pub dimensions: Dimensions,
    /// Estimated size of its weights, in bytes.
    pub weights_bytes: u64,
    /// Maximum number of windows in a batch.
    pub batch_size: NonZeroUsize,
    /// Default number of beams.
    pub beam_size: NonZeroUsize,
    /// Limit on its GPU memory including the weights, in bytes.
    pub memory_limit: Option<u64>,
    /// Number of engines of the model on its GPU, including itself.
    pub engines_on_gpu: NonZeroUsize,
    /// The weights, which all engines of the model share.
    pub weights: SharedWeights,
}
