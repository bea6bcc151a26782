//! Densely connected layers over time, each of which adds its outputs to the inputs of the next.

use super::front_end::OUTPUTS;
use crate::activations::sigmoid;
use crate::speakers::layer::{Rows, RowsLayer, Segment, Size};
use crate::speakers::weights::{WeightFile, WeightsError};

/// Channels that each layer adds.
const GROWTH: usize = 32;

/// Channels within a layer.
const HIDDEN: usize = OUTPUTS;

/// Channels within the weighting by context.
const CONTEXT_HIDDEN: usize = HIDDEN / 2;

/// Frames of a context: 2 s.
const CONTEXT_FRAMES: usize = 100;

const TAPS: usize = 3;

/// A block of layers.
pub struct DenseBlock {
    layers: Vec<DenseLayer>,
    channels: usize,
}

/// Halves the channels after a block.
pub struct Transit {
    normalisation: Normalisation,
    layer: RowsLayer,
}

struct DenseLayer {
    normalisation: Normalisation,
    hidden: RowsLayer,
    local: RowsLayer,
    context: [RowsLayer; 2],
    dilation: usize,
}

/// Whether the file has a bias for a layer.
#[derive(Clone, Copy)]
enum Bias {
    Stored,
    Zero,
}

/// Scale and shift of each channel, then a `ReLU`.
struct Normalisation {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl DenseBlock {
    /// The block with this number, for `channels` inputs, with `layers` layers.
    pub fn new(
        weights: &WeightFile,
        number: usize,
        (channels, layers): (usize, usize),
        dilation: usize,
    ) -> Result<Self, WeightsError> {
        let layer = |index: usize| {
            let name = format!("xvector.block{number}.tdnnd{}", index + 1);
            DenseLayer::new(weights, &name, channels + index * GROWTH, dilation)
        };
        Ok(Self {
            layers: (0..layers).map(layer).collect::<Result<_, _>>()?,
            channels: channels + layers * GROWTH,
        })
    }

    /// Channels of the output, the width of the rows.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Fills the columns after those of the block's inputs.
    pub fn apply(&self, values: &mut [f32]) {
        for layer in &self.layers {
            layer.apply(values, self.channels);
        }
    }
}

impl Transit {
    pub fn new(weights: &WeightFile, number: usize, channels: usize) -> Result<Self, WeightsError> {
        let name = format!("xvector.transit{number}");
        let outputs = channels / 2;
        let linear = |bias| {
            linear(
                weights,
                &format!("{name}.linear"),
                (channels, outputs, 1),
                bias,
            )
        };
        Ok(Self {
            normalisation: Normalisation::new(weights, &name, channels)?,
            // The normalisation after the last block is part of its transit's weights.
            layer: if number == 3 {
                linear(Bias::Stored)?.with_relu()
            } else {
                linear(Bias::Zero)?
            },
        })
    }

    /// Rows of `width` values from rows that are filled; the outputs are in the first columns.
    pub fn apply(&self, values: &[f32], width: usize) -> Vec<f32> {
        let channels = self.normalisation.scale.len();
        let normalised = self.normalisation.apply(values, channels);
        let rows = Rows {
            count: values.len() / channels,
            input_step: channels,
            output_step: width,
        };
        let mut output = vec![0.0; rows.count * width];
        let segment = Segment {
            values: &normalised,
            inputs: 0..channels,
        };
        self.layer.apply(&[segment], rows, &mut output);
        output
    }
}

impl DenseLayer {
    fn new(
        weights: &WeightFile,
        name: &str,
        channels: usize,
        dilation: usize,
    ) -> Result<Self, WeightsError> {
        let linear =
            |part: &str, shape, bias| linear(weights, &format!("{name}.{part}"), shape, bias);
        let hidden = linear("linear1", (channels, HIDDEN, 1), Bias::Stored)?;
        let context = (HIDDEN, CONTEXT_HIDDEN, 1);
        let first = linear("cam_layer.linear1", context, Bias::Stored)?;
        let second = (CONTEXT_HIDDEN, GROWTH, 1);
        let second = linear("cam_layer.linear2", second, Bias::Stored)?;
        let local = (HIDDEN, GROWTH, TAPS);
        Ok(Self {
            normalisation: Normalisation::new(weights, name, channels)?,
            hidden: hidden.with_relu(),
            local: linear("cam_layer.linear_local", local, Bias::Zero)?,
            context: [first.with_relu(), second],
            dilation,
        })
    }

