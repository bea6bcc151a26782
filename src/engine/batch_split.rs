//! Parts a batch where it must be: into what the device holds at once, and to find the bad job of a
//! failing one, by halving it until only that job fails.

use super::{Engine, EngineError, EngineInput, Generation};
use crate::batch::BatchKey;

/// How often a window that runs out of memory alone is tried: the call after an allocation that
/// failed may fail once more on a card, though there is room.
const TRIES_ALONE: usize = 3;

/// Runs a batch so that one bad job never fails its neighbours; one answer an input. What is too much
/// for the device's memory is run in smaller parts, shorter windows first, and the engine remembers it.
pub fn generate_each(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[EngineInput<'_>],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) {
    let mut rest: Vec<usize> = (0..inputs.len()).collect();
    // Those of one length go through the encoder together.
    rest.sort_by_key(|&index| inputs[index].length);
    let mut tries_alone = 0;
    while !rest.is_empty() {
        let mut lengths: Vec<usize> = rest.iter().map(|&index| inputs[index].length).collect();
        let windows = engine.max_windows(key, &lengths);
        let windows = windows.clamp(1, rest.len());
        let later = rest.split_off(windows);
        lengths.truncate(windows);
        let mut left = Vec::new();
        if let Err(TooMuch {
            inputs: open,
            error,
        }) = generate_some(engine, key, inputs, &rest, answer)
        {
            tracing::warn!(batch.size = windows, %error, "device is out of memory, taking fewer windows");
            tries_alone += 1;
            if windows > 1 {
                engine.reduce_budget(key, &lengths);
                tries_alone = 0;
            }
            if tries_alone < TRIES_ALONE {
                left = open;
            } else {
                open.iter()
                    .for_each(|&index| answer(index, Err(error.clone())));
                tries_alone = 0;
            }
        }
        rest = left.into_iter().chain(later).collect();
    }
}

/// What the device had no memory for.
struct TooMuch {
    /// Those that have no answer yet.
    inputs: Vec<usize>,
    error: EngineError,
}

/// Runs the inputs with these indices; halves them where they fail, unless that is for want of memory.
fn generate_some(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[EngineInput<'_>],
    indices: &[usize],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) -> Result<(), TooMuch> {
    let batch: Vec<EngineInput<'_>> = indices.iter().map(|&index| inputs[index]).collect();
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
        Ok(()) if open.is_empty() => return Ok(()),
        Ok(()) => EngineError::Batch("engine left an input without an answer".to_owned()),
        Err(error @ EngineError::OutOfMemory(_)) => {
            return Err(TooMuch {
                inputs: open,
                error,
            });
        }
        Err(error) if open.len() < 2 => error,
        Err(error) => {
            tracing::warn!(batch.size = open.len(), %error, "batch failed, trying its halves");
            let (left, right) = open.split_at(open.len() / 2);
            let left = generate_some(engine, key, inputs, left, answer);
            let right = generate_some(engine, key, inputs, right, answer);
            return both(left, right);
        }
    };
    for index in open {
        answer(index, Err(error.clone()));
    }
    Ok(())
}

fn both(left: Result<(), TooMuch>, right: Result<(), TooMuch>) -> Result<(), TooMuch> {
    match (left, right) {
        (Err(mut left), Err(right)) => {
            left.inputs.extend(right.inputs);
            Err(left)
        }
        (left, right) => left.and(right),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::batch::GenerateOptions;
    use crate::engine::DecodingOptions;
    use crate::engine::fake::FakeEngine;
    use crate::features::Features;
    use crate::tokens::{PromptSpec, Task};

    /// An engine, and how many batches it was given. It refuses one with any of `bad` in it, and has
    /// memory for `room` windows.
    fn engine(bad: &'static [usize], room: usize) -> (Box<dyn Engine>, Arc<AtomicUsize>) {
        let batches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&batches);
        let factory = FakeEngine::factory(move |_, inputs| {
            counter.fetch_add(1, Ordering::SeqCst);
            if inputs.len() > room {
                return Err(EngineError::OutOfMemory("out of memory".to_owned()));
            }
            if inputs
                .iter()
                .any(|input| bad.contains(&input.features.frames))
            {
                return Err(EngineError::Batch("bad window".to_owned()));
            }
            let generation = |input: &EngineInput<'_>| {
                FakeEngine::generation(vec![u32::try_from(input.features.frames).unwrap()])
            };
            Ok(inputs.iter().map(generation).collect())
        });
        (factory().unwrap(), batches)
    }

    /// Runs inputs of 30 s; tells who was answered.
    fn answered(engine: &mut dyn Engine, inputs: usize) -> Vec<bool> {
        answered_of(engine, &vec![3000; inputs])
    }

    /// Runs inputs of these lengths whose `frames` is their number; tells who was answered.
    fn answered_of(engine: &mut dyn Engine, lengths: &[usize]) -> Vec<bool> {
        let prompt = PromptSpec {
            language: None,
            task: Task::Transcribe,
            timestamps: false,
            previous: Vec::new(),
        };
        let decoding = DecodingOptions::default();
        let features: Vec<_> = (0..lengths.len())
            .map(|frames| Features {
                n_mels: 80,
                frames,
                values: Vec::new(),
            })
            .collect();
        let inputs: Vec<_> = features
            .iter()
            .map(|features| EngineInput {
                features,
                length: lengths[features.frames],
                prompt: &prompt,
                decoding: &decoding,
                before: None,
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
        generate_each(engine, &key, &inputs, &mut answer);

        let results: Vec<_> = results.into_iter().map(Option::unwrap).collect();

        for (number, result) in (0..).zip(&results) {
            assert!(result.as_ref().is_ok_and(|found| found.tokens == [number]) || result.is_err());
        }
        results.iter().map(Result::is_ok).collect()
    }

    /// Who of so many inputs was answered, and how many batches that took.
    fn run(inputs: usize, bad: &'static [usize]) -> (Vec<bool>, usize) {
        let (mut engine, batches) = engine(bad, usize::MAX);
        let answered = answered(engine.as_mut(), inputs);
        (answered, batches.load(Ordering::SeqCst))
    }

    #[test]
    fn only_the_bad_jobs_fail_and_each_is_tried_alone() {
        assert_eq!(run(4, &[]), (vec![true; 4], 1));
        assert_eq!(run(5, &[2]), (vec![true, true, false, true, true], 5));
        assert_eq!(run(2, &[0, 1]), (vec![false; 2], 3));
        assert_eq!(run(1, &[0]), (vec![false], 1));
    }

    #[test]
    fn what_is_too_much_for_the_memory_is_run_in_parts_and_remembered() {
        let (mut engine, batches) = engine(&[], 3);

        assert_eq!(answered(engine.as_mut(), 16), [true; 16]);
        // 16, 8 and 4 windows are too much, then two go eight times.
        assert_eq!(batches.swap(0, Ordering::SeqCst), 3 + 8);
        assert_eq!(answered(engine.as_mut(), 16), [true; 16]);
        assert_eq!(batches.load(Ordering::SeqCst), 8);
    }

    #[test]
    fn windows_of_one_length_are_side_by_side_shorter_ones_first() {
        let seen = Arc::new(Mutex::new(Vec::<Vec<usize>>::new()));
        let seen_too = Arc::clone(&seen);
        let factory = FakeEngine::factory(move |_, inputs| {
            let numbers = inputs.iter().map(|input| input.features.frames);
            seen_too.lock().unwrap().push(numbers.clone().collect());
            let tokens = numbers.map(|number| vec![u32::try_from(number).unwrap()]);
            Ok(tokens.map(FakeEngine::generation).collect())
        });

        let lengths = [3000, 2000, 3000, 2000, 3000];
        assert_eq!(
            answered_of(factory().unwrap().as_mut(), &lengths),
            [true; 5]
        );
        assert_eq!(*seen.lock().unwrap(), [vec![1, 3, 0, 2, 4]]);
    }

    #[test]
    fn a_bad_job_fails_alone_in_little_memory_too() {
        let (mut engine, _) = engine(&[5], 2);

        let expected: Vec<bool> = (0..8).map(|number| number != 5).collect();
        assert_eq!(answered(engine.as_mut(), 8), expected);
    }

    #[test]
    fn a_window_that_never_fits_fails_after_its_tries() {
        let (mut engine, batches) = engine(&[], 0);

        assert_eq!(answered(engine.as_mut(), 2), [false; 2]);
        assert_eq!(batches.load(Ordering::SeqCst), 1 + 2 * TRIES_ALONE);
    }
}
