//! Finds the bad job in a failing batch: halves it until only that job fails.

use super::{Engine, EngineError, Generation, Input};
use crate::batch::BatchKey;

/// Runs a batch so that one bad job never fails its neighbours; one answer an input.
pub fn generate_each(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[Input<'_>],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) {
    let all: Vec<usize> = (0..inputs.len()).collect();
    generate_some(engine, key, inputs, &all, answer);
}

/// As [`generate_each`], for the inputs with these indices.
fn generate_some(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[Input<'_>],
    indices: &[usize],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) {
    let batch: Vec<Input<'_>> = indices.iter().map(|&index| inputs[index]).collect();
    let mut open: Vec<usize> = indices.to_vec();
    let result = engine.generate(key, &batch, &mut |index, generation| {
        let Some(&index) = indices.get(index) else {
            return;
        };
        // The first answer counts, should an engine give two.
        if let Some(place) = open.iter().position(|&still_open| still_open == index) {
            open.remove(place);
            answer(index, Ok(generation));
        }
    });
    let error = match result {
        Ok(()) if open.is_empty() => return,
        Ok(()) => EngineError::Batch("engine left an input without an answer".to_owned()),
        Err(error) if open.len() < 2 => error,
        Err(error) => {
            tracing::warn!(batch.size = open.len(), %error, "batch failed, trying its halves");
            let (left, right) = open.split_at(open.len() / 2);
            generate_some(engine, key, inputs, left, answer);
            generate_some(engine, key, inputs, right, answer);
            return;
        }
    };
    for index in open {
        answer(index, Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::batch::GenerateOptions;
    use crate::engine::Decoding;
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
        let decoding = Decoding::default();
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
                decoding: &decoding,
            })
            .collect();
        let key = BatchKey {
            frames: 3000,
            previous_tokens: 0,
            options: GenerateOptions::default(),
        };

        let mut results: Vec<_> = vec![None; inputs.len()];
        let mut answer = |index: usize, result| {
            assert!(results[index].replace(result).is_none(), "answered twice");
        };
        generate_each(factory().unwrap().as_mut(), &key, &inputs, &mut answer);

        let results: Vec<_> = results.into_iter().map(Option::unwrap).collect();

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
