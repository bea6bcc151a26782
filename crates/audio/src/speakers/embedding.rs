//! The embedding network: a vector that says how a voice sounds.
//!
//! This is CAM++ of 3D-Speaker (Apache-2.0, <https://github.com/modelscope/3D-Speaker>), the model
//! `speech_campplus_sv_zh_en_16k-common_advanced`: convolutions over time and frequency, then densely
//! connected layers over time whose outputs are weighted by their context, then mean and deviation over
//! time.

use std::path::Path;

use super::filter_bank::{BINS, Frame};
use super::layer::{RowsLayer, Size};
use super::weights::{WeightFile, WeightsError};

mod planes;
mod front_end;
mod dense_block;

use dense_block::{DenseBlock, Transit};
use front_end::FrontEnd;

/// Numbers of a voice vector.
pub const DIMENSIONS: usize = 192;

/// A voice: a vector of length one. Two recordings of a voice have a high dot product.
pub type VoiceVector = [f32; DIMENSIONS];

/// Outputs of the last transit layer.
const LAST_CHANNELS: usize = 512;

/// The network for this processor.
pub struct Embedding {
    front_end: FrontEnd,
    blocks: [(DenseBlock, Transit); 3],
    dense: RowsLayer,
}

impl Embedding {
    /// Loads the weights that `scripts/speaker_weights.py` writes.
    pub fn load(file: &Path) -> Result<Self, WeightsError> {
        let weights = WeightFile::read(file)?;
        let block = |number: usize, layers: usize, dilation: usize| {
            let channels = [128, 256, 512][number - 1];
            let block = DenseBlock::new(&weights, number, (channels, layers), dilation)?;
            let transit = Transit::new(&weights, number, block.channels())?;
            Ok((block, transit))
        };
        let inputs = 2 * LAST_CHANNELS;
        let weight = weights.tensor("xvector.dense.linear.weight", &[DIMENSIONS, inputs, 1])?;
        let bias = weights.tensor("xvector.dense.linear.bias", &[DIMENSIONS])?;
        let size = Size {
            inputs,
            outputs: DIMENSIONS,
        };
        Ok(Self {
            front_end: FrontEnd::new(&weights)?,
            blocks: [block(1, 12, 1)?, block(2, 24, 2)?, block(3, 16, 2)?],
            dense: RowsLayer::new(size, |output, input| weight[output * inputs + input], &bias),
        })
    }

    /// The vector of at least one frame of features.
    pub fn vector(&self, frames: &[Frame]) -> VoiceVector {
        let mut values = Vec::new();
        self.front_end
            .apply(&centred(frames), &mut values, self.blocks[0].0.channels());
        for (index, (block, transit)) in self.blocks.iter().enumerate() {
            block.apply(&mut values);
            let next = self.blocks.get(index + 1);
            let width = next.map_or(LAST_CHANNELS, |(block, _)| block.channels());
            values = transit.apply(&values, width);
        }
        let mut vector = vec![0.0; self.dense.row_width()];
        self.dense
            .apply_dense(&mean_and_deviation(&values), &mut vector);
        normalised(&std::array::from_fn(|index| vector[index]))
    }
}

/// The frames without the mean of each bin, which holds the loudness and the microphone.
fn centred(frames: &[Frame]) -> Vec<Frame> {
    let mut means = [0.0_f64; BINS];
    for frame in frames {
        for (mean, value) in means.iter_mut().zip(frame) {
            *mean += f64::from(*value) / frames.len() as f64;
        }
    }
    let subtract = |frame: &Frame| std::array::from_fn(|bin| frame[bin] - means[bin] as f32);
    frames.iter().map(subtract).collect()
}

/// Mean of each channel, then its standard deviation.
fn mean_and_deviation(values: &[f32]) -> Vec<f32> {
    let count = values.len() / LAST_CHANNELS;
    let mut means = vec![0.0_f64; LAST_CHANNELS];
    for row in values.chunks_exact(LAST_CHANNELS) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += f64::from(*value) / count as f64;
        }
    }
    let mut variances = vec![0.0_f64; LAST_CHANNELS];
    for row in values.chunks_exact(LAST_CHANNELS) {
        for ((variance, value), mean) in variances.iter_mut().zip(row).zip(&means) {
            *variance += (f64::from(*value) - mean).powi(2) / count.saturating_sub(1).max(1) as f64;
        }
    }
    let deviations = variances.iter().map(|variance| variance.sqrt());
    means
        .iter()
        .copied()
        .chain(deviations)
        .map(|value| value as f32)
        .collect()
}

/// The vector with a length of one.
pub fn normalised(vector: &VoiceVector) -> VoiceVector {
    let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    vector.map(|value| value / length)
}

/// The cosine of the angle between two vectors of length one.
pub fn dot(a: &VoiceVector, b: &VoiceVector) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