    /// Reads the columns that are filled in `values`, whose rows have `width` values, and fills the next.
    fn apply(&self, values: &mut [f32], width: usize) {
        let channels = self.normalisation.scale.len();
        let frames = values.len() / width;
        let normalised = self.normalisation.apply(values, width);
        // Zeros before and after the frames, for the taps outside.
        let padding = self.dilation * HIDDEN;
        let mut hidden = vec![0.0; frames * HIDDEN + 2 * padding];
        let inner = padding..padding + frames * HIDDEN;
        self.hidden
            .apply_dense(&normalised, &mut hidden[inner.clone()]);

        let rows = Rows {
            count: frames,
            input_step: HIDDEN,
            output_step: width,
        };
        let segments: Vec<_> = (0..TAPS)
            .map(|tap| Segment {
                values: &hidden[tap * padding..],
                inputs: tap * HIDDEN..(tap + 1) * HIDDEN,
            })
            .collect();
        self.local.apply(&segments, rows, &mut values[channels..]);

        let gates = self.gates(&hidden[inner]);
        let contexts = values.chunks_mut(CONTEXT_FRAMES * width);
        for (rows, gates) in contexts.zip(gates.chunks_exact(self.context[1].row_width())) {
            for row in rows.chunks_exact_mut(width) {
                for (value, gate) in row[channels..][..GROWTH].iter_mut().zip(gates) {
                    *value *= gate;
                }
            }
        }
    }

    /// Weights of the new channels for each context, from the means of the context and of all frames.
    fn gates(&self, hidden: &[f32]) -> Vec<f32> {
        let whole = mean(hidden);
        let mut contexts = Vec::new();
        for rows in hidden.chunks(CONTEXT_FRAMES * HIDDEN) {
            contexts.extend(mean(rows).iter().zip(&whole).map(|(a, b)| a + b));
        }
        let [first, second] = &self.context;
        let count = contexts.len() / HIDDEN;
        let mut between = vec![0.0; count * first.row_width()];
        first.apply_dense(&contexts, &mut between);
        let mut gates = vec![0.0; count * second.row_width()];
        second.apply_dense(&between, &mut gates);
        for gate in &mut gates {
            *gate = sigmoid(*gate);
        }
        gates
    }
}

impl Normalisation {
    fn new(weights: &WeightFile, name: &str, channels: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            scale: weights.tensor(&format!("{name}.scale"), &[channels])?,
            shift: weights.tensor(&format!("{name}.shift"), &[channels])?,
        })
    }

    /// The first columns of rows of `width` values.
    fn apply(&self, values: &[f32], width: usize) -> Vec<f32> {
        let channels = self.scale.len();
        let mut output = vec![0.0; values.len() / width * channels];
        let rows = values.chunks_exact(width);
        for (output, row) in output.chunks_exact_mut(channels).zip(rows) {
            for (index, output) in output.iter_mut().enumerate() {
                *output = (row[index] * self.scale[index] + self.shift[index]).max(0.0);
            }
        }
        output
    }
}

/// A layer over the rows with these channels in, channels out and taps. Its inputs are in the order of tap
/// and channel.
fn linear(
    weights: &WeightFile,
    name: &str,
    (channels, outputs, taps): (usize, usize, usize),
    bias: Bias,
) -> Result<RowsLayer, WeightsError> {
    let weight = weights.tensor(&format!("{name}.weight"), &[outputs, channels, taps])?;
    let bias = match bias {
        Bias::Stored => weights.tensor(&format!("{name}.bias"), &[outputs])?,
        Bias::Zero => Vec::new(),
    };
    let size = Size {
        inputs: taps * channels,
        outputs,
    };
    let weight_of = |output: usize, input: usize| {
        let (tap, channel) = (input / channels, input % channels);
        weight[(output * channels + channel) * taps + tap]
    };
    Ok(RowsLayer::new(size, weight_of, &bias))
}

/// The mean of each channel.
fn mean(rows: &[f32]) -> [f32; HIDDEN] {
    let mut sums = [0.0; HIDDEN];
    for row in rows.chunks_exact(HIDDEN) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let count = (rows.len() / HIDDEN) as f32;
    sums.map(|sum| sum / count)
}
