//! CTranslate2's Whisper behind the [`Engine`] trait; the only file that names ct2rs.

mod alignment;
mod encodings;
mod tries;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ct2rs::sys::{
    ComputeType as Ct2ComputeType, Config, DetectionResult, Device, StorageView, Whisper,
    get_device_count,
};

use super::{Detected, Engine, EngineError, EngineFactory, Generation, Input};
use crate::batch::{BatchKey, GenerateOptions};
use crate::config::ComputeType;
use crate::features::Features;
use crate::tokens::{Alignment, Language, PromptSpec, Vocabulary};
use tries::{Try, Window, keep};

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

/// Bytes that a value takes in memory, of the matrices and of everything else; none where the
/// model's own types are kept.
#[must_use]
pub fn bytes_per_value(placement: Placement, compute_type: ComputeType) -> Option<(u64, u64)> {
    let float = match placement {
        Placement::Cpu { .. } => 4,
        Placement::Cuda { .. } => 2,
    };
    match compute_type {
        ComputeType::Default => None,
        ComputeType::Auto => match placement {
            Placement::Cpu { .. } => Some((1, 4)),
            Placement::Cuda { .. } => Some((2, 2)),
        },
        ComputeType::Int8 => Some((1, float)),
        ComputeType::Int8Float16 | ComputeType::Int8Bfloat16 => Some((1, 2)),
        ComputeType::Int8Float32 => Some((1, 4)),
        ComputeType::Int16 => Some((2, float)),
        ComputeType::Float16 | ComputeType::Bfloat16 => Some((2, 2)),
        ComputeType::Float32 => Some((4, 4)),
    }
}

struct Ct2Engine {
    whisper: Whisper,
    vocabulary: Arc<Vocabulary>,
    placement: Placement,
}

/// A batch after the encoder.
struct Encoded<'a> {
    encoded: StorageView<'static>,
    inputs: &'a [Input<'a>],
    languages: Vec<Option<Detected>>,
    prompts: Vec<PromptSpec>,
}

/// What is kept of the tries for a window.
struct Found {
    row: usize,
    kept: Try,
    is_doubtful: bool,
    alignment: Option<Alignment>,
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
            placement,
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

    /// Encodes every window. On a processor one after the other, which keeps its tensors in the
    /// cache (measured: docs/performance.md); on a card all at once.
    fn encode(
        &self,
        frames: usize,
        inputs: &[Input<'_>],
    ) -> Result<StorageView<'static>, EngineError> {
        let at_once = match self.placement {
            Placement::Cpu { .. } => 1,
            Placement::Cuda { .. } => inputs.len().max(1),
        };
        let n_mels = self.whisper.n_mels();
        let parts = inputs.chunks(at_once).map(|inputs| {
            let mut values = stack(inputs.iter().map(|input| input.features), n_mels, frames)?;
            let shape = [inputs.len(), n_mels, frames];
            let features =
                StorageView::new(&shape, &mut values, Device::CPU).map_err(batch_error)?;
            self.whisper.encode(&features, false).map_err(batch_error)
        });
        encodings::join(parts.collect::<Result<_, _>>()?)
    }

    /// The language of every window: the one given, or the likeliest of its candidates.
    fn languages(
        &self,
        encoded: &StorageView<'static>,
        inputs: &[Input<'_>],
    ) -> Result<Vec<Option<Detected>>, EngineError> {
        let given = |input: &Input<'_>| {
            input.prompt.language.map(|language| Detected {
                language,
                probability: 1.0,
            })
        };
        let mut languages: Vec<_> = inputs.iter().map(given).collect();
        let unknown: Vec<usize> = (0..inputs.len())
            .filter(|&row| languages[row].is_none())
            .collect();
        if !self.vocabulary.is_multilingual() || unknown.is_empty() {
            return Ok(languages);
        }
        let selected = encodings::select(encoded, &unknown)?;
        let detections = self
            .whisper
            .detect_language(&selected)
            .map_err(batch_error)?;
        for (&row, detected) in unknown.iter().zip(&detections) {
            languages[row] = self.most_likely(detected, &inputs[row].decoding.candidates);
        }
        Ok(languages)
    }

    fn most_likely(
        &self,
        detected: &[DetectionResult],
        candidates: &[Language],
    ) -> Option<Detected> {
        // CTranslate2 sorts by falling probability.
        detected.iter().find_map(|result| {
            let language = self.vocabulary.language_of_token(&result.language)?;
            let allowed = candidates.is_empty() || candidates.contains(&language);
            allowed.then_some(Detected {
                language,
                probability: result.probability,
            })
        })
    }

    /// Aligns and hands out what needs no other try.
    fn hand_out(
        &self,
        batch: &Encoded<'_>,
        mut found: Vec<Found>,
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        self.align(batch, &mut found)?;
        for found in found {
            let generation = Generation {
                tokens: found.kept.tokens,
                language: batch.languages[found.row],
                quality: found.kept.quality,
                is_doubtful: found.is_doubtful,
                temperature: found.kept.temperature,
                alignment: found.alignment,
            };
            answer(found.row, generation);
        }
        Ok(())
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
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        let encoded = self.encode(key.frames, inputs)?;
        let languages = self.languages(&encoded, inputs)?;
        let prompt = |(input, detected): (&Input<'_>, &Option<Detected>)| PromptSpec {
            language: detected.map(|detected| detected.language),
            ..input.prompt.clone()
        };
        let batch = Encoded {
            encoded,
            prompts: inputs.iter().zip(&languages).map(prompt).collect(),
            languages,
            inputs,
        };
        let next = |window: &Window| window.next_temperature(key, inputs);
        let mut open: Vec<Window> = (0..inputs.len()).map(Window::untried).collect();
        // The windows of a round have one temperature; callers may differ in what comes after.
        while let Some(temperature) = open.iter().filter_map(next).min_by(f32::total_cmp) {
            let (mut due, later): (Vec<_>, Vec<_>) = open
                .into_iter()
                .partition(|window| next(window) == Some(temperature));
            let options = GenerateOptions {
                temperature,
                ..key.options.clone()
            };
            let rows: Vec<usize> = due.iter().map(|window| window.row).collect();
            for (window, found) in due.iter_mut().zip(self.tries(&batch, &rows, &options)?) {
                window.tries.push(found);
            }
            let (again, done): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|window| next(window).is_some());
            let found = done.into_iter().map(|window| {
                let fallback = &inputs[window.row].decoding.fallback;
                let kept = keep(fallback, window.tries);
                let looks_wrong = kept.is_cut || fallback.rejects(&kept.quality);
                Found {
                    row: window.row,
                    is_doubtful: looks_wrong && !key.is_whole(),
                    kept,
                    alignment: None,
                }
            });
            self.hand_out(&batch, found.collect(), answer)?;
            open = again;
            open.extend(later);
        }
        Ok(())
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
