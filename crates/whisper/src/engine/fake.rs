//! An engine without a model, for tests of queueing, overload and failures.

use std::sync::Arc;

use super::memory::DeviceMemory;
use super::{
    BatchKey, Engine, EngineError, EngineFactory, EngineInput, EnginePlan, Generation, Quality,
};

/// A fake engine's implementation of a batch.
pub type Behaviour =
    dyn Fn(&BatchKey, &[EngineInput<'_>]) -> Result<Vec<Generation>, EngineError> + Send + Sync;

/// Runs batches by calling a function; deterministic if the function is.
pub struct FakeEngine {
    behaviour: Arc<Behaviour>,
    /// Maximum number of windows in one call; reduced when it has run out of memory.
    max_windows: usize,
}

impl FakeEngine {
    /// A factory of engines with the same behaviour.
    pub fn factory(
        behaviour: impl Fn(&BatchKey, &[EngineInput<'_>]) -> Result<Vec<Generation>, EngineError>
        + Send
        + Sync
        + 'static,
    ) -> EngineFactory {
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        Arc::new(move || {
            Ok(Box::new(Self {
                behaviour: Arc::clone(&behaviour),
                max_windows: usize::MAX,
            }))
        })
    }

    /// A generation of these tokens, with default values otherwise.
    #[must_use]
    pub fn generation(tokens: Vec<u32>) -> Generation {
        Generation {
            tokens,
            language: None,
            quality: Quality {
                avg_logprob: -0.1,
                compression_ratio: 1.0,
                no_speech_prob: 0.0,
            },
            needs_longer_encoding: false,
            temperature: 0.0,
            alignment: None,
            removed: Vec::new(),
        }
    }
}

impl Engine for FakeEngine {
    fn n_mels(&self) -> usize {
        80
    }

    fn plan(&self) -> EnginePlan {
        EnginePlan {
            device: "none".to_owned(),
            windows: self.max_windows,
            encoder_windows: 1,
            memory: None,
        }
    }

    fn max_windows(&self, _key: &BatchKey, lengths: &[usize]) -> usize {
        self.max_windows.min(lengths.len())
    }

    fn reduce_budget(&mut self, _key: &BatchKey, lengths: &[usize]) {
        self.max_windows = (lengths.len() / 2).max(1);
    }

    fn device_memory(&self) -> Option<DeviceMemory> {
        None
    }

    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        for (index, generation) in (self.behaviour)(key, inputs)?.into_iter().enumerate() {
            answer(index, generation);
        }
        Ok(())
    }
}
