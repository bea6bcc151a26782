//! The `[whisper]` settings: which model runs, on what, in batches of what size.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How windows are batched and generated. Environment: `WHISPER__…`.
///
/// A model may have some of these for itself:
/// [`ModelSettings`](super::ModelSettings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whisper {
    /// The model that serves `whisper-1` and the other OpenAI names; where
    /// nothing sets it and `base` is not on disk, the only model on disk.
    ///
    /// Default `base`; environment `WHISPER__MODEL`, flag `--model`.
    /// `base` suits a small CPU, `large-v3-turbo` a GPU.
    pub model: String,

    /// What runs the model.
    ///
    /// Default `auto` (a GPU if there is one, else the CPU); environment
    /// `WHISPER__INFERENCE_DEVICE`. Write `cuda` where a missing GPU should
    /// stop the start instead of making every request slow.
    pub inference_device: DeviceChoice,

    /// The GPUs to use, by number; one engine runs on each.
    ///
    /// Default `[0]`; environment `WHISPER__DEVICE_INDEX` (`0`, `0,1` or
    /// `[0,1]`). A number listed twice puts a second copy of the weights on
    /// that GPU. Ignored on a CPU.
    pub device_index: Vec<u32>,

    /// The number format of weights and arithmetic.
    ///
    /// Default `auto` (`int8` on a CPU, `float16` on a GPU); environment
    /// `WHISPER__COMPUTE_TYPE`. `default` keeps the model's own.
    pub compute_type: ComputeType,

    /// Threads of each engine on a CPU.
    ///
    /// Default 0 (the cores are shared out among the engines), at most 1,024;
    /// environment `WHISPER__CPU_THREADS`. Set it where the process may use
    /// fewer cores than the machine shows.
    pub cpu_threads: usize,

    /// Engines on a CPU, each with its own copy of the weights.
    ///
    /// Default 0 (chosen from the cores), at most 256; environment
    /// `WHISPER__NUM_WORKERS`. More of them help a machine with many cores,
    /// since one engine gains little beyond four to eight threads.
    pub num_workers: usize,

    /// Whether windows of different requests may share a batch.
    ///
    /// Default true; environment `WHISPER__USE_BATCHED_MODE`. False runs one
    /// window after the other, which is good only for comparing.
    pub use_batched_mode: bool,

    /// Windows in one batch, at most.
    ///
    /// Default 8, 1 to 4,096; environment `WHISPER__BATCH_SIZE`. 8 to 16
    /// suit a CPU; on a GPU its memory is the bound.
    pub batch_size: NonZeroUsize,

    /// The longest time a window waits for company, in milliseconds.
    ///
    /// Default 20, 0 to 10,000; environment `WHISPER__BATCH_WINDOW_MS`. It is
    /// added latency under light load only; more of it fills the batches of
    /// many short requests, 0 never waits.
    pub batch_window_ms: u64,

    /// The most that an engine may take of a card's memory, weights included,
    /// in GB (10^9 bytes).
    ///
    /// Default 0 (what is free when the model is loaded), at most 10,000;
    /// environment `WHISPER__VRAM_LIMIT_GB`. The batch is cut into as many
    /// calls as fit. Set it where others use the card too.
    pub vram_limit_gb: u64,

    /// Whether the default model is loaded before the server is ready.
    ///
    /// Default true; environment `WHISPER__PRELOAD_MODEL`. False starts
    /// faster and makes the first request wait. A default model that is not
    /// on disk is a warning, and requests for it get 404 until it is there:
    /// download it, or set `auto_download`.
    pub preload_model: bool,

    /// Whether a model that a request names and that is not on disk is
    /// downloaded first.
    ///
    /// Default false; environment `WHISPER__AUTO_DOWNLOAD`. True lets every
    /// caller fill the disk, so set `server.api_key` with it. Nothing is
    /// downloaded while `models.hub_offline` is true.
    pub auto_download: bool,

    /// Windows waiting for an engine, at most; beyond it a new request is
    /// refused with 429.
    ///
    /// Default 2048, 1 to 1,000,000; environment `WHISPER__MAX_QUEUE_SIZE`. A
    /// window holds about 1 MB. Take the windows the engines finish in the
    /// time a caller will wait.
    pub max_queue_size: NonZeroUsize,

    /// Requests inside the server at one time, at most; beyond it a new one
    /// is refused with 429. While others ask, one caller (a key, or an address
    /// where there are no keys) has half of them at most.
    ///
    /// Default 256, 1 to 1,000,000; environment
    /// `WHISPER__MAX_CONCURRENT_REQUESTS`. Each holds its decoded audio, 230
    /// MB an hour of it; keep it well above the batch size.
    pub max_concurrent_requests: NonZeroUsize,

    /// How long an unused model stays loaded, in seconds.
    ///
    /// Default -1 (for ever); 0 unloads it after its last request; at most a
    /// year. Environment `WHISPER__MODEL_TTL` or `STT_MODEL_TTL`. Set it
    /// where the memory has other users.
    pub model_ttl: ModelTtl,

    /// Models in memory at one time, at most.
    ///
    /// Default 0 (no bound), at most 1,000; environment
    /// `WHISPER__MAX_LOADED_MODELS`. Beyond it the least recently used idle
    /// model is unloaded, and a request waits while all are in use. Set it
    /// where callers choose among more models than fit.
    pub max_loaded_models: usize,

    /// Memory of the weights of all loaded models together, as estimated
    /// before loading, in MiB, at most.
    ///
    /// Default 0 (no bound), at most 10,000,000; environment
    /// `WHISPER__MAX_LOADED_MIB`. Beyond it the least recently used idle
    /// model is unloaded, and a request waits while all are in use; a model
    /// that needs more than this alone is refused. Leave room beside it for
    /// what the engines compute with.
    pub max_loaded_mib: u64,

    /// Beams of the search, where a request names none.
    ///
    /// Default 5, 1 to 32; environment `WHISPER__BEAM_SIZE`. 5 is what the
    /// reference uses; 1 (greedy) generates faster and gets a word more wrong
    /// here and there.
    pub beam_size: NonZeroUsize,

    /// Whether only speech is given to the model, where a request does not
    /// say it.
    ///
    /// Default true; environment `WHISPER__VAD_FILTER`. Silence, noise and
    /// music are then left out, for which a model writes text that nobody
    /// said.
    pub vad_filter: bool,

    /// Whether the encoder is given a short window as it is, instead of 30 s
    /// of it and silence.
    ///
    /// Default true; environment `WHISPER__LENGTH_AWARE`. A text that looks
    /// wrong is generated again from 30 s.
    pub length_aware: bool,

    /// Silence behind a short window, at least, in seconds.
    ///
    /// Default 1, 1 to 30; environment `WHISPER__LENGTH_MARGIN_S`. Of what
    /// follows it up to 30 s the encoder is given a few moments. A window has
    /// 6 s with it, at least.
    pub length_margin_s: usize,

    /// What the length of a short window is a multiple of, in seconds.
    ///
    /// Default 2, 1 to 30; environment `WHISPER__LENGTH_STEP_S`. For where
    /// windows go through the encoder together, on a GPU; on processors without
    /// AVX2, and on a GPU in other floats than `float16`, a batch has one such
    /// length. A smaller step pads less and shares less.
    pub length_step_s: usize,
}

