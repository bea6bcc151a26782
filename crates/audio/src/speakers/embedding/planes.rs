//! Activations over frequency and time, and convolutions over both.

use crate::speakers::layer::{Rows, RowsLayer, Segment, Size};
use crate::speakers::weights::{WeightFile, WeightsError};

/// Channels of every plane but the first.
pub const CHANNELS: usize = 32;

/// Zeros before and after each plane's frames, for the taps outside.
pub const PADDING: usize = 2;

/// Taps in each direction.
const TAPS: usize = 3;

/// A plane for each frequency: a row of channels for each frame, between the padding.
pub struct Planes {
    pub values: Vec<f32>,
    pub frequencies: usize,
    pub frames: usize,
    pub channels: usize,
}

/// A convolution with three taps in both directions, or with one.
pub struct Convolution {
    layer: RowsLayer,
    taps: usize,
    /// Frequencies from one output to the next.
    stride: usize,
}

impl Planes {
    pub fn zeros(frequencies: usize, frames: usize, channels: usize) -> Self {
        Self {
            values: vec![0.0; frequencies * (frames + 2 * PADDING) * channels],
            frequencies,
            frames,
            channels,
        }
    }

    /// Values of one frequency.
    pub fn size(&self) -> usize {
        (self.frames + 2 * PADDING) * self.channels
    }

    /// Adds other planes, then sets negative values to zero.
    pub fn add_with_relu(&mut self, other: &Self) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            *value = (*value + other).max(0.0);
        }
    }
}

impl Convolution {
    /// The weights called `name`, for `channels` in and [`CHANNELS`] out.
    pub fn new(
        weights: &WeightFile,
        name: &str,
        channels: usize,
        (taps, stride): (usize, usize),
    ) -> Result<Self, WeightsError> {
        let shape = [CHANNELS, channels, taps, taps];
        let weight = weights.tensor(&format!("{name}.weight"), &shape)?;
        let bias = weights.tensor(&format!("{name}.bias"), &[CHANNELS])?;
        let size = Size {
            inputs: taps * taps * channels,
            outputs: CHANNELS,
        };
        // Inputs are in the order of frequency, time and channel.
        let weight_of = |output: usize, input: usize| {
            let (tap, channel) = (input / channels, input % channels);
            weight[(output * channels + channel) * taps * taps + tap]
        };
        Ok(Self {
            layer: RowsLayer::new(size, weight_of, &bias),
            taps,
            stride,
        })
    }

    /// Three taps in both directions, and a `ReLU`.
    pub fn with_relu(
        weights: &WeightFile,
        name: &str,
        channels: usize,
        stride: usize,
    ) -> Result<Self, WeightsError> {
        let convolution = Self::new(weights, name, channels, (TAPS, stride))?;
        Ok(Self {
            layer: convolution.layer.with_relu(),
            ..convolution
        })
    }

    pub fn apply(&self, input: &Planes) -> Planes {
        let channels = input.channels;
        let before = self.taps / 2;
        let frequencies = (input.frequencies - 1) / self.stride + 1;
        let mut output = Planes::zeros(frequencies, input.frames, CHANNELS);
        let rows = Rows {
            count: input.frames,
            input_step: channels,
            output_step: CHANNELS,
        };
        let (size, width) = (output.size(), self.taps * channels);
        let start = (PADDING - before) * channels;
        for (frequency, plane) in output.values.chunks_exact_mut(size).enumerate() {
            // Taps outside the planes are left out: their inputs are zeros.
            let segments: Vec<_> = (0..self.taps)
                .filter_map(|tap| {
                    let from = (frequency * self.stride + tap).checked_sub(before)?;
                    (from < input.frequencies).then(|| Segment {
                        values: &input.values[from * input.size() + start..],
                        inputs: tap * width..(tap + 1) * width,
                    })
                })
                .collect();
            self.layer
                .apply(&segments, rows, &mut plane[PADDING * CHANNELS..]);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_reads_the_neighbours_in_both_directions() {
        // Nine taps with weights of their own, the same for all outputs.
        let weight = |_, tap: usize| [1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 100.0, 200.0, 300.0][tap];
        let size = Size {
            inputs: 9,
            outputs: CHANNELS,
        };
        let convolution = |stride| Convolution {
            layer: RowsLayer::new(size, weight, &[]),
            taps: TAPS,
            stride,
        };
        let mut input = Planes::zeros(4, 3, 1);
        // A single one, at the second frequency and the first frame.
        let at = input.size() + PADDING;
        input.values[at] = 1.0;
        for (stride, expected) in [
            (
                1,
                &[
                    [200.0, 100.0, 0.0],
                    [20.0, 10.0, 0.0],
                    [2.0, 1.0, 0.0],
                    [0.0; 3],
                ][..],
            ),
            (2, &[[200.0, 100.0, 0.0], [2.0, 1.0, 0.0]]),
        ] {
            let output = convolution(stride).apply(&input);
            assert_eq!(output.frequencies, expected.len());
            for (plane, expected) in output.values.chunks_exact(output.size()).zip(expected) {
                let frames: Vec<f32> = plane.chunks_exact(CHANNELS).map(|row| row[7]).collect();
                assert_eq!(frames[PADDING..][..3], *expected);
                assert_eq!(frames[0] + frames[1] + frames[5] + frames[6], 0.0);
            }
        }
    }
}
