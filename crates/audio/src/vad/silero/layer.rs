//! A convolution along the positions of each row of a matrix.

use fearless_simd::{Simd, prelude::*};

use super::weights::Tensor;

/// Weights and sizes of a symmetric convolution; with one position and one tap it is a matrix product.
///
/// It is computed in tiles of `ROWS` rows and `VECTORS` vectors of output channels, which fit into the
/// registers. The vectors are as wide as the processor's.
pub struct Layer<const ROWS: usize, const VECTORS: usize> {
    /// The weights in the order in which a tile reads them: for each tap and input channel, those of the
    /// tile's output channels.
    panels: Vec<f32>,
    bias: Vec<f32>,
    taps: usize,
    channels_in: usize,
    positions_in: usize,
    stride: usize,
    /// Minimum output: 0 for a `ReLU`, otherwise -∞.
    floor: f32,
}

/// Number of floats in a vector.
#[inline(always)]
pub fn lanes<S: Simd>(_simd: S) -> usize {
    S::f32s::LEN
}

impl<const ROWS: usize, const VECTORS: usize> Layer<ROWS, VECTORS> {
    /// A layer for rows with one position. The shape of `weight` is output channels, input channels and,
    /// unless there is only one, taps.
    pub fn new(lanes: usize, weight: &Tensor, bias: Tensor) -> Self {
        let channels_in = weight.shape[1];
        let taps = weight.shape.get(2).copied().unwrap_or(1);
        let inputs = taps * channels_in;
        let mut panels = Vec::with_capacity(weight.values.len());
        for panel in weight.values.chunks_exact(VECTORS * lanes * inputs) {
            for input in 0..inputs {
                let (tap, channel) = (input / channels_in, input % channels_in);
                let column = panel.iter().skip(channel * taps + tap).step_by(inputs);
                panels.extend(column);
            }
        }
        assert_eq!(
            panels.len(),
            weight.values.len(),
            "channels fill whole panels"
        );
        Self {
            panels,
            bias: bias.values,
            taps,
            channels_in,
            positions_in: 1,
            stride: 1,
            floor: f32::NEG_INFINITY,
        }
    }

    /// The same for rows of `positions_in` positions, with a stride and a `ReLU`.
    pub fn convolving(self, positions_in: usize, stride: usize) -> Self {
        Self {
            positions_in,
            stride,
            floor: 0.0,
            ..self
        }
    }

    /// Computes the first `rows` rows, a multiple of `ROWS`, of `output` from `input`.
    #[inline(always)]
    pub fn apply<S: Simd>(&self, simd: S, rows: usize, input: &[f32], output: &mut [f32]) {
        simd.vectorize(
            #[inline(always)]
            || {
                let channels_out = self.bias.len();
                let positions_out = self.positions_in.div_ceil(self.stride);
                let inputs = input.chunks_exact(ROWS * self.positions_in * self.channels_in);
                let outputs = output.chunks_exact_mut(ROWS * positions_out * channels_out);
                for (input, output) in inputs.zip(outputs).take(rows / ROWS) {
                    for position in 0..positions_out {
                        self.apply_at(simd, position, input, output);
                    }
                }
            },
        );
    }

    /// Computes one position of `ROWS` rows.
    #[inline(always)]
    fn apply_at<S: Simd>(&self, simd: S, position: usize, input: &[f32], output: &mut [f32]) {
        let lanes = S::f32s::LEN;
        let (width_in, width_out) = (input.len() / ROWS, output.len() / ROWS);
        // Taps outside the row are left out: their inputs are zeros.
        let (before, centre) = (self.taps / 2, position * self.stride);
        let first = before.saturating_sub(centre);
        let last = self.taps.min(self.positions_in + before - centre);
        let count = (last - first) * self.channels_in;
        let start = (centre + first - before) * self.channels_in;
        let mut rows = [&[][..]; ROWS];
        for (row, values) in rows.iter_mut().zip(input.chunks_exact(width_in)) {
            *row = &values[start..start + count];
        }

        let panels = self
            .panels
            .chunks_exact(self.taps * self.channels_in * VECTORS * lanes);
        let biases = self.bias.chunks_exact(VECTORS * lanes);
        for (panel, (weights, bias)) in panels.zip(biases).enumerate() {
            let mut sums = [[S::f32s::splat(simd, 0.0); VECTORS]; ROWS];
            for sums in &mut sums {
                for (sum, bias) in sums.iter_mut().zip(bias.chunks_exact(lanes)) {
                    *sum = S::f32s::from_slice(simd, bias);
                }
            }
            let weights = &weights[first * self.channels_in * VECTORS * lanes..];
            for (index, weights) in weights
                .chunks_exact(VECTORS * lanes)
                .take(count)
                .enumerate()
            {
                let mut vectors = [S::f32s::splat(simd, 0.0); VECTORS];
                for (vector, weights) in vectors.iter_mut().zip(weights.chunks_exact(lanes)) {
                    *vector = S::f32s::from_slice(simd, weights);
                }
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let value = S::f32s::splat(simd, row[index]);
                    for (sum, &weight) in sums.iter_mut().zip(&vectors) {
                        *sum = weight.mul_add(value, *sum);
                    }
                }
            }
            let start = position * self.bias.len() + panel * VECTORS * lanes;
            for (row, sums) in sums.iter().enumerate() {
                let output = &mut output[row * width_out + start..];
                for (output, sum) in output.chunks_exact_mut(lanes).zip(sums) {
                    sum.max(self.floor).store_slice(output);
                }
            }
        }
    }
}
