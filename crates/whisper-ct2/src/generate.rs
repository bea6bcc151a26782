//! Engines that generate whole batches by CTranslate2's own search, some of whose functions the linker replaces by the
//! files in `cpp/` ([`unreplaced_functions`]).

mod alignment;
mod attempts;
mod ct2_config;
mod encodings;
mod errors;
mod feature_batch;
mod gemm;
mod gpu;
mod languages;
#[cfg(test)]
mod logits;
mod replaced;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use ct2rs::sys::{StorageView, Whisper, WhisperOptions};

use crate::errors::load_error;
use crate::{EngineSpec, Placement};
use attempts::WindowAttempts;
use errors::batch_error;
use feature_batch::FeatureBatch;
use gemm::GemmMonitor;
pub use gemm::{GemmFailed, create_kernels, supports_mixed_lengths};
use gpu::Gpu;
use halkspeech_whisper::engine::memory::{DeviceMemory, MemoryBudget};
use halkspeech_whisper::engine::{
    AttemptedText, BatchKey, Engine, EngineError, EngineFactory, EngineInput, EnginePlan,
    GenerateOptions, Generation, LanguageDetection, PlannedMemory, select_attempt,
};
use halkspeech_whisper::features::WINDOW_FRAMES;
use halkspeech_whisper::{Alignment, Language, PromptSpec, Task, Vocabulary};
pub use replaced::unreplaced_functions;

/// Frames of silence that an engine encodes before it counts as loaded: the first encoding, not loading,
/// opens the CUDA libraries.
const WARM_UP_FRAMES: usize = 100;

/// Shares nothing: CTranslate2 loads the weights of each engine.
#[derive(Clone, Debug, Default)]
pub struct SharedWeights(());

/// A factory of engines.
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
    /// None on a CPU.
    gpu: Option<(Gpu, MemoryBudget)>,
}

/// A batch after the encoder.
struct EncodedBatch<'a> {
    encodings: StorageView<'static>,
    /// Detects matrix products that fail while the batch runs.
    gemm_monitor: GemmMonitor,
    inputs: &'a [EngineInput<'a>],
    languages: Vec<Option<LanguageDetection>>,
    prompts: Vec<PromptSpec>,
}

/// The final text of a window.
struct WindowResult {
    row: usize,
    text: AttemptedText,
    needs_longer_encoding: bool,
    alignment: Option<Alignment>,
}

impl Ct2Engine {
    fn load(spec: &EngineSpec, vocabulary: Arc<Vocabulary>) -> Result<Self, EngineError> {
        let config = spec.placement.config(spec.compute_type)?;
        if let Placement::Cpu { threads } = spec.placement {
            gemm::set_packing_threads(threads);
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
            engine.plan_gpu_batches(Gpu::open(index), spec)?;
        }
        Ok(engine)
    }

    /// Plans batches for the memory that is free after the weights were loaded.
    fn plan_gpu_batches(&mut self, gpu: Option<Gpu>, spec: &EngineSpec) -> Result<(), EngineError> {
        let unknown = || load_error("the GPU's memory size is unknown");
        let gpu = gpu.ok_or_else(unknown)?;
        let memory = gpu.memory().ok_or_else(unknown)?;
        gpu.keep_freed_memory();
        let weights = spec.weights_bytes;
        let share = memory.shared_by(spec.engines_on_gpu, weights);
        let budget = MemoryBudget::new(spec.dimensions, share, weights, spec.memory_limit);
        let default_key = BatchKey {
            frames: WINDOW_FRAMES,
            previous_tokens: 0,
            options: GenerateOptions {
                beam_size: spec.beam_size,
                ..GenerateOptions::default()
            },
        };
        let windows = budget.windows(&default_key, &vec![WINDOW_FRAMES; spec.batch_size.get()]);
        self.plan.windows = windows;
        self.plan.encoder_windows = budget.encoder_windows(&default_key, WINDOW_FRAMES, windows);
        self.plan.memory = Some(PlannedMemory {
            planned: weights + budget.peak_bytes(&default_key, &vec![WINDOW_FRAMES; windows]),
            free: memory.free,
            total: memory.total,
            for_windows: budget.available(),
        });
        self.gpu = Some((gpu, budget));
        Ok(())
    }

    fn warm_up(&mut self) -> Result<(), EngineError> {
        let gemm_monitor = GemmMonitor::start();
        let mut silence = FeatureBatch::silence(self.whisper.n_mels(), WARM_UP_FRAMES);
        let encodings = self.encode_features(&silence.view()?);
        let encodings = encodings.map_err(load_error)?;
        // CTranslate2 looks up each generated token, so a vocabulary of another model fails here.
        let prompt = self.vocabulary.prompt(&PromptSpec {
            language: Some(Language::ENGLISH),
            task: Task::Transcribe,
            timestamps: true,
            previous: Vec::new(),
        });
        let prompts = [self.vocabulary.token_strings(&prompt)];
        let options = WhisperOptions {
            // Includes the prompt; at most half of it is generated.
            max_length: 2 * (prompt.len() + 1),
            ..WhisperOptions::default()
        };
        let generated = self.whisper.generate(&encodings, &prompts, &options);
        generated.map_err(load_error)?;
        gemm_monitor.check().map_err(load_error)
    }

