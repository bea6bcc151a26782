//! The start of the embedding network: convolutions over time and frequency, then over time alone.

use super::planes::{CHANNELS, Convolution, PADDING, Planes};
use crate::speakers::filter_bank::{BINS, Frame};
use crate::speakers::layer::{Rows, RowsLayer, Segment, Size};
use crate::speakers::weights::{WeightFile, WeightsError};

/// Outputs of the layer over time.
pub const OUTPUTS: usize = 128;

/// Taps of the layer over time, and frames from one output to the next.
const TAPS: usize = 5;
const STRIDE: usize = 2;

/// Frequencies that the convolutions leave.
const FREQUENCIES: usize = BINS / 8;

/// Layers before the densely connected blocks.
pub struct FrontEnd {
    first: Convolution,
    blocks: [ResidualBlock; 4],
    last: Convolution,
    over_time: RowsLayer,
}

/// Two convolutions whose input is added to their output.
struct ResidualBlock {
    first: Convolution,
    second: Convolution,
    /// Brings the input to the size of the output.
    shortcut: Option<Convolution>,
}

impl FrontEnd {
    pub fn new(weights: &WeightFile) -> Result<Self, WeightsError> {
        let block = |name: &str, stride| ResidualBlock::new(weights, name, stride);
        let channels = CHANNELS * FREQUENCIES;
        let name = "xvector.tdnn.linear";
        let weight = weights.tensor(&format!("{name}.weight"), &[OUTPUTS, channels, TAPS])?;
        let bias = weights.tensor(&format!("{name}.bias"), &[OUTPUTS])?;
        let size = Size {
            inputs: TAPS * channels,
            outputs: OUTPUTS,
        };
        // Inputs are in the order of frequency, time and channel; the weights in that of channel,
        // frequency and time.
        let weight_of = |output: usize, input: usize| {
            let (frequency, rest) = (input / (TAPS * CHANNELS), input % (TAPS * CHANNELS));
            let (tap, channel) = (rest / CHANNELS, rest % CHANNELS);
            weight[(output * channels + channel * FREQUENCIES + frequency) * TAPS + tap]
        };
        Ok(Self {
            first: Convolution::with_relu(weights, "head.conv1", 1, 1)?,
            blocks: [
                block("head.layer1.0", 2)?,
                block("head.layer1.1", 1)?,
                block("head.layer2.0", 2)?,
                block("head.layer2.1", 1)?,
            ],
            last: Convolution::with_relu(weights, "head.conv2", CHANNELS, 2)?,
            over_time: RowsLayer::new(size, weight_of, &bias).with_relu(),
        })
    }

    /// Writes a row for every second frame into the first columns of `output`, whose rows have `width`
    /// values.
    pub fn apply(&self, frames: &[Frame], output: &mut Vec<f32>, width: usize) {
        let mut input = Planes::zeros(BINS, frames.len(), 1);
        let size = input.size();
        for (bin, plane) in input.values.chunks_exact_mut(size).enumerate() {
            for (value, frame) in plane[PADDING..].iter_mut().zip(frames) {
                *value = frame[bin];
            }
        }
        let mut planes = self.first.apply(&input);
        for block in &self.blocks {
            planes = block.apply(&planes);
        }
        let planes = self.last.apply(&planes);

        let rows = Rows {
            count: frames.len().div_ceil(STRIDE),
            input_step: STRIDE * CHANNELS,
            output_step: width,
        };
        output.clear();
        output.resize(rows.count * width, 0.0);
        let taps = TAPS * CHANNELS;
        let segments: Vec<_> = (0..FREQUENCIES)
            .map(|frequency| Segment {
                values: &planes.values[frequency * planes.size()..],
                inputs: frequency * taps..(frequency + 1) * taps,
            })
            .collect();
        self.over_time.apply(&segments, rows, output);
    }
}

impl ResidualBlock {
    fn new(weights: &WeightFile, name: &str, stride: usize) -> Result<Self, WeightsError> {
        let name_of = |part: &str| format!("{name}.{part}");
        let shortcut = (stride > 1)
            .then(|| Convolution::new(weights, &name_of("shortcut.0"), CHANNELS, (1, stride)));
        Ok(Self {
            first: Convolution::with_relu(weights, &name_of("conv1"), CHANNELS, stride)?,
            second: Convolution::new(weights, &name_of("conv2"), CHANNELS, (3, 1))?,
            shortcut: shortcut.transpose()?,
        })
    }

    fn apply(&self, input: &Planes) -> Planes {
        let mut output = self.second.apply(&self.first.apply(input));
        match &self.shortcut {
            Some(shortcut) => output.add_with_relu(&shortcut.apply(input)),
            None => output.add_with_relu(input),
        }
        output
    }
}
