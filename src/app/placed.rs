//! Where a model's engines run, and how: on the processor or on GPUs, with which number format.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::batch::Limits;
use crate::config::{ComputeType, DeviceChoice, Loaded, ModelTtl, Whisper};
use crate::engine::EngineFactory;
use crate::engine::ct2::{self, EngineSpec, Placement};
use crate::engine::memory::Dimensions;
use crate::features::Lengths;
use crate::models::{EngineFactoryBuilder, ModelPlan, StoredModel};
use crate::tokens::Vocabulary;

/// What a GPU's memory is sold in.
const GB: u64 = 1_000_000_000;
/// Most engines on a processor; each holds its own copy of the weights.
const MAX_CPU_ENGINES: usize = 4;

/// The settings of a model with where its engines run.
pub struct Placed {
    whisper: Whisper,
    placements: Vec<Placement>,
}

/// Finds out where the engines of a model with these settings run; `name_of` tells how the setting of a
/// path is written where it was set.
///
/// # Errors
/// [`AppError`] when this build or this machine cannot run models in that way.
pub fn placed(whisper: Whisper, name_of: impl Fn(&str) -> String) -> Result<Placed, AppError> {
    let placements = placements(&whisper, &name_of)?;
    if placements.iter().any(Placement::is_cpu) && !runs_on_cpu(whisper.compute_type) {
        return Err(AppError::ComputeType {
            name: name_of("whisper.compute_type"),
            compute_type: whisper.compute_type,
            reason: match whisper.inference_device {
                DeviceChoice::Cpu => "models run on the processor here",
                DeviceChoice::Auto | DeviceChoice::Cuda => no_cuda(),
            },
        });
    }
    Ok(Placed {
        whisper,
        placements,
    })
}

/// Where models without settings of their own run, for people.
///
/// # Errors
/// As [`placed`].
pub fn summary(loaded: &Loaded) -> Result<String, AppError> {
    let placed = placed(loaded.settings.whisper.clone(), |path| loaded.name_of(path))?;
    let compute_type = placed.whisper.compute_type;
    let engines = placed.placements.len();
    Ok(match placed.placements.first() {
        Some(Placement::Cpu { threads }) => format!(
            "processor ({}); engines: {engines}, threads of each: {threads}, number format: \
             {compute_type}",
            no_cuda()
        ),
        _ => {
            let gpus: Vec<_> = placed.placements.iter().map(Placement::to_string).collect();
            format!("{}; number format: {compute_type}", gpus.join(", "))
        }
    })
}

/// Whether models without settings of their own run on the processor.
pub fn is_on_processor(loaded: &Loaded) -> bool {
    let placed = placed(loaded.settings.whisper.clone(), |path| loaded.name_of(path));
    placed.is_ok_and(|placed| placed.placements.iter().all(Placement::is_cpu))
}

/// Whether this build's products on a processor know the number format.
fn runs_on_cpu(compute_type: ComputeType) -> bool {
    match compute_type {
        ComputeType::Default
        | ComputeType::Auto
        | ComputeType::Int8
        | ComputeType::Int8Float32
        | ComputeType::Float32 => true,
        ComputeType::Int8Float16
        | ComputeType::Int8Bfloat16
        | ComputeType::Int16
        | ComputeType::Float16
        | ComputeType::Bfloat16 => false,
    }
}

impl Placed {
    /// How the model is to be run.
    pub fn plan(&self, stored: &StoredModel) -> ModelPlan {
        let whisper = &self.whisper;
        let engine = |&placement: &Placement| -> Box<EngineFactoryBuilder> {
            let spec = self.spec(stored, placement);
            Box::new(move |vocabulary: &Arc<Vocabulary>| -> EngineFactory {
                ct2::factory(spec, Arc::clone(vocabulary))
            })
        };
        let weights = |&placement: &Placement| self.weights_bytes(stored, placement);
        let queue_capacity = whisper.max_queue_size.get();
        ModelPlan {
            engines: self.placements.iter().map(engine).collect(),
            limits: limits(whisper),
            queue_capacity,
            // Enough of one request's windows to fill a batch while the next is being prepared,
            // and never more than half of the queue.
            windows_in_flight: (2 * whisper.batch_size.get()).min((queue_capacity / 2).max(1)),
            lengths: self.lengths(stored),
            idle_time: match whisper.model_ttl {
                ModelTtl::Never => None,
                ModelTtl::After(idle_time) => Some(idle_time),
            },
            memory_bytes: self.placements.iter().map(weights).sum(),
        }
    }

