//! An engine that runs batches with a decoder that writes token by token.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::attempts::WindowLength;
use super::decoder::{Decoder, Encoder, EncoderInput};
use super::memory::DeviceMemory;
use super::writer::{EncodedWindow, WindowId, WindowTask, Writer};
use super::{BatchKey, Engine, EngineError, EngineInput, EnginePlan, Generation};
use crate::Vocabulary;
use crate::features::Features;

/// Encodes and writes the windows of a batch.
pub struct BatchEngine<E, D: Decoder> {
    encoder: E,
    writer: Writer<D>,
    n_mels: usize,
    plan: EnginePlan,
}

impl<E, D> BatchEngine<E, D>
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
        }
    }

    fn write(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        let encoder_inputs = inputs.iter().map(|input| EncoderInput {
            features: input.features,
            padded_frames: input.padded_frames,
        });
        let encodings = self.encoder.encode(&encoder_inputs.collect::<Vec<_>>())?;
        let window = |(index, (input, encoding)): (usize, (&EngineInput<'_>, D::Encoding))| {
            let task = task(key, input);
            EncodedWindow {
                id: WindowId(index as u64),
                task,
                encoding,
            }
        };
        let windows = inputs.iter().zip(encodings).enumerate().map(window);
        self.writer.open(windows.collect())?;
        while self.writer.windows() > 0 {
            for (WindowId(index), generation) in self.writer.step()? {
                answer(index as usize, generation);
            }
        }
        Ok(())
    }
}

impl<E, D> Engine for BatchEngine<E, D>
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
        None
    }

    fn generate(
        &mut self,
        key: &BatchKey,
        inputs: &[EngineInput<'_>],
        answer: &mut dyn FnMut(usize, Generation),
    ) -> Result<(), EngineError> {
        let result = self.write(key, inputs, answer);
        if result.is_err() {
            self.writer.close_all();
        }
        result
    }
}

fn task(key: &BatchKey, input: &EngineInput<'_>) -> WindowTask {
    WindowTask {
        length: WindowLength {
            audio_s: input.audio_s(),
            padded_frames: input.padded_frames,
        },
        audio_frames: input.features.frames,
        prompt: input.prompt.clone(),
        options: key.options.clone(),
        decoding: Arc::new(input.decoding.clone()),
        previous_attempt: input.previous_attempt.copied(),
        random_seed: hash(input.features),
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
