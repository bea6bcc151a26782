//! CTranslate2's Whisper behind the [`Engine`] trait; the only file that names ct2rs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ct2rs::sys::{
    ComputeType as Ct2ComputeType, Config, DetectionResult, Device, StorageView, Whisper,
    WhisperGenerationResult, WhisperOptions, get_device_count,
};

use super::{Detected, Engine, EngineError, EngineFactory, Generation, Input};
use crate::batch::{BatchKey, GenerateOptions};
use crate::config::ComputeType;
use crate::features::Features;
use crate::tokens::{PromptSpec, Vocabulary};

/// Whisper's text context; a generation is at most half of it (CTranslate2 and the reference).
const MAX_LENGTH: usize = 448;
/// Samples drawn at a temperature above 0, of which the most likely is kept (the reference's
/// `best_of`).
const BEST_OF: usize = 5;
/// Frames of silence an engine runs before it counts as loaded: the CUDA libraries are opened
/// by the first encoding, not by loading.
const WARM_UP_FRAMES: usize = 100;

/// Where a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the processor, with this many threads.
    Cpu {
        /// Threads of one engine.
        threads: usize,
    },
    /// On the card with this index.
    Cuda {
        /// The CUDA device index.
        index: u32,
    },
}

/// Number of CUDA devices this build and this machine offer; 0 without a driver.
#[must_use]
pub fn cuda_devices() -> usize {
    if cfg!(feature = "cuda") {
        usize::try_from(get_device_count(Device::CUDA)).unwrap_or(0)
    } else {
        0
    }
}

/// Makes engines for the model in `dir`.
#[must_use]
pub fn factory(
    dir: &Path,
    vocabulary: Arc<Vocabulary>,
    placement: Placement,
    compute_type: ComputeType,
) -> EngineFactory {
    let dir = dir.to_owned();
    Arc::new(move || {
        let engine = Ct2Engine::load(&dir, Arc::clone(&vocabulary), placement, compute_type)?;
        Ok(Box::new(engine))
    })
}

struct Ct2Engine {
    whisper: Whisper,
    vocabulary: Arc<Vocabulary>,
}

impl Ct2Engine {
    fn load(
        dir: &PathBuf,
        vocabulary: Arc<Vocabulary>,
        placement: Placement,
        compute_type: ComputeType,
    ) -> Result<Self, EngineError> {
        let config = match placement {
            Placement::Cpu { threads } => Config {
                device: Device::CPU,
                compute_type: resolve(compute_type, Ct2ComputeType::INT8),
                num_threads_per_replica: threads,
                ..Config::default()
            },
            Placement::Cuda { index } => Config {
                device: Device::CUDA,
                compute_type: resolve(compute_type, Ct2ComputeType::FLOAT16),
                device_indices: vec![i32::try_from(index).map_err(load_error)?],
                ..Config::default()
            },
        };
        let whisper = Whisper::new(dir, config).map_err(load_error)?;
        let mut engine = Self {
            whisper,
            vocabulary,
        };
        engine.warm_up()?;
        Ok(engine)
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let n_mels = self.whisper.n_mels();
        let mut silence = vec![0.0; n_mels * WARM_UP_FRAMES];
        let view = StorageView::new(&[1, n_mels, WARM_UP_FRAMES], &mut silence, Device::CPU)
            .map_err(load_error)?;
        self.whisper
            .encode(&view, false)
            .map(drop)
            .map_err(load_error)
    }

    /// Fills in the language of every prompt that has none, from the encoded windows.
    fn languages(
        &self,
        encoded: &StorageView<'_>,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Option<Detected>>, EngineError> {
        let given = |prompt: &PromptSpec| {
            prompt.language.map(|language| Detected {
                language,
                probability: 1.0,
            })
        };
        let mut languages: Vec<_> = inputs.iter().map(|input| given(input.prompt)).collect();
        if self.vocabulary.is_multilingual() && languages.iter().any(Option::is_none) {
            let detections = self.whisper.detect_language(encoded).map_err(batch_error)?;
            for (language, detected) in languages.iter_mut().zip(detections) {
                if language.is_none() {
                    *language = self.most_likely(&detected);
                }
            }
        }
        Ok(languages)
    }

    fn most_likely(&self, detected: &[DetectionResult]) -> Option<Detected> {
        // CTranslate2 sorts by falling probability.
        detected.iter().find_map(|result| {
            let language = self.vocabulary.language_of_token(&result.language)?;
            Some(Detected {
                language,
                probability: result.probability,
            })
        })
    }
}