    /// Encodes every window. On a CPU one after the other, which keeps the tensors in the cache (measured:
    /// docs/performance.md); on a GPU windows of one length in one call, as many as its memory allows.
    fn encode(
        &self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
    ) -> Result<StorageView<'static>, EngineError> {
        let n_mels = self.whisper.n_mels();
        let parts = match &self.gpu {
            None => inputs
                .chunks(1)
                .map(|inputs| self.encode_features(&FeatureBatch::new(inputs, n_mels)?.view()?))
                .collect::<Result<_, _>>()?,
            Some((gpu, budget)) => {
                let calls = inputs.chunk_by(|a, b| a.padded_frames == b.padded_frames);
                let calls = calls.flat_map(|same| {
                    same.chunks(budget.encoder_windows(key, same[0].padded_frames, same.len()))
                });
                self.encode_on_gpu(gpu, calls)?
            }
        };
        encodings::join(parts)
    }

    /// Uploads the features of each call to the GPU while the previous call runs.
    fn encode_on_gpu<'a>(
        &self,
        gpu: &Gpu,
        mut calls: impl Iterator<Item = &'a [EngineInput<'a>]>,
    ) -> Result<Vec<StorageView<'static>>, EngineError> {
        let (gpu_index, n_mels) = (gpu.index(), self.whisper.n_mels());
        let upload =
            |inputs| encodings::upload(&FeatureBatch::new(inputs, n_mels)?.view()?, gpu_index);
        thread::scope(|scope| {
            let mut next = calls
                .next()
                .map(|inputs| scope.spawn(move || upload(inputs)));
            let mut parts = Vec::new();
            while let Some(uploading) = next {
                let features = uploading.join();
                let features =
                    features.map_err(|_| batch_error("the upload of the features panicked"))??;
                next = calls
                    .next()
                    .map(|inputs| scope.spawn(move || upload(inputs)));
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

    /// Aligns the final texts and answers their windows.
    fn align_and_answer(
        &self,
        batch: &EncodedBatch<'_>,
        mut results: Vec<WindowResult>,
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        self.align(batch, &mut results)?;
        batch.gemm_monitor.check().map_err(batch_error)?;
        for result in results {
            let generation = Generation {
                tokens: result.text.tokens,
                language: batch.languages[result.row],
                quality: result.text.quality,
                needs_longer_encoding: result.needs_longer_encoding,
                temperature: result.text.temperature,
                alignment: result.alignment,
                removed: Vec::new(),
            };
            answer(result.row, generation);
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
        let gemm_monitor = GemmMonitor::start();
        let start = Instant::now();
        let encodings = self.encode(key, inputs)?;
        tracing::debug!(windows = inputs.len(), frames = key.frames, elapsed = ?start.elapsed(), "windows encoded");
        let languages = self.languages(&encodings, inputs)?;
        let prompt =
            |(input, detected): (&EngineInput<'_>, &Option<LanguageDetection>)| PromptSpec {
                language: detected.map(|detected| detected.language),
                ..input.prompt.clone()
            };
        let batch = EncodedBatch {
            encodings,
            gemm_monitor,
            prompts: inputs.iter().zip(&languages).map(prompt).collect(),
            languages,
            inputs,
        };
        let next = |window: &WindowAttempts| window.next_temperature(key, inputs);
        let mut pending: Vec<WindowAttempts> = (0..inputs.len()).map(WindowAttempts::new).collect();
        // The windows of a round have one temperature; later temperatures may differ by request.
        while let Some(temperature) = pending.iter().filter_map(next).min_by(f32::total_cmp) {
            let (mut due, later): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .partition(|window| next(window) == Some(temperature));
            let options = GenerateOptions {
                temperature,
                ..key.options.clone()
            };
            let rows: Vec<usize> = due.iter().map(|window| window.row).collect();
            let start = Instant::now();
            let texts = self.generate_rows(&batch, &rows, &options)?;
            let longest = texts.iter().map(|text| text.tokens.len()).max();
            tracing::debug!(texts = rows.len(), longest, elapsed = ?start.elapsed(), "texts generated");
            for (window, text) in due.iter_mut().zip(texts) {
                window.texts.push(text);
            }
            let (rejected, done): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|window| next(window).is_some());
            let results = done.into_iter().filter_map(|window| {
                let input = &inputs[window.row];
                let fallback = &input.decoding.fallback;
                let text = select_attempt(fallback, window.texts)?;
                Some(WindowResult {
                    row: window.row,
                    needs_longer_encoding: text.needs_longer_encoding(fallback, input.length()),
                    text,
                    alignment: None,
                })
            });
            self.align_and_answer(&batch, results.collect(), answer)?;
            pending = rejected;
            pending.extend(later);
        }
        Ok(())
    }
}
