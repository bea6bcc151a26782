//! Splits a batch: into parts that fit the device's memory, and after a failure into halves, until only
//! the bad job fails.

use halkspeech_whisper::engine::{BatchKey, Engine, EngineError, EngineInput, Generation};

/// Maximum number of attempts of a single window that runs out of memory: on a GPU, the call after a
/// failed allocation may fail once more although the memory suffices.
const MAX_SINGLE_WINDOW_ATTEMPTS: usize = 3;

/// Runs a batch so that a bad job never fails other jobs; gives one answer per input. A batch that
/// exceeds the device's memory is run in smaller parts, shorter windows first, and the engine's memory
/// budget is reduced.
pub fn generate_each(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[EngineInput<'_>],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) {
    let mut pending: Vec<usize> = (0..inputs.len()).collect();
    // Windows of one length are encoded together.
    pending.sort_by_key(|&index| inputs[index].padded_frames);
    let mut single_window_attempts = 0;
    while !pending.is_empty() {
        let mut lengths: Vec<usize> = pending
            .iter()
            .map(|&index| inputs[index].padded_frames)
            .collect();
        let windows = engine.max_windows(key, &lengths);
        let windows = windows.clamp(1, pending.len());
        let later = pending.split_off(windows);
        lengths.truncate(windows);
        let mut retried = Vec::new();
        if let Err(OutOfDeviceMemory { unanswered, error }) =
            generate_part(engine, key, inputs, &pending, answer)
        {
            tracing::warn!(batch.size = windows, %error, "device is out of memory, taking fewer windows");
            single_window_attempts += 1;
            if windows > 1 {
                engine.reduce_budget(key, &lengths);
                single_window_attempts = 0;
            }
            if single_window_attempts < MAX_SINGLE_WINDOW_ATTEMPTS {
                retried = unanswered;
            } else {
                unanswered
                    .iter()
                    .for_each(|&index| answer(index, Err(error.clone())));
                single_window_attempts = 0;
            }
        }
        pending = retried.into_iter().chain(later).collect();
    }
}

/// The device ran out of memory.
struct OutOfDeviceMemory {
    /// Indices of the inputs without an answer.
    unanswered: Vec<usize>,
    error: EngineError,
}

/// Runs the inputs with these indices; after a failure other than out-of-memory, runs them in halves.
fn generate_part(
    engine: &mut dyn Engine,
    key: &BatchKey,
    inputs: &[EngineInput<'_>],
    indices: &[usize],
    answer: &mut dyn FnMut(usize, Result<Generation, EngineError>),
) -> Result<(), OutOfDeviceMemory> {
    let batch: Vec<EngineInput<'_>> = indices.iter().map(|&index| inputs[index]).collect();
    let mut unanswered: Vec<usize> = indices.to_vec();
    let result = engine.generate(key, &batch, &mut |index, generation| {
        let Some(&index) = indices.get(index) else {
            return;
        };
        // A second answer to one input is ignored.
        if let Some(position) = unanswered.iter().position(|&other| other == index) {
            unanswered.remove(position);
            answer(index, Ok(generation));
        }
    });
    let error = match result {
        Ok(()) if unanswered.is_empty() => return Ok(()),
        Ok(()) => EngineError::Batch("engine left an input without an answer".to_owned()),
        Err(error @ EngineError::OutOfMemory(_)) => {
            return Err(OutOfDeviceMemory { unanswered, error });
        }
        Err(error) if unanswered.len() < 2 => error,
        Err(error) => {
            tracing::warn!(batch.size = unanswered.len(), %error, "batch failed, trying its halves");
            let (left, right) = unanswered.split_at(unanswered.len() / 2);
            let left = generate_part(engine, key, inputs, left, answer);
            let right = generate_part(engine, key, inputs, right, answer);
            return merge(left, right);
        }
    };
    for index in unanswered {
        answer(index, Err(error.clone()));
    }
    Ok(())
}

fn merge(
    left: Result<(), OutOfDeviceMemory>,
    right: Result<(), OutOfDeviceMemory>,
) -> Result<(), OutOfDeviceMemory> {
    match (left, right) {
        (Err(mut left), Err(right)) => {
            left.unanswered.extend(right.unanswered);
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
    use halkspeech_whisper::engine::fake::FakeEngine;
    use halkspeech_whisper::engine::{DecodingOptions, GenerateOptions};
    use halkspeech_whisper::features::Features;
    use halkspeech_whisper::{PromptSpec, Task};

    /// An engine, and its number of batches. It refuses batches with any of the `bad` windows, and runs
    /// out of memory with more than `max_windows` windows.
    fn engine(bad: &'static [usize], max_windows: usize) -> (Box<dyn Engine>, Arc<AtomicUsize>) {
        let batches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&batches);
        let factory = FakeEngine::factory(move |_, inputs| {
            counter.fetch_add(1, Ordering::SeqCst);
            if inputs.len() > max_windows {
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

    /// Runs inputs of 30 s; returns which of them succeeded.
    fn answered(engine: &mut dyn Engine, inputs: usize) -> Vec<bool> {
        answered_of(engine, &vec![3000; inputs])
    }

    /// Runs inputs of these lengths, whose `frames` is their number; returns which of them succeeded.
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
                padded_frames: lengths[features.frames],
                prompt: &prompt,
                decoding: &decoding,
                previous_attempt: None,
                random_seed: None,
                sent: None,
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
            assert!(result.as_ref().is_ok_and(|text| text.tokens == [number]) || result.is_err());
        }
        results.iter().map(Result::is_ok).collect()
    }

    /// Runs inputs; returns which of them succeeded, and the number of batches.
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
        // 16, 8 and 4 windows exceed the memory, then eight batches of two run.
        assert_eq!(batches.swap(0, Ordering::SeqCst), 3 + 8);
        assert_eq!(answered(engine.as_mut(), 16), [true; 16]);
        assert_eq!(batches.load(Ordering::SeqCst), 8);
    }

    #[test]
    fn windows_are_sorted_by_length() {
        let batches = Arc::new(Mutex::new(Vec::<Vec<usize>>::new()));
        let recorded = Arc::clone(&batches);
        let factory = FakeEngine::factory(move |_, inputs| {
            let numbers = inputs.iter().map(|input| input.features.frames);
            recorded.lock().unwrap().push(numbers.clone().collect());
            let tokens = numbers.map(|number| vec![u32::try_from(number).unwrap()]);
            Ok(tokens.map(FakeEngine::generation).collect())
        });

        let lengths = [3000, 2000, 3000, 2000, 3000];
        assert_eq!(
            answered_of(factory().unwrap().as_mut(), &lengths),
            [true; 5]
        );
        assert_eq!(*batches.lock().unwrap(), [vec![1, 3, 0, 2, 4]]);
    }

    #[test]
    fn a_bad_job_fails_alone_even_with_little_memory() {
        let (mut engine, _) = engine(&[5], 2);

        let expected: Vec<bool> = (0..8).map(|number| number != 5).collect();
        assert_eq!(answered(engine.as_mut(), 8), expected);
    }

    #[test]
    fn a_window_that_never_fits_fails_after_its_tries() {
        let (mut engine, batches) = engine(&[], 0);

        assert_eq!(answered(engine.as_mut(), 2), [false; 2]);
        assert_eq!(
            batches.load(Ordering::SeqCst),
            1 + 2 * MAX_SINGLE_WINDOW_ATTEMPTS
        );
    }
}
