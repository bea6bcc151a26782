//! Chooses the device, number and number format of a model's engines.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::batch::BatchLimits;
use crate::config::{DeviceChoice, LoadedSettings, ModelTtl, Whisper};
use crate::models::{EngineFactoryBuilder, ModelPlan, SlotMemory, StoredModel};
use halkspeech_whisper::Vocabulary;
use halkspeech_whisper::engine::EngineFactory;
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::features::WindowLengths;
use halkspeech_whisper_ct2::{EngineSpec, HAS_CUDA, Placement, SHARES_WEIGHTS, SharedWeights};

pub use halkspeech_whisper_ct2::IS_CONTINUOUS;

const GB: u64 = 1_000_000_000;
/// Up to this number of cores each has an engine of its own by default; more cores are shared in pairs.
const CORES_WITH_OWN_ENGINE: usize = 4;

/// The settings of a model with the devices of its engines.
pub struct EngineLayout {
    whisper: Whisper,
    placements: Vec<Placement>,
}

/// Chooses the devices for a model with these settings; `setting_name` returns the name by which the
/// user set the setting at a path.
///
/// # Errors
/// [`AppError`] if this build or this machine cannot run models with these settings.
pub fn engine_layout(
    whisper: Whisper,
    setting_name: impl Fn(&str) -> String,
) -> Result<EngineLayout, AppError> {
    let placements = placements(&whisper, &setting_name)?;
    let compute_type = whisper.compute_type;
    if let Some(placement) = placements
        .iter()
        .find(|placement| !placement.supports(compute_type))
    {
        let name = setting_name("whisper.compute_type");
        if !placement.is_cpu() {
            return Err(AppError::GpuComputeType { name, compute_type });
        }
        return Err(AppError::ComputeType {
            name,
            compute_type,
            reason: match whisper.inference_device {
                DeviceChoice::Cpu => "models run on the CPU here",
                DeviceChoice::Auto | DeviceChoice::Cuda => no_cuda(),
            },
        });
    }
    Ok(EngineLayout {
        whisper,
        placements,
    })
}

/// A readable summary of the devices of models without settings of their own.
///
/// # Errors
/// As [`engine_layout`].
pub fn summary(loaded: &LoadedSettings) -> Result<String, AppError> {
    let layout = default_layout(loaded)?;
    let compute_type = layout.whisper.compute_type;
    let engines = layout.placements.len();
    Ok(match layout.placements.first() {
        Some(Placement::Cpu { threads }) => format!(
            "CPU ({}); engines: {engines}, threads of each: {threads}, number format: {compute_type}",
            no_cuda()
        ),
        _ => {
            let gpus: Vec<_> = layout.placements.iter().map(Placement::to_string).collect();
            format!("{}; number format: {compute_type}", gpus.join(", "))
        }
    })
}

/// Whether models without settings of their own run on the CPU.
pub fn is_on_cpu(loaded: &LoadedSettings) -> bool {
    default_layout(loaded).is_ok_and(|layout| layout.placements.iter().all(Placement::is_cpu))
}

fn default_layout(loaded: &LoadedSettings) -> Result<EngineLayout, AppError> {
    engine_layout(loaded.settings.whisper.clone(), |path| {
        loaded.setting_name(path)
    })
}

impl EngineLayout {
    /// How the model runs.
    pub fn plan(&self, stored: &StoredModel) -> ModelPlan {
        let whisper = &self.whisper;
        let shared = SharedWeights::default();
        let engine = |&placement: &Placement| -> Box<EngineFactoryBuilder> {
            let spec = self.spec(stored, placement, &shared);
            Box::new(move |vocabulary: &Arc<Vocabulary>| -> EngineFactory {
                halkspeech_whisper_ct2::factory(spec, Arc::clone(vocabulary))
            })
        };
        let weights = |&placement: &Placement| self.weights_bytes(stored, placement);
        let queue_capacity = whisper.max_queue_size.get();
        let memory_bytes: u64 = self.with_own_weights().map(weights).sum();
        let memory = super::memory::limit_bytes().unwrap_or(u64::MAX);
        let dimensions = self
            .placements
            .first()
            .map(|first| self.dimensions(stored, *first));
        ModelPlan {
            engines: self.placements.iter().map(engine).collect(),
            limits: limits(whisper),
            slots: SlotMemory {
                dimensions: dimensions.unwrap_or_default(),
                limit: memory.saturating_sub(memory_bytes),
            },
            queue_capacity,
            // Enough windows of one request to fill a batch while the next one is prepared, and
            // never more than half of the queue.
            windows_in_flight: (2 * whisper.batch_size.get()).min((queue_capacity / 2).max(1)),
            lengths: self.lengths(stored),
            idle_time: match whisper.model_ttl {
                ModelTtl::Never => None,
                ModelTtl::After(idle_time) => Some(idle_time),
            },
            memory_bytes,
        }
    }

