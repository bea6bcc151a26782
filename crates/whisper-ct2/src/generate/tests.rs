//! Tests of the engine with the weights of tiny.en.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::gemm::{lock_failures, with_failing_gemm};
use super::{
    Ct2Engine, EngineSpec, FeatureBatch, Placement, SharedWeights, StorageView, encodings,
};
use crate::fetched_files::{model_dir, sample_pcm};
use halkspeech_whisper::engine::memory::Dimensions;
use halkspeech_whisper::engine::{
    BatchKey, ComputeType, DecodingOptions, Engine, EngineError, EngineInput, Fallback,
    GenerateOptions,
};
use halkspeech_whisper::features::{
    Features, HOP_SAMPLES, LogMel, WINDOW_FRAMES, WindowLengths, encoder_positions,
};
use halkspeech_whisper::{PromptSpec, Task, Vocabulary};

const N_MELS: usize = 80;
const WIDTH: usize = 384;

fn tiny_en() -> Ct2Engine {
    let dir = model_dir("tiny.en");
    let vocabulary = Arc::new(Vocabulary::load(&dir).expect("a vocabulary"));
    let spec = EngineSpec {
        dir,
        placement: Placement::Cpu { threads: 1 },
        compute_type: ComputeType::Int8,
        // Used only on a GPU.
        dimensions: Dimensions {
            width: WIDTH as u64,
            heads: 6,
            decoder_layers: 4,
            vocabulary_size: 51_864,
            value_bytes: 4,
        },
        weights_bytes: 0,
        batch_size: NonZeroUsize::MIN,
        beam_size: NonZeroUsize::MIN,
        memory_limit: None,
        engines_on_gpu: NonZeroUsize::MIN,
        weights: SharedWeights::default(),
    };
    Ct2Engine::load(&spec, vocabulary).expect("a model")
}

/// Options that accept any text.
fn accepting() -> DecodingOptions {
    DecodingOptions {
        fallback: Fallback {
            temperatures: Vec::new(),
            ..Fallback::default()
        },
        ..DecodingOptions::default()
    }
}

/// Options that reject every text, so that there is a second attempt.
fn rejecting() -> DecodingOptions {
    DecodingOptions {
        fallback: Fallback {
            temperatures: vec![0.2],
            logprob_threshold: Some(f32::INFINITY),
            no_speech_threshold: None,
            ..Fallback::default()
        },
        ..DecodingOptions::default()
    }
}

#[test]
fn a_batch_fails_once_a_product_has_failed() {
    let silence = Features {
        n_mels: N_MELS,
        frames: WINDOW_FRAMES,
        values: vec![0.0; N_MELS * WINDOW_FRAMES],
    };
    let key = BatchKey {
        frames: WINDOW_FRAMES,
        previous_tokens: 0,
        options: GenerateOptions {
            beam_size: NonZeroUsize::MIN,
            ..GenerateOptions::default()
        },
    };
    let prompt = PromptSpec {
        language: None,
        task: Task::Transcribe,
        timestamps: true,
        previous: Vec::new(),
    };
    let decodings = [rejecting(), accepting()];
    let inputs: Vec<EngineInput<'_>> = decodings
        .iter()
        .map(|decoding| EngineInput {
            features: &silence,
            padded_frames: WINDOW_FRAMES,
            prompt: &prompt,
            decoding,
            previous_attempt: None,
            random_seed: None,
            sent: None,
        })
        .collect();

    let mut answered = Vec::new();
    let result = with_failing_gemm(|fail_gemm| {
        let mut engine = tiny_en();
        engine.generate(&key, &inputs, &mut |row, _| {
            answered.push(row);
            fail_gemm();
        })
    });

    assert_eq!(answered, [1], "the other window is generated again");
    let Err(EngineError::Batch(message)) = result else {
        panic!("{result:?}");
    };
    assert!(message.contains("oneDNN failed"), "{message}");
}

/// Encodes row-major `[n, N_MELS, frames]`.
fn encode(engine: &Ct2Engine, values: Vec<f32>, frames: usize) -> StorageView<'static> {
    let shape = [values.len() / (N_MELS * frames), N_MELS, frames];
    let mut batch = FeatureBatch { values, shape };
    let features = batch.view().expect("features");
    engine.encode_features(&features).expect("an encoding")
}

