//! The convolutions of the segmentation network: 160,000 samples to 589 frames of 60 channels.

use super::sinc_filters::{self, FILTERS, TAPS};
use super::{WINDOW_FRAMES, WINDOW_SAMPLES, leaky_relu};
use crate::speakers::layer::{Rows, RowsLayer, Segment, Size};
use crate::speakers::weights::{WeightFile, WeightsError};

/// Channels of the output.
pub const CHANNELS: usize = 60;

/// Samples from one application of the filters to the next.
const STRIDE: usize = 10;

/// Positions of which the maximum is taken after each convolution.
const POOL: usize = 3;

/// Taps of the convolutions after the filters.
const CONVOLUTION_TAPS: usize = 5;

/// Pooled positions that are computed at once.
const BLOCK: usize = 64;

/// `PyTorch`'s default of `nn.InstanceNorm1d`.
const EPSILON: f64 = 1e-5;

/// The convolutions with their normalisations.
pub struct SincNet {
    input_scale: [f32; 2],
    filters: Stage,
    convolutions: [Stage; 2],
}

/// A convolution, maximum pooling and a normalisation of each channel over the window.
struct Stage {
    layer: RowsLayer,
    /// Distance between the inputs of consecutive positions.
    step: usize,
    /// Pooled positions.
    positions: usize,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl SincNet {
    pub fn new(weights: &WeightFile) -> Result<Self, WeightsError> {
        let scalar =
            |name: &str| Ok(weights.tensor(&format!("sincnet.wav_norm1d.{name}"), &[1])?[0]);
        let coefficients = sinc_filters::coefficients(weights)?;
        let size = Size {
            inputs: TAPS,
            outputs: FILTERS,
        };
        let layer = RowsLayer::new(size, |filter, tap| coefficients[filter * TAPS + tap], &[]);
        let filters = Stage::new(
            weights,
            0,
            layer,
            STRIDE,
            (WINDOW_SAMPLES - TAPS) / STRIDE + 1,
        )?;
        let first = convolution(weights, 1, FILTERS, &filters)?;
        let second = convolution(weights, 2, CHANNELS, &first)?;
        Ok(Self {
            input_scale: [scalar("weight")?, scalar("bias")?],
            filters,
            convolutions: [first, second],
        })
    }

    /// Rows of [`CHANNELS`] values, one for each frame of the window.
    pub fn apply(&self, pcm: &[f32]) -> Vec<f32> {
        let samples = self.normalised(pcm);
        let mut values = self.filters.apply(&samples, f32::abs);
        for stage in &self.convolutions {
            values = stage.apply(&values, |value| value);
        }
        // Without the zeros that fill the last vector.
        let width = self.convolutions[1].layer.row_width();
        let rows = values.chunks_exact(width).take(WINDOW_FRAMES);
        rows.flat_map(|row| &row[..CHANNELS]).copied().collect()
    }

    /// The window with a mean of zero and a variance of one, then the network's own scale.
    fn normalised(&self, pcm: &[f32]) -> Vec<f32> {
        let mut samples = pcm[..pcm.len().min(WINDOW_SAMPLES)].to_vec();
        samples.resize(WINDOW_SAMPLES, 0.0);
        let count = WINDOW_SAMPLES as f64;
        let mean = samples.iter().copied().map(f64::from).sum::<f64>() / count;
        let squares = samples
            .iter()
            .map(|sample| (f64::from(*sample) - mean).powi(2));
        let scale =
            f64::from(self.input_scale[0]) / (squares.sum::<f64>() / count + EPSILON).sqrt();
        let shift = f64::from(self.input_scale[1]);
        let normalise = |sample: f32| ((f64::from(sample) - mean) * scale + shift) as f32;
        samples.into_iter().map(normalise).collect()
    }
}

/// A convolution over the positions of the stage before.
fn convolution(
    weights: &WeightFile,
    index: usize,
    channels: usize,
    before: &Stage,
) -> Result<Stage, WeightsError> {
    let name = format!("sincnet.conv1d.{index}");
    let shape = [CHANNELS, channels, CONVOLUTION_TAPS];
    let weight = weights.tensor(&format!("{name}.weight"), &shape)?;
    let bias = weights.tensor(&format!("{name}.bias"), &[CHANNELS])?;
    // The taps are contiguous, with the zeros between the rows of the stage before.
    let width = before.layer.row_width();
    let size = Size {
        inputs: CONVOLUTION_TAPS * width,
        outputs: CHANNELS,
    };
    let weight_of = |output: usize, input: usize| {
        let (tap, channel) = (input / width, input % width);
        if channel < channels {
            weight[(output * channels + channel) * CONVOLUTION_TAPS + tap]
        } else {
            0.0
        }
    };
    let layer = RowsLayer::new(size, weight_of, &bias);
    Stage::new(
        weights,
        index,
        layer,
        width,
        before.positions - CONVOLUTION_TAPS + 1,
    )
}

impl Stage {
    fn new(
        weights: &WeightFile,
        index: usize,
        layer: RowsLayer,
        step: usize,
        positions: usize,
    ) -> Result<Self, WeightsError> {
        let channels = if index == 0 { FILTERS } else { CHANNELS };
        let padded = |kind: &str| {
            let name = format!("sincnet.norm1d.{index}.{kind}");
            let mut values = weights.tensor(&name, &[channels])?;
            values.resize(layer.row_width(), 0.0);
            Ok(values)
        };
        Ok(Self {
            scale: padded("weight")?,
            shift: padded("bias")?,
            positions: positions / POOL,
            layer,
            step,
        })
    }

