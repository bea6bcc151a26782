//! Engines that write texts token by token with the runner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use halkspeech_whisper::engine::decoder::{Decoder, EncoderInput};
use halkspeech_whisper::engine::{
    ComputeType, Engine, EngineError, EngineFactory, EnginePlan, WindowEngine,
};
use halkspeech_whisper::features::Features;
use halkspeech_whisper::{Vocabulary, engine::decoder::Encoder};

#[cfg(not(feature = "cuda-runner"))]
use crate::errors::load_error;
use crate::runner::RunnerModel;
use crate::{EngineSpec, Placement};

/// Frames of silence that an engine encodes before it counts as loaded.
const WARM_UP_FRAMES: usize = 100;

/// The weights of a model on each device, loaded by the device's first engine and shared by all of its engines.
#[derive(Clone, Default)]
pub struct SharedWeights(Arc<Mutex<HashMap<Device, Weak<RunnerModel>>>>);

/// The index of a GPU, or none for the CPU.
type Device = Option<u32>;

/// A factory of engines.
#[must_use]
pub fn factory(spec: EngineSpec, vocabulary: Arc<Vocabulary>) -> EngineFactory {
    Arc::new(move || {
        let threads = match spec.placement {
            Placement::Cpu { threads } => u32::try_from(threads).unwrap_or(1),
            Placement::Cuda { .. } => 1,
        };
        let model = spec.weights.load(&spec)?;
        model.check_vocabulary(&vocabulary)?;
        let threads = model.threads(threads);
        let mut encoder = model.encoder(&threads)?;
        let mut decoder = model.decoder(&threads)?;
        let n_mels = model.n_mels();
        let silence = Features {
            n_mels,
            frames: 0,
            values: Vec::new(),
        };
        let encodings = encoder.encode(&[EncoderInput {
            features: &silence,
            padded_frames: WARM_UP_FRAMES,
        }])?;
        if !spec.placement.is_cpu() {
            // A GPU reports errors of its kernels with the results of the decoder.
            let prompt = [vocabulary.sot(), vocabulary.no_timestamps()];
            for encoding in &encodings {
                let opened = decoder.open(encoding, &prompt)?;
                decoder.close(opened.slot);
            }
        }
        let plan = EnginePlan {
            device: spec.placement.to_string(),
            windows: spec.batch_size.get(),
            encoder_windows: 1,
            memory: None,
        };
        let engine =
            |plan| WindowEngine::new((encoder, decoder), Arc::clone(&vocabulary), n_mels, plan);
        let engine: Box<dyn Engine> = match spec.placement {
            Placement::Cpu { .. } => Box::new(engine(plan)),
            #[cfg(feature = "cuda-runner")]
            Placement::Cuda { index } => {
                let plan = plan_on_gpu(&spec, index, plan)?;
                let memory = move || crate::runner::cuda_memory(index).ok();
                Box::new(engine(plan).with_device_memory(memory))
            }
            #[cfg(not(feature = "cuda-runner"))]
            Placement::Cuda { .. } => return Err(load_error("this build has no CUDA support")),
        };
        Ok(engine)
    })
}

/// Plans the slots for the memory that is free after the weights were loaded.
#[cfg(feature = "cuda-runner")]
fn plan_on_gpu(spec: &EngineSpec, index: u32, plan: EnginePlan) -> Result<EnginePlan, EngineError> {
    use halkspeech_whisper::engine::PlannedMemory;
    use halkspeech_whisper::engine::memory::MemoryBudget;

    let memory = crate::runner::cuda_memory(index)?;
    // The engines share the weights, which are loaded.
    let share = memory.shared_by(spec.engines_on_gpu, 0);
    let weights = spec.weights_bytes;
    let budget = MemoryBudget::new(spec.dimensions, share, weights, spec.memory_limit);
    let (windows, bytes) = budget.slots(plan.windows, spec.beam_size.get());
    Ok(EnginePlan {
        windows,
        memory: Some(PlannedMemory {
            planned: weights + bytes,
            free: memory.free,
            total: memory.total,
            for_windows: budget.available(),
        }),
        ..plan
    })
}

impl SharedWeights {
    fn load(&self, spec: &EngineSpec) -> Result<Arc<RunnerModel>, EngineError> {
        let device = match spec.placement {
            Placement::Cpu { .. } => None,
            Placement::Cuda { index } => Some(index),
        };
        // A load that panicked has left nothing behind. One load at a time: each needs memory of the host.
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = loaded.get(&device).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let compute_type = match (spec.compute_type, spec.placement) {
            (ComputeType::Auto, Placement::Cpu { .. }) => ComputeType::Int8,
            (_, Placement::Cuda { .. }) => ComputeType::Float16,
            (other, _) => other,
        };
        let model = Arc::new(RunnerModel::load(&spec.dir, compute_type, spec.placement)?);
        loaded.insert(device, Arc::downgrade(&model));
        Ok(model)
    }
}

#[cfg(test)]
impl SharedWeights {
    /// Number of engines that use the weights on each device.
    pub fn users(&self) -> Vec<usize> {
        let loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.values().map(Weak::strong_count).collect()
    }
}

impl std::fmt::Debug for SharedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedWeights")
    }
}

/// Whether encodings of different lengths may share a step: always.
pub fn supports_mixed_lengths() -> bool {
    true
}
