//! The segmentation network: who speaks when within ten seconds.
//!
//! This is `PyanNet` of pyannote segmentation-3.0 (MIT, <https://github.com/pyannote/pyannote-audio>):
//! band-pass filters and two convolutions, four bidirectional LSTM layers and three linear ones.

use std::path::Path;

use super::layer::{RowsLayer, Size};
use super::weights::{WeightFile, WeightsError};

mod sinc_filters;
mod sincnet;
mod lstm;

use lstm::Bidirectional;
use sincnet::SincNet;

/// Samples of a window: 10 s.
pub const WINDOW_SAMPLES: usize = 160_000;

/// Frames of a window.
pub const WINDOW_FRAMES: usize = 589;

/// Samples from one frame to the next: 16.9 ms.
pub const FRAME_STEP: usize = 270;

/// The middle of the first frame, in samples.
pub const FIRST_FRAME_MIDDLE: usize = 495;

/// Maximum number of speakers that a window tells apart.
pub const LOCAL_SPEAKERS: usize = 3;

/// Which local speakers are speaking in each of the network's classes.
pub const CLASSES: [&[usize]; 7] = [&[], &[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]];

/// Probability of each of the [`CLASSES`] in a frame.
pub type ClassProbabilities = [f32; CLASSES.len()];

/// Units of the linear layers.
const LINEAR_UNITS: usize = 128;

/// The network for this processor.
pub struct Segmentation {
    sincnet: SincNet,
    lstm: [Bidirectional; 4],
    linear: [RowsLayer; 2],
    classifier: RowsLayer,
}

impl Segmentation {
    /// Loads the weights that `scripts/speaker_weights.py` writes.
    pub fn load(file: &Path) -> Result<Self, WeightsError> {
        let weights = WeightFile::read(file)?;
        let linear = |name: &str, inputs: usize, outputs: usize| {
            let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
            let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
            let size = Size { inputs, outputs };
            Ok(RowsLayer::new(
                size,
                |output, input| weight[output * inputs + input],
                &bias,
            ))
        };
        Ok(Self {
            sincnet: SincNet::new(&weights)?,
            lstm: [
                Bidirectional::new(&weights, 0, sincnet::CHANNELS)?,
                Bidirectional::new(&weights, 1, lstm::WIDTH)?,
                Bidirectional::new(&weights, 2, lstm::WIDTH)?,
                Bidirectional::new(&weights, 3, lstm::WIDTH)?,
            ],
            linear: [
                linear("linear.0", lstm::WIDTH, LINEAR_UNITS)?,
                linear("linear.1", LINEAR_UNITS, LINEAR_UNITS)?,
            ],
            classifier: linear("classifier", LINEAR_UNITS, CLASSES.len())?,
        })
    }

    /// Class probabilities of each frame of `pcm`, which is mono at 16 kHz and padded with silence to
    /// [`WINDOW_SAMPLES`]; samples beyond are ignored.
    pub fn probabilities(&self, pcm: &[f32]) -> Vec<ClassProbabilities> {
        let mut values = self.sincnet.apply(pcm);
        for layer in &self.lstm {
            values = layer.apply(&values);
        }
        for layer in &self.linear {
            values = apply(layer, &values);
            leaky_relu(&mut values);
        }
        let scores = apply(&self.classifier, &values);
        scores
            .chunks_exact(self.classifier.row_width())
            .map(softmax)
            .collect()
    }
}

fn apply(layer: &RowsLayer, values: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; WINDOW_FRAMES * layer.row_width()];
    layer.apply_dense(values, &mut output);
    output
}

fn leaky_relu(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.01 * *value);
    }
}

/// Turns the scores of a frame into probabilities.
fn softmax(scores: &[f32]) -> ClassProbabilities {
    let mut probabilities: ClassProbabilities = std::array::from_fn(|class| scores[class]);
    let highest = probabilities.iter().copied().fold(f32::MIN, f32::max);
    for value in &mut probabilities {
        *value = (*value - highest).exp();
    }
    let sum: f32 = probabilities.iter().sum();
    probabilities.map(|value| value / sum)
}