/// The encoding of silence of this length, one row per position.
fn encoded_silence(engine: &Ct2Engine, frames: usize) -> Vec<Vec<f32>> {
    let encoded = encode(engine, vec![-1.5; N_MELS * frames], frames);
    let rows = encodings::values(&encoded).chunks_exact(WIDTH);
    rows.map(<[f32]>::to_vec).collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Every position's encoding is nearest to that of about the same position in 30 s of silence.
#[test]
fn silence_after_a_short_window_has_positions_up_to_30_s() {
    let _serial = lock_failures();
    let engine = tiny_en();
    let whole = encoded_silence(&engine, WINDOW_FRAMES);
    let nearest = |row: &[f32]| {
        let distances = whole.iter().map(|other| squared_distance(row, other));
        let nearest = distances
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        nearest.map(|(position, _)| position).expect("a position")
    };

    for (frames, own, first) in [(1000, 500, 519), (530, 265, 299)] {
        let short = encoded_silence(&engine, frames);

        assert_eq!(short.len(), encoder_positions(frames));
        let expected = (0..own).chain((first..1500).step_by(20));
        for (row, position) in short.iter().zip(expected) {
            let nearest = nearest(row);
            assert!(nearest.abs_diff(position) <= 5, "{position}: {nearest}");
        }
    }
}

/// As on a GPU, where windows are encoded together.
#[test]
fn windows_encoded_together_equal_windows_encoded_alone() {
    const FRAMES: usize = 600;
    let _serial = lock_failures();
    let engine = tiny_en();
    let tone = |bin: usize| {
        let mut values = vec![-1.5; N_MELS * FRAMES];
        values[bin * FRAMES..][..400].fill(1.0);
        values
    };
    let encoded = |values| encodings::values(&encode(&engine, values, FRAMES)).to_vec();
    let alone = [encoded(tone(20)), encoded(tone(50))];
    assert_eq!(alone[0].len(), encoder_positions(FRAMES) * WIDTH);
    let distance = squared_distance(&alone[0], &alone[1]);
    assert!(distance > 1e4, "the two windows differ by {distance}");

    let together = encoded([tone(20), tone(50)].concat());

    assert_eq!(together.len(), 2 * alone[0].len());
    let difference = squared_distance(&together, &alone.concat());
    assert!(difference < 1e-3, "{difference}");
}

/// Options that accept any text and align it.
fn aligning() -> DecodingOptions {
    DecodingOptions {
        align: true,
        ..accepting()
    }
}

#[test]
fn windows_of_different_lengths_are_generated_together_as_alone() {
    let _serial = lock_failures();
    let mut engine = tiny_en();
    let key = BatchKey {
        frames: WINDOW_FRAMES / 2,
        previous_tokens: 0,
        options: GenerateOptions::default(),
    };
    let prompt = PromptSpec {
        language: None,
        task: Task::Transcribe,
        timestamps: false,
        previous: Vec::new(),
    };
    let decoding = aligning();
    let speech = sample_pcm();
    let windows = [3, 11, 7].map(|seconds| {
        let frames = 100 * seconds;
        LogMel::new(N_MELS).compute(&speech[..HOP_SAMPLES * frames], frames)
    });
    let inputs: Vec<EngineInput<'_>> = windows
        .iter()
        .map(|features| EngineInput {
            features,
            padded_frames: WindowLengths::new(1, 2)
                .with_fine_steps()
                .padded(features.frames),
            prompt: &prompt,
            decoding: &decoding,
            previous_attempt: None,
            random_seed: None,
            sent: None,
        })
        .collect();
    let mut generate = |inputs: &[EngineInput<'_>]| {
        let mut generations = vec![None; inputs.len()];
        let answer = &mut |row: usize, generation| generations[row] = Some(generation);
        engine.generate(&key, inputs, answer).expect("texts");
        generations
    };
    let alone: Vec<_> = inputs
        .chunks(1)
        .map(|input| generate(input).remove(0))
        .collect();
    let tokens: Vec<usize> = alone
        .iter()
        .flatten()
        .map(|text| text.tokens.len())
        .collect();
    assert!(tokens[0] < tokens[2] && tokens[2] < tokens[1], "{tokens:?}");
    assert!(alone.iter().flatten().all(|text| text.alignment.is_some()));

    assert_eq!(generate(&inputs), alone);
}
