//! An engine that writes the texts of windows that come and go.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::decoder::{Decoder, Encoder, EncoderInput};
use super::memory::DeviceMemory;
use super::writer::{EncodedWindow, WindowId, WindowTask, Writer, WrittenText};
use super::{
    BatchKey, Engine, EngineError, EngineInput, EnginePlan, GenerateOptions, Generation, RandomSeed,
};
use crate::Vocabulary;
use crate::features::Features;
use crate::search::ScoredToken;

/// An engine in which windows come and go.
pub trait ContinuousEngine {
    /// Encodes a window, and begins to write its text.
    ///
    /// # Errors
    /// [`EngineError`]: it was not opened.
    fn open(
        &mut self,
        id: WindowId,
        options: &GenerateOptions,
        input: &EngineInput<'_>,
    ) -> Result<(), EngineError>;

    /// Makes one step for these windows, and returns those whose text is complete. Others skip it: they keep their
    /// texts and their slots.
    ///
    /// # Errors
    /// [`EngineError`]: all windows are closed.
    fn step(&mut self, ids: &[WindowId]) -> Result<Vec<(WindowId, WrittenText)>, EngineError>;

    /// Aligns the words of a window whose text is complete, and ends the window.
    ///
    /// # Errors
    /// [`EngineError`]: all windows are closed.
    fn align(&mut self, id: WindowId) -> Result<Generation, EngineError>;

    /// The begin of a window's text that can be sent: whole words that are certain. It only grows. None if
    /// the window is not being written.
    fn certain(&self, id: WindowId) -> Option<&[ScoredToken]>;

    /// Ends a window without a text. No error if it is not being written.
    fn close(&mut self, id: WindowId);

    /// Number of rows of a step of these windows.
    fn rows(&self, ids: &[WindowId]) -> usize;
}

/// Encodes windows and writes their texts.
pub struct WindowEngine<E, D: Decoder> {
    encoder: E,
    writer: Writer<D>,
    n_mels: usize,
    plan: EnginePlan,
    device_memory: Box<MemoryQuery>,
}

/// Asks for the current memory of a GPU.
type MemoryQuery = dyn Fn() -> Option<DeviceMemory>;

impl<E, D> WindowEngine<E, D>
where
    D: Decoder,
    E: Encoder<Encoding = D::Encoding>,
{
    /// An engine for features of `n_mels` bins.
    pub fn new(
        (encoder, decoder): (E, D),
        vocabulary: Arc<Vocabulary>,
        n_mels: usize,
        plan: EnginePlan,
    ) -> Self {
        Self {
            encoder,
            writer: Writer::new(decoder, vocabulary),
            n_mels,
            plan,
            device_memory: Box::new(|| None),
        }
    }

    /// The same engine on a GPU whose memory is asked for so.
    #[must_use]
    pub fn with_device_memory(
        self,
        device_memory: impl Fn() -> Option<DeviceMemory> + 'static,
    ) -> Self {
        Self {
            device_memory: Box::new(device_memory),
            ..self
        }
    }
}

impl<E, D> ContinuousEngine for WindowEngine<E, D>
where
    D: Decoder,
    E: Encoder<Encoding = D::Encoding>,
{
    fn open(
        &mut self,
        id: WindowId,
        options: &GenerateOptions,
        input: &EngineInput<'_>,
    ) -> Result<(), EngineError> {
        let window = EncoderInput {
            features: input.features,
            padded_frames: input.padded_frames,
        };
        let encodings = self.encoder.encode(&[window])?;
        let task = task(options, input);
        let windows = encodings.into_iter().map(|encoding| EncodedWindow {
            id,
            task: task.clone(),
            encoding,
        });
        self.writer.open(windows.collect())
    }

    fn step(&mut self, ids: &[WindowId]) -> Result<Vec<(WindowId, WrittenText)>, EngineError> {
        let written = self.writer.step(ids);
        if written.is_err() {
            self.writer.close_all();
        }
        written
    }

    fn align(&mut self, id: WindowId) -> Result<Generation, EngineError> {
        let generation = self.writer.align(id);
        if generation.is_err() {
            self.writer.close_all();
        }
        generation
    }

    fn certain(&self, id: WindowId) -> Option<&[ScoredToken]> {
        self.writer.certain(id)
    }

    fn close(&mut self, id: WindowId) {
        self.writer.close(id);
    }

    fn rows(&self, ids: &[WindowId]) -> usize {
        self.writer.rows(ids)
    }
}

impl<E, D> Engine for WindowEngine<E, D>
where
    D: Decoder,
    E: Encoder<Encoding = D::Encoding>,
{
    fn n_mels(&self) -> usize {
        self.n_mels
    }

    fn plan(&self) -> EnginePlan {
        self.plan.clone()
    }

    fn max_windows(&self, _key: &BatchKey, lengths: &[usize]) -> usize {
        lengths.len()
    }

    fn reduce_budget(&mut self, _key: &BatchKey, _lengths: &[usize]) {}

    fn device_memory(&self) -> Option<DeviceMemory> {
        (self.device_memory)()
    }

    fn continuous(&mut self) -> Option<&mut dyn ContinuousEngine> {
        Some(self)
    }

    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        for (index, input) in inputs.iter().enumerate() {
            if let Err(error) = self.open(WindowId(index as u64), &key.options, input) {
                self.writer.close_all();
                return Err(error);
            }
        }
        let ids: Vec<WindowId> = (0..inputs.len() as u64).map(WindowId).collect();
        while self.writer.windows() > 0 {
            for (id, text) in self.step(&ids)? {
                let generation = match text {
                    WrittenText::Final(generation) => generation,
                    WrittenText::ToAlign => self.align(id)?,
                };
                answer(id.0 as usize, generation);
            }
        }
        Ok(())
    }
}

fn task(options: &GenerateOptions, input: &EngineInput<'_>) -> WindowTask {
    WindowTask {
        length: input.length(),
        audio_frames: input.features.frames,
        prompt: input.prompt.clone(),
        options: options.clone(),
        decoding: Arc::new(input.decoding.clone()),
        previous_attempt: input.previous_attempt.copied(),
        random_seed: input.random_seed.unwrap_or_else(|| RandomSeed {
            seed: hash(input.features),
            window: 0,
        }),
        sent: input.sent.map(<[ScoredToken]>::to_vec),
    }
}

/// A number that only the audio determines; not stable between versions of the program.
fn hash(features: &Features) -> u64 {
    let mut hasher = DefaultHasher::new();
    for value in &features.values {
        value.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}