impl Default for Whisper {
    fn default() -> Self {
        Self {
            model: "base".to_owned(),
            inference_device: DeviceChoice::Auto,
            device_index: vec![0],
            compute_type: ComputeType::Auto,
            cpu_threads: 0,
            num_workers: 0,
            use_batched_mode: true,
            batch_size: const { above_zero(8) },
            batch_window_ms: 20,
            vram_limit_gb: 0,
            preload_model: true,
            auto_download: false,
            max_queue_size: const { above_zero(2048) },
            max_concurrent_requests: const { above_zero(256) },
            model_ttl: ModelTtl::Never,
            max_loaded_models: 0,
            max_loaded_mib: 0,
            beam_size: const { above_zero(5) },
            vad_filter: true,
            length_aware: true,
            length_margin_s: 1,
            length_step_s: 2,
        }
    }
}

/// What runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs; without one the server does not start.
    Cuda,
}

/// The number format of weights and arithmetic, in CTranslate2's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeType {
    /// The model's own.
    Default,
    /// The fastest one the device has.
    Auto,
    /// 8-bit weights, the rest in the device's usual type.
    Int8,
    /// 8-bit weights, the rest 16-bit floats.
    Int8Float16,
    /// 8-bit weights, the rest brain floats.
    Int8Bfloat16,
    /// 8-bit weights, the rest 32-bit floats.
    Int8Float32,
    /// 16-bit integers.
    Int16,
    /// 16-bit floats.
    Float16,
    /// Brain floats.
    Bfloat16,
    /// 32-bit floats.
    Float32,
}

impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Auto => "auto",
            Self::Int8 => "int8",
            Self::Int8Float16 => "int8_float16",
            Self::Int8Bfloat16 => "int8_bfloat16",
            Self::Int8Float32 => "int8_float32",
            Self::Int16 => "int16",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
        })
    }
}

/// How long an unused model stays loaded; written in seconds, -1 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum ModelTtl {
    /// It stays until the server ends.
    Never,
    /// It is unloaded this long after its last request; zero is at once.
    After(Duration),
}

impl From<i64> for ModelTtl {
    fn from(seconds: i64) -> Self {
        u64::try_from(seconds).map_or(Self::Never, |seconds| {
            Self::After(Duration::from_secs(seconds))
        })
    }
}

impl From<ModelTtl> for i64 {
    fn from(ttl: ModelTtl) -> Self {
        match ttl {
            ModelTtl::Never => -1,
            ModelTtl::After(duration) => i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

const fn above_zero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).expect("evaluated at compile time, for the defaults above")
}
