//! Engines that write texts token by token with the runner.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use halkspeech_whisper::engine::decoder::EncoderInput;
use halkspeech_whisper::engine::{
    ComputeType, EngineError, EngineFactory, EnginePlan, WindowEngine,
};
use halkspeech_whisper::features::Features;
use halkspeech_whisper::{Vocabulary, engine::decoder::Encoder};

use crate::errors::load_error;
use crate::runner::RunnerModel;
use crate::{EngineSpec, Placement};

/// Frames of silence that an engine encodes before it counts as loaded.
const WARM_UP_FRAMES: usize = 100;

/// The weights of a model, loaded by its first engine and shared by all of them.
#[derive(Clone, Default)]
pub struct SharedWeights(Arc<Mutex<Weak<RunnerModel>>>);

/// A factory of engines.
#[must_use]
pub fn factory(spec: EngineSpec, vocabulary: Arc<Vocabulary>) -> EngineFactory {
    Arc::new(move || {
        let Placement::Cpu { threads } = spec.placement else {
            return Err(load_error("the runner supports no GPU yet"));
        };
        let threads = u32::try_from(threads).unwrap_or(1);
        let model = spec.weights.load(&spec)?;
        model.check_vocabulary(&vocabulary)?;
        let threads = model.threads(threads);
        let mut encoder = model.encoder(&threads)?;
        let decoder = model.decoder(&threads)?;
        let n_mels = model.n_mels();
        let silence = Features {
            n_mels,
            frames: 0,
            values: Vec::new(),
        };
        encoder.encode(&[EncoderInput {
            features: &silence,
            padded_frames: WARM_UP_FRAMES,
        }])?;
        let plan = EnginePlan {
            device: spec.placement.to_string(),
            windows: spec.batch_size.get(),
            encoder_windows: 1,
            memory: None,
        };
        let engine = WindowEngine::new((encoder, decoder), Arc::clone(&vocabulary), n_mels, plan);
        Ok(Box::new(engine))
    })
}

impl SharedWeights {
    fn load(&self, spec: &EngineSpec) -> Result<Arc<RunnerModel>, EngineError> {
        // A load that panicked has left nothing behind.
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = loaded.upgrade() {
            return Ok(model);
        }
        let compute_type = match spec.compute_type {
            ComputeType::Auto => ComputeType::Int8,
            other => other,
        };
        let model = Arc::new(RunnerModel::load(&spec.dir, compute_type)?);
        *loaded = Arc::downgrade(&model);
        Ok(model)
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