    /// Applies `activation` to the outputs of the convolution, then pools and normalises them.
    fn apply(&self, input: &[f32], activation: impl Fn(f32) -> f32) -> Vec<f32> {
        let width = self.layer.row_width();
        let mut block = vec![0.0; BLOCK * POOL * width];
        let mut pooled = vec![0.0; self.positions * width];
        for (index, output) in pooled.chunks_mut(BLOCK * width).enumerate() {
            let rows = Rows {
                count: output.len() / width * POOL,
                input_step: self.step,
                output_step: width,
            };
            let values = &input[index * BLOCK * POOL * self.step..];
            let inputs = 0..self.layer.inputs();
            self.layer
                .apply(&[Segment { values, inputs }], rows, &mut block);
            let positions = block.chunks_exact(POOL * width);
            for (output, rows) in output.chunks_exact_mut(width).zip(positions) {
                let (first, others) = rows.split_at(width);
                let (second, third) = others.split_at(width);
                for (channel, output) in output.iter_mut().enumerate() {
                    let highest = activation(first[channel]).max(activation(second[channel]));
                    *output = highest.max(activation(third[channel]));
                }
            }
        }
        self.normalise(&mut pooled);
        leaky_relu(&mut pooled);
        pooled
    }

    /// Gives each channel a mean of zero and a variance of one, then the network's scale and shift.
    fn normalise(&self, values: &mut [f32]) {
        let width = self.scale.len();
        let count = self.positions as f64;
        let mut sums = vec![0.0_f64; width];
        for row in values.chunks_exact(width) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        let means: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
        let mut squares = vec![0.0_f64; width];
        for row in values.chunks_exact(width) {
            for ((sum, value), mean) in squares.iter_mut().zip(row).zip(&means) {
                *sum += f64::from(*value - *mean).powi(2);
            }
        }
        let scales: Vec<f32> = squares
            .iter()
            .zip(&self.scale)
            .map(|(sum, scale)| (f64::from(*scale) / (sum / count + EPSILON).sqrt()) as f32)
            .collect();
        for row in values.chunks_exact_mut(width) {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = (*value - means[channel]) * scales[channel] + self.shift[channel];
            }
        }
    }
}
