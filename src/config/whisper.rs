//! The `[whisper]` settings: default model, devices, batches and queue.

use std::num::NonZeroUsize;
use std::time::Duration;

use halkspeech_whisper::engine::ComputeType;
use serde::{Deserialize, Serialize};

/// Models, engines and batches. Environment: `WHISPER__…`.
///
/// Some of these can be set for a single model:
/// [`ModelSettings`](super::ModelSettings).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whisper {
    /// The model that serves `whisper-1` and the other OpenAI names; if it is
    /// not set and `base` is not on disk, the only model on disk.
    ///
    /// Default `base`; environment `WHISPER__MODEL`, flag `--model`.
    /// `base` suits a small CPU, `large-v3-turbo` a GPU.
    pub model: String,

    /// The device that runs the model.
    ///
    /// Default `auto` (a GPU if there is one, else the CPU); environment
    /// `WHISPER__INFERENCE_DEVICE`. With `cuda` the server does not start
    /// without a GPU, instead of processing every request slowly.
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
    /// `WHISPER__COMPUTE_TYPE`. `default` keeps the model's stored format.
    pub compute_type: ComputeType,

    /// Threads of each engine on a CPU.
    ///
    /// Default 0 (the cores divided by the engines), at most 1,024;
    /// environment `WHISPER__CPU_THREADS`. Set it if the process may use fewer
    /// cores than the system reports.
    pub cpu_threads: usize,

    /// Engines on a CPU, which share one copy of the weights.
    ///
    /// Default 0 (chosen from the cores), at most 256; environment
    /// `WHISPER__NUM_WORKERS`. More engines help on a machine with many cores,
    /// because one engine gains little beyond four to eight threads.
    pub num_workers: usize,

    /// Whether windows of different requests may share a batch.
    ///
    /// Default true; environment `WHISPER__USE_BATCHED_MODE`. False runs one
    /// window at a time, which is useful only for comparisons.
    pub use_batched_mode: bool,

    /// The most windows that an engine writes at one time; on a GPU, the most in one batch.
    ///
    /// Default 8, 1 to 4,096; environment `WHISPER__BATCH_SIZE`. 8 to 16
    /// suit a CPU; on a GPU the memory is the limit.
    pub batch_size: NonZeroUsize,

    /// On a GPU, the longest time a window waits for others to fill its batch, in
    /// milliseconds; on a CPU no window waits.
    ///
    /// Default 20, 0 to 10,000; environment `WHISPER__BATCH_WINDOW_MS`. It
    /// adds latency under light load only; a longer wait fills the batches of
    /// many short requests better, 0 never waits.
    pub batch_window_ms: u64,

    /// The limit of an engine's GPU memory, including the weights, in GB
    /// (10^9 bytes).
    ///
    /// Default 0 (the free memory when the model is loaded), at most 10,000;
    /// environment `WHISPER__VRAM_LIMIT_GB`. A batch is split into calls that
    /// fit. Set it if other programs use the GPU too.
    pub vram_limit_gb: u64,

    /// Whether the default model is loaded before the server is ready.
    ///
    /// Default true; environment `WHISPER__PRELOAD_MODEL`. False starts
    /// faster and makes the first request wait. If the default model is not
    /// on disk, a warning is logged, and requests for it get 404 until it is
    /// downloaded; `auto_download` downloads it.
    pub preload_model: bool,

    /// Whether a requested model that is not on disk is downloaded first.
    ///
    /// Default false; environment `WHISPER__AUTO_DOWNLOAD`. True lets every
    /// caller fill the disk, so set `server.api_key` with it. Nothing is
    /// downloaded while `models.hub_offline` is true.
    pub auto_download: bool,

    /// The most windows in the queue; a request beyond it is refused with
    /// 429.
    ///
    /// Default 2048, 1 to 1,000,000; environment `WHISPER__MAX_QUEUE_SIZE`. A
    /// window needs about 1 MB. Choose the number of windows that the engines
    /// finish in the time a caller is willing to wait.
    pub max_queue_size: NonZeroUsize,

    /// The most concurrent requests; a further one is refused with 429. While
    /// other callers send requests, one caller (a key, or an address if there
    /// are no keys) has at most half of them.
    ///
    /// Default 256, 1 to 1,000,000; environment
    /// `WHISPER__MAX_CONCURRENT_REQUESTS`. Each keeps its decoded audio in
    /// memory, 230 MB per hour of audio; keep it well above the batch size.
    pub max_concurrent_requests: NonZeroUsize,

    /// How long an unused model stays loaded, in seconds.
    ///
    /// Default -1 (for ever); 0 unloads it after its last request; at most a
    /// year. Environment `WHISPER__MODEL_TTL` or `STT_MODEL_TTL`. Set it if
    /// other programs need the memory.
    pub model_ttl: ModelTtl,

    /// The most loaded models.
    ///
    /// Default 0 (no limit), at most 1,000; environment
    /// `WHISPER__MAX_LOADED_MODELS`. Beyond it the least recently used idle
    /// model is unloaded, and a request waits while all are in use. Set it if
    /// callers choose among more models than fit into memory.
    pub max_loaded_models: usize,

    /// The memory limit for the weights of all loaded models together, as
    /// estimated before loading, in MiB.
    ///
    /// Default 0 (no limit), at most 10,000,000; environment
    /// `WHISPER__MAX_LOADED_MIB`. Beyond it the least recently used idle
    /// model is unloaded, and a request waits while all are in use; a model
    /// above the limit by itself is refused. The engines need additional
    /// memory for computing.
    pub max_loaded_mib: u64,

    /// The beam size of the search, unless a request sets it.
    ///
    /// Default 5, 1 to 32; environment `WHISPER__BEAM_SIZE`. 5 is the
    /// reference implementation's; 1 (greedy) is faster and makes slightly
    /// more word errors.
    pub beam_size: NonZeroUsize,

    /// Whether only speech is transcribed, unless a request sets it.
    ///
    /// Default true; environment `WHISPER__VAD_FILTER`. Silence, noise and
    /// music are then left out; a model may write text for them that nobody
    /// said.
    pub vad_filter: bool,

    /// Whether the encoder processes a short window at its length, instead of
    /// padding it with silence to 30 s.
    ///
    /// Default true; environment `WHISPER__LENGTH_AWARE`. A text that looks
    /// wrong is generated again from 30 s.
    pub length_aware: bool,

    /// The minimum silence after a short window, in seconds.
    ///
    /// Default 1, 1 to 30; environment `WHISPER__LENGTH_MARGIN_S`. Of the
    /// further silence up to 30 s the encoder gets only samples. A window has
    /// at least 6 s including this silence.
    pub length_margin_s: usize,

    /// The lengths of short windows are multiples of this, in seconds.
    ///
    /// Default 2, 1 to 30; environment `WHISPER__LENGTH_STEP_S`. It matters
    /// where windows are encoded together, on a GPU; on CPUs without AVX2, and
    /// on a GPU in float formats other than `float16`, all windows of a batch
    /// have one such length. A smaller step pads less and batches less.
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
            batch_size: const { non_zero(8) },
            batch_window_ms: 20,
            vram_limit_gb: 0,
            preload_model: true,
            auto_download: false,
            max_queue_size: const { non_zero(2048) },
            max_concurrent_requests: const { non_zero(256) },
            model_ttl: ModelTtl::Never,
            max_loaded_models: 0,
            max_loaded_mib: 0,
            beam_size: const { non_zero(5) },
            vad_filter: true,
            length_aware: true,
            length_margin_s: 1,
            length_step_s: 2,
        }
    }
}

/// The device that runs a model.
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

/// How long an unused model stays loaded; written in seconds, -1 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum ModelTtl {
    /// It stays until the server ends.
    Never,
    /// It is unloaded this long after its last request; zero is immediately.
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

const fn non_zero(value: usize) -> NonZeroUsize {
    NonZeroUsize::new(value).expect("evaluated at compile time, for the defaults above")
}