impl Engine for Ct2Engine {
    fn n_mels(&self) -> usize {
        self.whisper.n_mels()
    }

    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Generation>, EngineError> {
        let n_mels = self.whisper.n_mels();
        let mut values = stack(
            inputs.iter().map(|input| input.features),
            n_mels,
            key.frames,
        )?;
        let shape = [inputs.len(), n_mels, key.frames];
        let features = StorageView::new(&shape, &mut values, Device::CPU).map_err(batch_error)?;
        let encoded = self.whisper.encode(&features, false).map_err(batch_error)?;

        let languages = self.languages(&encoded, inputs)?;
        let prompts: Vec<Vec<String>> = inputs
            .iter()
            .zip(&languages)
            .map(|(input, detected)| {
                let language = detected.map(|detected| detected.language);
                let prompt = PromptSpec {
                    language,
                    ..input.prompt.clone()
                };
                self.vocabulary
                    .token_strings(&self.vocabulary.prompt(&prompt))
            })
            .collect();

        let results = self
            .whisper
            .generate(&encoded, &prompts, &whisper_options(&key.options))
            .map_err(batch_error)?;
        Ok(results
            .into_iter()
            .zip(languages)
            .map(|(result, language)| generation(result, language))
            .collect())
    }
}

/// Row-major `[inputs, n_mels, frames]`, each input padded with its own silence.
fn stack<'a>(
    inputs: impl Iterator<Item = &'a Features>,
    n_mels: usize,
    frames: usize,
) -> Result<Vec<f32>, EngineError> {
    let mut values = Vec::new();
    for features in inputs {
        if features.n_mels != n_mels || features.frames > frames {
            let (bins, length) = (features.n_mels, features.frames);
            let message = format!("features of {bins} x {length} do not fit {n_mels} x {frames}");
            return Err(EngineError::Batch(message));
        }
        features.append_padded(frames, &mut values);
    }
    Ok(values)
}

fn whisper_options(options: &GenerateOptions) -> WhisperOptions {
    let sampled = options.temperature > 0.0;
    WhisperOptions {
        beam_size: if sampled { 1 } else { options.beam_size.get() },
        num_hypotheses: if sampled { BEST_OF } else { 1 },
        sampling_topk: usize::from(!sampled),
        sampling_temperature: if sampled { options.temperature } else { 1.0 },
        max_length: MAX_LENGTH,
        return_scores: true,
        return_no_speech_prob: true,
        ..WhisperOptions::default()
    }
}

fn generation(result: WhisperGenerationResult, language: Option<Detected>) -> Generation {
    let WhisperGenerationResult {
        sequences_ids,
        scores,
        no_speech_prob,
        ..
    } = result;
    let ids = sequences_ids.into_iter().next().unwrap_or_default();
    let tokens: Vec<u32> = ids
        .into_iter()
        .filter_map(|id| u32::try_from(id).ok())
        .collect();
    // The score is the mean over the tokens; the reference counts the end of text too.
    let score = scores.first().copied().unwrap_or(f32::NEG_INFINITY);
    let length = tokens.len() as f32;
    Generation {
        avg_logprob: score * length / (length + 1.0),
        tokens,
        language,
        no_speech_prob,
    }
}

fn resolve(wanted: ComputeType, auto: Ct2ComputeType) -> Ct2ComputeType {
    match wanted {
        ComputeType::Auto => auto,
        ComputeType::Default => Ct2ComputeType::DEFAULT,
        ComputeType::Int8 => Ct2ComputeType::INT8,
        ComputeType::Int8Float16 => Ct2ComputeType::INT8_FLOAT16,
        ComputeType::Int8Bfloat16 => Ct2ComputeType::INT8_BFLOAT16,
        ComputeType::Int8Float32 => Ct2ComputeType::INT8_FLOAT32,
        ComputeType::Int16 => Ct2ComputeType::INT16,
        ComputeType::Float16 => Ct2ComputeType::FLOAT16,
        ComputeType::Bfloat16 => Ct2ComputeType::BFLOAT16,
        ComputeType::Float32 => Ct2ComputeType::FLOAT32,
    }
}

fn load_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Load(error.to_string())
}

fn batch_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Batch(error.to_string())
}
