//! The runner on a GPU beside that on the CPU in 32-bit floats, on real speech. A GPU computes in 16 bits, so single
//! texts may differ where two tokens are nearly equally probable.

use std::sync::Barrier;

use super::*;

/// Texts of the eight windows that may differ.
const MAX_DIFFERENT: usize = 1;

fn gpu() -> EngineSpec {
    let spec = spec(ComputeType::Float16);
    EngineSpec {
        placement: Placement::Cuda { index: 0 },
        dimensions: Dimensions {
            value_bytes: 2,
            ..spec.dimensions
        },
        ..spec
    }
}

/// The windows without random numbers.
fn windows() -> Vec<Window> {
    let mut windows = mixed_windows();
    for window in &mut windows {
        window.options.temperature = 0.0;
    }
    windows
}

#[test]
#[ignore = "needs a GPU"]
fn texts_on_a_gpu_are_those_of_the_cpu() {
    let (mut on_cpu, mut on_gpu) = (engine(&FLOATS), engine(&gpu()));
    let mut different = 0;
    for (index, window) in windows().iter().enumerate() {
        let (expected, _) = write(on_cpu.as_mut(), &[window]);
        let (found, _) = write(on_gpu.as_mut(), &[window]);
        let (expected, found) = (&expected[0], &found[0]);
        let no_speech = expected.quality.no_speech_prob - found.quality.no_speech_prob;
        assert!(no_speech.abs() < 0.02, "window {index}: {no_speech}");
        let languages = expected.language.zip(found.language);
        let (expected_language, language) = languages.expect("languages");
        assert_eq!(expected_language.language, language.language);
        let probability = expected_language.probability - language.probability;
        assert!(probability.abs() < 0.02, "window {index}: {probability}");
        if expected.tokens != found.tokens {
            different += 1;
            continue;
        }
        let mean = expected.quality.avg_logprob - found.quality.avg_logprob;
        assert!(mean.abs() < 0.02, "window {index}: {mean}");
        let alignments = expected.alignment.as_ref().zip(found.alignment.as_ref());
        let (expected, found) = alignments.expect("alignments");
        for (a, b) in expected.probabilities.iter().zip(&found.probabilities) {
            assert!((a - b).abs() < 0.05, "window {index}: {a} {b}");
        }
        for (a, b) in expected.starts_s.iter().zip(&found.starts_s) {
            assert!((a - b).abs() < 0.1, "window {index}: {a} {b}");
        }
    }
    assert!(different <= MAX_DIFFERENT, "{different} texts differ");
}

#[test]
#[ignore = "needs a GPU"]
fn any_options_share_a_step_on_a_gpu() {
    let windows = windows();
    let mut engine = engine(&gpu());
    let all: Vec<&Window> = windows.iter().collect();
    let (together, rows) = write(engine.as_mut(), &all);
    assert!(rows >= 20, "{rows}");
    let is_different = |(index, window): &(usize, &Window)| {
        let (alone, _) = write(engine.as_mut(), &[window]);
        together[*index].tokens != alone[0].tokens
    };
    let different = windows.iter().enumerate().filter(is_different).count();
    assert!(different <= MAX_DIFFERENT, "{different} texts differ");
}

#[test]
#[ignore = "needs a GPU"]
fn two_engines_on_a_gpu_share_the_weights_and_work_at_the_same_time() {
    let spec = gpu();
    let expected = write(engine(&spec).as_mut(), &[&windows()[0]]).0;
    let barrier = Barrier::new(2);
    let texts: Vec<_> = std::thread::scope(|scope| {
        let run = || {
            let mut engine = engine(&spec);
            barrier.wait();
            let users = spec.weights.users();
            barrier.wait();
            assert_eq!(users, [2], "one copy of the weights");
            write(engine.as_mut(), &[&windows()[0]]).0
        };
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a text"))
            .collect()
    });
    assert!(
        texts
            .iter()
            .all(|text| text[0].tokens == expected[0].tokens)
    );
}
