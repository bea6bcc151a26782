//! Finds the bad job in a failing batch: halves it until only that job fails.

use super::{Engine, EngineError, Generation, Input};
use crate::batch::BatchKey;

/// Runs a batch so that one bad job never fails its neighbours; one result an input.
pub fn generate_each(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[Input<'_>],
) -> Vec<Result<Generation, EngineError>> {
    match engine.generate(key, inputs) {
        Ok(generations) if generations.len() == inputs.len() => {
            generations.into_iter().map(Ok).collect()
        }
        Ok(generations) => {
            let found = generations.len();
            let message = format!("engine answered {found} of {} inputs", inputs.len());
            inputs
                .iter()
                .map(|_| Err(EngineError::Batch(message.clone())))
                .collect()
        }
        Err(error) if inputs.len() < 2 => inputs.iter().map(|_| Err(error.clone())).collect(),
        Err(error) => {
            tracing::warn!(batch.size = inputs.len(), %error, "batch failed, trying its halves");
            let (left, right) = inputs.split_at(inputs.len() / 2);
            let mut results = generate_each(engine, key, left);
            results.extend(generate_each(engine, key, right));
            results
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::batch::GenerateOptions;
    use crate::engine::fake::FakeEngine;
    use crate::features::Features;
    use crate::tokens::{PromptSpec, Task};

    /// Runs inputs whose `frames` is their number, on an engine that refuses a batch with one of
    /// `bad` in it; returns who was answered, and how many batches that took.
    fn run(inputs: usize, bad: &'static [usize]) -> (Vec<bool>, usize) {
        let batches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&batches);
        let factory = FakeEngine::factory(move |_, inputs| {
            counter.fetch_add(1, Ordering::SeqCst);
            if inputs
                .iter()
                .any(|input| bad.contains(&input.features.frames))
            {
                return Err(EngineError::Batch("bad window".to_owned()));
            }
            let generation = |input: &Input<'_>| {
                FakeEngine::generation(vec![u32::try_from(input.features.frames).unwrap()])
            };
            Ok(inputs.iter().map(generation).collect())
        });
        let prompt = PromptSpec {
            language: None,
            task: Task::Transcribe,
            timestamps: false,
            previous: Vec::new(),
        };
        let features: Vec<_> = (0..inputs)
            .map(|frames| Features {
                n_mels: 80,
                frames,
                values: Vec::new(),
            })
            .collect();
        let inputs: Vec<_> = features
            .iter()
            .map(|features| Input {
                features,
                prompt: &prompt,
            })
            .collect();
        let options = GenerateOptions {
            beam_size: NonZeroUsize::MIN,
            temperature: 0.0,
            timestamps: false,
        };
        let key = BatchKey {
            frames: 3000,
            previous_tokens: 0,
            options,
        };

        let results = generate_each(factory().unwrap().as_mut(), &key, &inputs);

        for (number, result) in (0..).zip(&results) {
            assert!(result.as_ref().is_ok_and(|found| found.tokens == [number]) || result.is_err());
        }
        (
            results.iter().map(Result::is_ok).collect(),
            batches.load(Ordering::SeqCst),
        )
    }

    #[test]
    fn only_the_bad_jobs_fail_and_each_is_tried_alone() {
        assert_eq!(run(4, &[]), (vec![true; 4], 1));
        assert_eq!(run(5, &[2]), (vec![true, true, false, true, true], 5));
        assert_eq!(run(2, &[0, 1]), (vec![false; 2], 3));
        assert_eq!(run(1, &[0]), (vec![false], 1));
    }
}
