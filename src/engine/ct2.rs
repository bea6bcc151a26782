//! CTranslate2's Whisper behind the [`Engine`] trait; the only file that names ct2rs.

mod alignment;
mod encodings;
mod errors;
mod gemm;
mod gpu;
#[cfg(test)]
mod logits;
mod placement;
mod stack;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
mod tries;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use ct2rs::sys::{DetectionResult, StorageView, Whisper, WhisperOptions};

use super::memory::{DeviceMemory, Dimensions, MemoryBudget};
use super::{
    Engine, EngineError, EngineFactory, EngineInput, EnginePlan, Generation, LanguageDetection,
    PlannedMemory,
};
use crate::batch::{BatchKey, GenerateOptions};
use crate::config::ComputeType;
use crate::features::WINDOW_FRAMES;
use crate::tokens::{Alignment, Language, PromptSpec, Task, Vocabulary};
use gpu::Gpu;
use errors::{batch_error, load_error};
use gemm::Products;
pub use gemm::{GemmFailed, make_kernels};
pub use placement::{Placement, cuda_devices};
use stack::Stack;
use tries::{Try, Window, keep};

/// Frames of silence an engine runs before it counts as loaded: the CUDA libraries are opened
/// by the first encoding, not by loading.
const WARM_UP_FRAMES: usize = 100;

/// What an engine is to run, and how.
#[derive(Clone, Debug)]
pub struct EngineSpec {
    /// The model's folder.
    pub dir: PathBuf,
    /// Where it runs.
    pub placement: Placement,
    /// In which numbers.
    pub compute_type: ComputeType,
    /// What its memory depends on.
    pub dimensions: Dimensions,
    /// What its weights will take, in bytes; an estimate.
    pub weights_bytes: u64,
    /// Windows in a batch, at most.
    pub batch_size: NonZeroUsize,
    /// Beams of most requests.
    pub beam_size: NonZeroUsize,
    /// What it may take of a card's memory, weights included, in bytes.
    pub memory_limit: Option<u64>,
    /// Engines of the model on its card, itself among them.
    pub engines_on_gpu: NonZeroUsize,
}

/// Makes engines.
#[must_use]
pub fn factory(spec: EngineSpec, vocabulary: Arc<Vocabulary>) -> EngineFactory {
    Arc::new(move || {
        let engine = Ct2Engine::load(&spec, Arc::clone(&vocabulary))?;
        Ok(Box::new(engine))
    })
}

struct Ct2Engine {
    whisper: Whisper,
    vocabulary: Arc<Vocabulary>,
    plan: EnginePlan,
    /// None on a processor.
    gpu: Option<(Gpu, MemoryBudget)>,
}

/// A batch after the encoder.
struct Encoded<'a> {
    encoded: StorageView<'static>,
    /// All that its texts are made of.
    products: Products,
    inputs: &'a [EngineInput<'a>],
    languages: Vec<Option<LanguageDetection>>,
    prompts: Vec<PromptSpec>,
}

/// What is kept of the tries for a window.
struct Found {
    row: usize,
    kept: Try,
    needs_longer_encoding: bool,
    alignment: Option<Alignment>,
}

impl Ct2Engine {
    fn load(spec: &EngineSpec, vocabulary: Arc<Vocabulary>) -> Result<Self, EngineError> {
        let config = spec.placement.config(spec.compute_type)?;
        if let Placement::Cpu { threads } = spec.placement {
            gemm::pack_for(threads);
        }
        let whisper = Whisper::new(&spec.dir, config).map_err(load_error)?;
        let mut engine = Self {
            whisper,
            vocabulary,
            plan: EnginePlan {
                device: spec.placement.to_string(),
                windows: spec.batch_size.get(),
                encoder_windows: 1,
                memory: None,
            },
            gpu: None,
        };
        engine.warm_up()?;
        if let Placement::Cuda { index } = spec.placement {
            engine.plan_for(Gpu::open(index), spec)?;
        }
        Ok(engine)
    }

    /// Plans batches by what is free beside the weights.
    fn plan_for(&mut self, gpu: Option<Gpu>, spec: &EngineSpec) -> Result<(), EngineError> {
        let unknown = || load_error("the card does not tell how much memory it has");
        let gpu = gpu.ok_or_else(unknown)?;
        let memory = gpu.memory().ok_or_else(unknown)?;
        gpu.keep_freed_memory();
        let weights = spec.weights_bytes;
        let share = memory.shared_by(spec.engines_on_gpu, weights);
        let budget = MemoryBudget::new(spec.dimensions, share, weights, spec.memory_limit);
        let usual = BatchKey {
            frames: WINDOW_FRAMES,
            previous_tokens: 0,
            options: GenerateOptions {
                beam_size: spec.beam_size,
                ..GenerateOptions::default()
            },
        };
        let windows = budget.windows(&usual, &vec![WINDOW_FRAMES; spec.batch_size.get()]);
        self.plan.windows = windows;
        self.plan.encoder_windows = budget.encoder_windows(&usual, WINDOW_FRAMES, windows);
        self.plan.memory = Some(PlannedMemory {
            planned: weights + budget.peak_bytes(&usual, &vec![WINDOW_FRAMES; windows]),
            free: memory.free,
            total: memory.total,
        });
        self.gpu = Some((gpu, budget));
        Ok(())
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let products = Products::watch();
        let mut silence = Stack::silence(self.whisper.n_mels(), WARM_UP_FRAMES);
        let encoded = self.encode_features(&silence.view()?);
        let encoded = encoded.map_err(load_error)?;
        // CTranslate2 names each token that it writes, so a vocabulary of another model fails here.
        let prompt = self.vocabulary.prompt(&PromptSpec {
            language: Some(Language::ENGLISH),
            task: Task::Transcribe,
            timestamps: true,
            previous: Vec::new(),
        });
        let prompts = [self.vocabulary.token_strings(&prompt)];
        let options = WhisperOptions {
            // Of which the prompt is a part; half of it at most is generated.
            max_length: 2 * (prompt.len() + 1),
            ..WhisperOptions::default()
        };
        let generated = self.whisper.generate(&encoded, &prompts, &options);
        generated.map_err(load_error)?;
        products.check().map_err(load_error)
    }