    fn lengths(&self, stored: &StoredModel) -> Lengths {
        let (whisper, shape) = (&self.whisper, &stored.shape);
        if !whisper.length_aware {
            return Lengths::WHOLE;
        }
        let lengths = Lengths::new(whisper.length_margin_s, whisper.length_step_s);
        let head_width = shape.width / shape.heads.max(1);
        let mixes =
            |placement: &Placement| placement.supports_mixed_lengths(whisper.compute_type, head_width);
        if !self.placements.iter().all(mixes) {
            return lengths;
        }
        if self.placements.iter().all(Placement::is_cpu) {
            // Where windows are encoded one by one, no two need one length.
            return lengths.mixed().fine();
        }
        lengths.mixed()
    }

    fn spec(&self, stored: &StoredModel, placement: Placement) -> EngineSpec {
        let (whisper, shape) = (&self.whisper, &stored.shape);
        let bytes = placement.bytes_per_value(whisper.compute_type);
        EngineSpec {
            dir: stored.dir.clone(),
            placement,
            compute_type: whisper.compute_type,
            dimensions: Dimensions {
                width: shape.width as u64,
                heads: shape.heads as u64,
                decoder_layers: shape.decoder_layers as u64,
                vocabulary_size: shape.vocabulary_size,
                // A model that keeps its own types may be one of 32 bits.
                value_bytes: bytes.map_or(4, |(_, value)| value),
            },
            weights_bytes: self.weights_bytes(stored, placement),
            batch_size: limits(whisper).batch_size,
            beam_size: whisper.beam_size,
            memory_limit: (whisper.vram_limit_gb > 0).then(|| whisper.vram_limit_gb * GB),
            engines_on_gpu: self.engines_on(placement),
        }
    }

    /// How many engines a model has there.
    fn engines_on(&self, placement: Placement) -> NonZeroUsize {
        let same = self.placements.iter().filter(|&&other| other == placement);
        NonZeroUsize::new(same.count()).unwrap_or(NonZeroUsize::MIN)
    }

    /// What one engine's weights will take, in bytes.
    fn weights_bytes(&self, stored: &StoredModel, placement: Placement) -> u64 {
        match placement.bytes_per_value(self.whisper.compute_type) {
            Some((in_matrix, elsewhere)) => stored.shape.memory_bytes(in_matrix, elsewhere),
            None => stored.size_bytes,
        }
    }
}

/// Without batched mode every batch holds one window.
fn limits(whisper: &Whisper) -> Limits {
    let batch_size = if whisper.use_batched_mode {
        whisper.batch_size
    } else {
        NonZeroUsize::MIN
    };
    Limits {
        batch_size,
        window: Duration::from_millis(whisper.batch_window_ms),
    }
}

/// Why there is no GPU to run on.
pub fn no_cuda() -> &'static str {
    if cfg!(feature = "cuda") {
        "no CUDA device or driver was found"
    } else {
        "this build has no CUDA in it"
    }
}

/// What gives the program a GPU.
fn cuda_remedy() -> &'static str {
    if cfg!(feature = "cuda") {
        "install NVIDIA's driver (in a container: --gpus all)"
    } else {
        "take the image halkspeech:cuda or build with `make cuda`"
    }
}

/// One placement an engine.
fn placements(
    whisper: &Whisper,
    name_of: impl Fn(&str) -> String,
) -> Result<Vec<Placement>, AppError> {
    let gpus = ct2::cuda_devices();
    let wants_cuda = match whisper.inference_device {
        DeviceChoice::Cpu => false,
        DeviceChoice::Auto => gpus > 0,
        DeviceChoice::Cuda if gpus == 0 => {
            return Err(AppError::NoCuda {
                name: name_of("whisper.inference_device"),
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
        tracing::info!("models run on the processor: {}", no_cuda());
    }
    let cores = cores();
    let workers = match whisper.num_workers {
        0 => cores.min(MAX_CPU_ENGINES),
        workers => workers,
    };
    let threads = match whisper.cpu_threads {
        0 => (cores / workers).max(1),
        threads => threads,
    };
    Ok(vec![Placement::Cpu { threads }; workers])
}

/// Processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