    fn lengths(&self, stored: &StoredModel) -> WindowLengths {
        let (whisper, shape) = (&self.whisper, &stored.shape);
        if !whisper.length_aware {
            return WindowLengths::FULL;
        }
        let lengths = WindowLengths::new(whisper.length_margin_s, whisper.length_step_s);
        let head_width = shape.width / shape.heads.max(1);
        let mixes = |placement: &Placement| {
            placement.supports_mixed_lengths(whisper.compute_type, head_width)
        };
        if !self.placements.iter().all(mixes) {
            return lengths;
        }
        if self.placements.iter().all(Placement::is_cpu) {
            // A CPU encodes windows one by one, so they need no common length.
            return lengths.with_mixed_batches().with_fine_steps();
        }
        lengths.with_mixed_batches()
    }

    fn spec(
        &self,
        stored: &StoredModel,
        placement: Placement,
        weights: &SharedWeights,
    ) -> EngineSpec {
        let whisper = &self.whisper;
        EngineSpec {
            dir: stored.dir.clone(),
            placement,
            compute_type: whisper.compute_type,
            dimensions: self.dimensions(stored, placement),
            weights_bytes: self.weights_bytes(stored, placement),
            batch_size: limits(whisper).batch_size,
            beam_size: whisper.beam_size,
            memory_limit: (whisper.vram_limit_gb > 0).then(|| whisper.vram_limit_gb * GB),
            engines_on_gpu: self.engines_on(placement),
            weights: weights.clone(),
        }
    }

    fn dimensions(&self, stored: &StoredModel, placement: Placement) -> Dimensions {
        let shape = &stored.shape;
        let bytes = placement.bytes_per_value(self.whisper.compute_type);
        Dimensions {
            width: shape.width as u64,
            heads: shape.heads as u64,
            decoder_layers: shape.decoder_layers as u64,
            vocabulary_size: shape.vocabulary_size,
            // A model that keeps its stored types may use 32 bits.
            value_bytes: bytes.map_or(4, |(_, value)| value),
        }
    }

    /// The engines that have weights of their own.
    fn with_own_weights(&self) -> impl Iterator<Item = &Placement> {
        let engines = self.placements.iter().enumerate();
        let engines = engines.filter(move |(index, placement)| {
            !SHARES_WEIGHTS || !self.placements[..*index].contains(placement)
        });
        engines.map(|(_, placement)| placement)
    }

    /// The number of the model's engines on a device.
    fn engines_on(&self, placement: Placement) -> NonZeroUsize {
        let same = self.placements.iter().filter(|&&other| other == placement);
        NonZeroUsize::new(same.count()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Memory of one engine's weights, in bytes.
    fn weights_bytes(&self, stored: &StoredModel, placement: Placement) -> u64 {
        match placement.bytes_per_value(self.whisper.compute_type) {
            Some((in_matrix, elsewhere)) => stored.shape.memory_bytes(in_matrix, elsewhere),
            None => stored.size_bytes,
        }
    }
}

/// The batch limits; without batched mode every batch holds one window.
fn limits(whisper: &Whisper) -> BatchLimits {
    let batch_size = if whisper.use_batched_mode {
        whisper.batch_size
    } else {
        NonZeroUsize::MIN
    };
    BatchLimits {
        batch_size,
        window: Duration::from_millis(whisper.batch_window_ms),
    }
}

/// Why no GPU is available.
pub fn no_cuda() -> &'static str {
    if HAS_CUDA {
        "no CUDA device or driver was found"
    } else {
        "this build has no CUDA support"
    }
}

/// How to make a GPU available.
fn cuda_remedy() -> &'static str {
    if HAS_CUDA {
        "install NVIDIA's driver (in a container: --gpus all)"
    } else {
        "use the image halkspeech:cuda or build with `make cuda`"
    }
}

/// The placement of each engine.
fn placements(
    whisper: &Whisper,
    setting_name: impl Fn(&str) -> String,
) -> Result<Vec<Placement>, AppError> {
    let gpus = halkspeech_whisper_ct2::cuda_devices();
    let wants_cuda = match whisper.inference_device {
        DeviceChoice::Cpu => false,
        DeviceChoice::Auto => gpus > 0,
        DeviceChoice::Cuda if gpus == 0 => {
            return Err(AppError::NoCuda {
                name: setting_name("whisper.inference_device"),
                reason: no_cuda(),
                remedy: cuda_remedy(),
            });
        }
        DeviceChoice::Cuda => true,
    };
    if wants_cuda {
        return Ok(whisper
            .device_index
            .iter()
            .map(|&index| Placement::Cuda { index })
            .collect());
    }
    if whisper.inference_device == DeviceChoice::Auto {
        tracing::info!("models run on the CPU: {}", no_cuda());
    }
    let cores = cores();
    let workers = match whisper.num_workers {
        0 => default_cpu_engines(cores),
        workers => workers,
    };
    let threads = match whisper.cpu_threads {
        0 => (cores / workers).max(1),
        threads => threads,
    };
    Ok(vec![Placement::Cpu { threads }; workers])
}

/// Engines of a model on a CPU by default. An engine of one thread does the most work for its core, and a request alone
/// is faster in an engine of two.
fn default_cpu_engines(cores: usize) -> usize {
    cores.min(CORES_WITH_OWN_ENGINE.max(cores / 2))
}

/// CPU cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_follow_the_cores() {
        let engines = [1, 2, 4, 7, 8, 32, 64].map(default_cpu_engines);
        assert_eq!(engines, [1, 2, 4, 4, 4, 16, 32]);
    }
}
