//! Tests with the real networks, which `scripts/fetch_models.sh speaker-diarization` fetches.

use std::path::Path;

use serde::Deserialize;

use super::filter_bank::{self, Frame};
use super::segmentation::WINDOW_FRAMES;
use super::*;
use crate::fetched_files::{model_dir, sample_pcm};
use crate::synthetic_speech::synthetic;

/// Frames between those that the reference has.
const REFERENCE_STEP: usize = 10;

/// Samples of the reference vector.
const VECTOR_SAMPLES: usize = 64_000;

#[derive(Deserialize)]
struct Case {
    signal: String,
    /// Sum of absolute values, which shows whether the signals are the same.
    loudness: f64,
    probabilities: Vec<[f32; 7]>,
    features: Vec<Vec<f32>>,
    vector: Vec<f32>,
}

fn model() -> Arc<SpeakerModel> {
    Arc::new(SpeakerModel::load(&model_dir("speaker-diarization")).unwrap())
}

fn cases() -> Vec<(Case, Vec<f32>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/speakers_reference.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let pcm = |case: &Case| match case.signal.as_str() {
        "synthetic" => synthetic(WINDOW_SAMPLES),
        _ => sample_pcm(),
    };
    cases
        .into_iter()
        .map(|case| {
            let pcm = pcm(&case);
            (case, pcm)
        })
        .collect()
}

#[test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
fn the_segmentation_equals_the_reference() {
    let model = model();
    for (case, pcm) in cases() {
        let loudness: f64 = pcm.iter().map(|sample| f64::from(sample.abs())).sum();
        assert!(
            (loudness - case.loudness).abs() < 0.01 * loudness,
            "{}",
            case.signal
        );
        let found = model.segmentation.probabilities(&pcm);
        assert_eq!(found.len(), WINDOW_FRAMES);
        let sampled = found.iter().step_by(REFERENCE_STEP);
        let errors = sampled
            .zip(&case.probabilities)
            .flat_map(|(found, expected)| found.iter().zip(expected).map(|(a, b)| (a - b).abs()));
        let largest = errors.fold(0.0, f32::max);
        eprintln!(
            "{}: largest difference of a probability {largest:.1e}",
            case.signal
        );
        assert!(largest < 1e-3, "{}: {largest}", case.signal);
    }
}

#[test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
fn features_and_vector_equal_the_reference() {
    let model = model();
    for (case, pcm) in cases() {
        let features: Vec<Frame> = filter_bank::compute(&pcm[..VECTOR_SAMPLES]);
        let sampled = features.iter().step_by(5 * REFERENCE_STEP);
        for (found, expected) in sampled.zip(&case.features) {
            for (found, expected) in found.iter().zip(expected) {
                // Near the floor, ln(1.2e-7), the rounding of the transform shows.
                let tolerance = if *expected < -12.0 { 2e-2 } else { 2e-3 };
                assert!((found - expected).abs() < tolerance, "{found} {expected}");
            }
        }
        let found = model.embedding.vector(&features);
        let expected = embedding::normalised(&std::array::from_fn(|index| case.vector[index]));
        let cosine = dot(&found, &expected);
        eprintln!(
            "{}: cosine to the reference 1 - {:.1e}",
            case.signal,
            1.0 - cosine
        );
        assert!(cosine > 0.9999, "{}: {cosine}", case.signal);
    }
}

/// Two voices in turn: a recorded one, and a buzz.
fn dialogue() -> Vec<f32> {
    let (speech, buzz) = (sample_pcm(), synthetic(WINDOW_SAMPLES));
    [&speech[..], &buzz, &speech[..100_000]].concat()
}

#[test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
fn the_result_does_not_depend_on_how_samples_are_pushed() {
    let (model, pcm) = (model(), dialogue());
    let diarize = |part: usize| {
        let mut diarizer = Diarizer::new(Arc::clone(&model));
        pcm.chunks(part).for_each(|part| diarizer.push(part));
        diarizer.finish(SpeakerCount::default())
    };
    let whole = diarize(pcm.len());
    assert!(!whole.spans.is_empty());
    for part in [7_919, 100_000] {
        let parts = diarize(part);
        assert_eq!(parts.spans, whole.spans);
        for (a, b) in parts.voices.iter().zip(&whole.voices) {
            assert!(a.0 == b.0);
        }
    }
}

#[test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
fn one_voice_is_one_speaker_also_after_another_sound() {
    let (model, pcm) = (model(), dialogue());
    let mut diarizer = Diarizer::new(Arc::clone(&model));
    diarizer.push(&pcm);
    let found = diarizer.finish(SpeakerCount::default());
    let at = |second: f64| {
        let inside = |span: &&SpeakerSpan| span.start_s <= second && second < span.end_s;
        found.spans.iter().find(inside).map(|span| span.speaker)
    };
    assert_eq!(at(4.0), Some(0), "{:?}", found.spans);
    assert_eq!(at(24.5), Some(0), "{:?}", found.spans);
    let reference = model.reference_voice(&pcm[..80_000]).unwrap();
    assert_eq!(
        assign_names(&found.voices, &[reference], NAME_COSINE)[0],
        Some(0)
    );
}

#[test]
#[ignore = "needs the networks of speaker diarization: scripts/fetch_models.sh speaker-diarization"]
fn silence_and_useless_samples_have_no_speaker() {
    let model = model();
    for pcm in [
        vec![],
        vec![0.0; 100],
        vec![0.0; 400_000],
        vec![f32::NAN; 200_000],
    ] {
        let mut diarizer = Diarizer::new(Arc::clone(&model));
        diarizer.push(&pcm);
        let found = diarizer.finish(SpeakerCount::default());
        assert!(found.spans.is_empty(), "{} {:?}", pcm.len(), found.spans);
        assert!(model.reference_voice(&pcm).is_none());
    }
}
