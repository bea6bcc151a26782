//! Concatenates the features of several windows for a call of the encoder.

use ct2rs::sys::{Device, StorageView};

use super::errors::batch_error;
use halkspeech_whisper::engine::{EngineError, EngineInput};

/// Features for a call of the encoder, row-major `[windows, n_mels, frames]`.
pub struct FeatureBatch {
    pub(super) values: Vec<f32>,
    pub(super) shape: [usize; 3],
}

impl FeatureBatch {
    /// One window of silence.
    pub fn silence(n_mels: usize, frames: usize) -> Self {
        Self {
            values: vec![0.0; n_mels * frames],
            shape: [1, n_mels, frames],
        }
    }

    /// The features of inputs of one padded length, each padded with its own silence.
    ///
    /// # Errors
    /// [`EngineError::Batch`] if features do not fit.
    pub fn new(inputs: &[EngineInput<'_>], n_mels: usize) -> Result<Self, EngineError> {
        let lengths = inputs.iter().map(|input| input.padded_frames);
        let frames = lengths.max().unwrap_or(0);
        let mut values = Vec::with_capacity(inputs.len() * n_mels * frames);
        for features in inputs.iter().map(|input| input.features) {
            if features.n_mels != n_mels || features.frames > frames {
                let (bins, length) = (features.n_mels, features.frames);
                let message =
                    format!("features of {bins} x {length} do not fit {n_mels} x {frames}");
                return Err(EngineError::Batch(message));
            }
            features.append_padded(frames, &mut values);
        }
        Ok(Self {
            values,
            shape: [inputs.len(), n_mels, frames],
        })
    }

    /// A view in CTranslate2's form.
    ///
    /// # Errors
    /// [`EngineError::Batch`] if the number of values does not match the shape.
    pub fn view(&mut self) -> Result<StorageView<'_>, EngineError> {
        StorageView::new(&self.shape, &mut self.values, Device::CPU).map_err(batch_error)
    }
}