    /// Encodes every window. On a processor one after the other, which keeps its tensors in the
    /// cache (measured: docs/performance.md); on a card those of one length, side by side, as many at
    /// once as its memory holds.
    fn encode(
        &self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
    ) -> Result<StorageView<'static>, EngineError> {
        let n_mels = self.whisper.n_mels();
        let parts = match &self.gpu {
            None => inputs
                .chunks(1)
                .map(|inputs| self.encode_features(&Stack::of(inputs, n_mels)?.view()?))
                .collect::<Result<_, _>>()?,
            Some((gpu, budget)) => {
                let calls = inputs.chunk_by(|a, b| a.length == b.length);
                let calls = calls.flat_map(|same| {
                    same.chunks(budget.encoder_windows(key, same[0].length, same.len()))
                });
                self.encode_on_gpu(gpu, calls)?
            }
        };
        encodings::join(parts)
    }

    /// Has the features of each call brought to the card while the call before it runs.
    fn encode_on_gpu<'a>(
        &self,
        gpu: &Gpu,
        mut calls: impl Iterator<Item = &'a [EngineInput<'a>]>,
    ) -> Result<Vec<StorageView<'static>>, EngineError> {
        let (gpu_index, n_mels) = (gpu.index(), self.whisper.n_mels());
        let bring = |inputs| encodings::upload(&Stack::of(inputs, n_mels)?.view()?, gpu_index);
        thread::scope(|scope| {
            let mut next = calls
                .next()
                .map(|inputs| scope.spawn(move || bring(inputs)));
            let mut parts = Vec::new();
            while let Some(brought) = next {
                let features = brought.join();
                let features = features.map_err(|_| batch_error("features were not brought"))??;
                next = calls
                    .next()
                    .map(|inputs| scope.spawn(move || bring(inputs)));
                parts.push(self.encode_features(&features)?);
            }
            Ok(parts)
        })
    }

    fn encode_features(
        &self,
        features: &StorageView<'_>,
    ) -> Result<StorageView<'static>, EngineError> {
        self.whisper.encode(features, false).map_err(batch_error)
    }

    /// The language of every window: the one given, or the likeliest of its candidates.
    fn languages(
        &self,
        encoded: &StorageView<'static>,
        inputs: &[EngineInput<'_>],
    ) -> Result<Vec<Option<LanguageDetection>>, EngineError> {
        let given = |input: &EngineInput<'_>| {
            input.prompt.language.map(|language| LanguageDetection {
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
        let selected = encodings::select(encoded, &unknown, None)?;
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
    ) -> Option<LanguageDetection> {
        // CTranslate2 sorts by falling probability.
        detected.iter().find_map(|result| {
            let language = self.vocabulary.language_of_token(&result.language)?;
            let allowed = candidates.is_empty() || candidates.contains(&language);
            allowed.then_some(LanguageDetection {
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
        batch.products.check().map_err(batch_error)?;
        for found in found {
            let generation = Generation {
                tokens: found.kept.tokens,
                language: batch.languages[found.row],
                quality: found.kept.quality,
                needs_longer_encoding: found.needs_longer_encoding,
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

    fn plan(&self) -> EnginePlan {
        self.plan.clone()
    }

    fn max_windows(&self, key: &BatchKey, lengths: &[usize]) -> usize {
        match &self.gpu {
            None => lengths.len(),
            Some((_, budget)) => budget.windows(key, lengths),
        }
    }

    fn reduce_budget(&mut self, key: &BatchKey, lengths: &[usize]) {
        if let Some((_, budget)) = &mut self.gpu {
            budget.reduce(key, lengths);
        }
    }

    fn device_memory(&self) -> Option<DeviceMemory> {
        self.gpu.as_ref().and_then(|(gpu, _)| gpu.memory())
    }

    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        let products = Products::watch();
        let start = Instant::now();
        let encoded = self.encode(key, inputs)?;
        tracing::debug!(windows = inputs.len(), frames = key.frames, elapsed = ?start.elapsed(), "encoded");
        let languages = self.languages(&encoded, inputs)?;
        let prompt = |(input, detected): (&EngineInput<'_>, &Option<LanguageDetection>)| PromptSpec {
            language: detected.map(|detected| detected.language),
            ..input.prompt.clone()
        };
        let batch = Encoded {
            encoded,
            products,
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
            let start = Instant::now();
            let tries = self.tries(&batch, &rows, &options)?;
            let longest = tries.iter().map(|found| found.tokens.len()).max();
            tracing::debug!(texts = rows.len(), longest, elapsed = ?start.elapsed(), "written");
            for (window, found) in due.iter_mut().zip(tries) {
                window.tries.push(found);
            }
            let (again, done): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|window| next(window).is_some());
            let found = done.into_iter().map(|window| {
                let input = &inputs[window.row];
                let fallback = &input.decoding.fallback;
                let kept = keep(fallback, window.tries);
                Found {
                    row: window.row,
                    needs_longer_encoding: kept.needs_longer_encoding(input),
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
