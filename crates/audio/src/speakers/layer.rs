//! Matrix products and convolutions in safe SIMD.

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// Rows that are computed at once. With two vectors of outputs each, their sums, the weights and an input
/// fit into the sixteen registers of SSE and AVX2.
const TILE_ROWS: usize = 6;

/// The same with the 32 registers of AVX-512. More rows would have more addresses than there are registers
/// for them.
const WIDE_TILE_ROWS: usize = 8;

/// A layer for many rows, such as the frames of a window.
pub type RowsLayer = Layer<TILE_ROWS, 2>;

/// A layer for a single row, such as one step of an LSTM: eight vectors of outputs hide the latency of
/// the additions.
pub type RowLayer = Layer<1, 8>;

/// Weights of a layer: `output = max(floor, bias + weights · inputs)` for each row.
///
/// It is computed in tiles of `ROWS` rows, or more where there are registers for them, and `VECTORS` vectors
/// of outputs. Each sum is added in the order
/// of the inputs whatever the tile, so that a row's result does not depend on its neighbours.
pub struct Layer<const ROWS: usize, const VECTORS: usize> {
    level: Level,
    /// The weights in the order in which a tile reads them: for each input, those of the tile's outputs.
    panels: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
    /// Minimum output: 0 for a `ReLU`, otherwise -∞.
    floor: f32,
}

/// Size of a layer.
#[derive(Clone, Copy)]
pub struct Size {
    pub inputs: usize,
    pub outputs: usize,
}

/// Contiguous inputs of each row, and the weights for them.
pub struct Segment<'a> {
    /// Starts with the inputs of the first row.
    pub values: &'a [f32],
    /// Indices of these inputs among all inputs of the layer.
    pub inputs: Range<usize>,
}

/// Number of rows, and the distance between the starts of consecutive rows.
#[derive(Clone, Copy)]
pub struct Rows {
    pub count: usize,
    pub input_step: usize,
    pub output_step: usize,
}

impl<const ROWS: usize, const VECTORS: usize> Layer<ROWS, VECTORS> {
    /// A layer without a `ReLU`. `weight` is called with output and input; `bias` may be empty.
    pub fn new(size: Size, weight: impl Fn(usize, usize) -> f32, bias: &[f32]) -> Self {
        let level = Level::new();
        let width = VECTORS * dispatch!(level, simd => lanes(simd));
        let padded = size.outputs.next_multiple_of(width);
        let mut panels = Vec::with_capacity(padded * size.inputs);
        for first in (0..padded).step_by(width) {
            for input in 0..size.inputs {
                panels.extend((first..first + width).map(|output| {
                    if output < size.outputs {
                        weight(output, input)
                    } else {
                        0.0
                    }
                }));
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Self {
            level,
            panels,
            bias,
            inputs: size.inputs,
            floor: f32::NEG_INFINITY,
        }
    }

    /// The same with a `ReLU`.
    pub fn with_relu(self) -> Self {
        Self { floor: 0.0, ..self }
    }

    /// Number of inputs of a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of values that each row of the output takes: the outputs, then zeros up to a multiple that
    /// depends on the processor.
    pub fn row_width(&self) -> usize {
        self.bias.len()
    }

    /// Computes consecutive rows of consecutive inputs.
    pub fn apply_dense(&self, values: &[f32], output: &mut [f32]) {
        let rows = Rows {
            count: values.len() / self.inputs,
            input_step: self.inputs,
            output_step: self.row_width(),
        };
        let inputs = 0..self.inputs;
        self.apply(&[Segment { values, inputs }], rows, output);
    }

    /// Computes `rows` of `output` from the inputs in `segments`; other inputs count as zeros.
    pub fn apply(&self, segments: &[Segment<'_>], rows: Rows, output: &mut [f32]) {
        dispatch!(self.level, simd => self.apply_simd(simd, segments, rows, output));
    }

    #[inline(always)]
    fn apply_simd<S: Simd>(
        &self,
        simd: S,
        segments: &[Segment<'_>],
        rows: Rows,
        output: &mut [f32],
    ) {
        simd.vectorize(
            #[inline(always)]
            || {
                if ROWS > 1 && S::f32s::LEN == 16 {
                    self.apply_tiles::<S, WIDE_TILE_ROWS>(simd, segments, rows, output);
                } else {
                    self.apply_tiles::<S, ROWS>(simd, segments, rows, output);
                }
            },
        );
    }

    /// Computes all rows, `COUNT` at once.
    #[inline(always)]
    fn apply_tiles<S: Simd, const COUNT: usize>(
        &self,
        simd: S,
        segments: &[Segment<'_>],
        rows: Rows,
        output: &mut [f32],
    ) {
        let Some(last) = rows.count.checked_sub(COUNT) else {
            for row in 0..rows.count {
                self.apply_tile::<S, 1>(simd, segments, (row, rows), output);
            }
            return;
        };
        for first in (0..last).step_by(COUNT) {
            self.apply_tile::<S, COUNT>(simd, segments, (first, rows), output);
        }
        // A last tile computes some rows again, which is faster than one row at a time.
        self.apply_tile::<S, COUNT>(simd, segments, (last, rows), output);
    }

    /// Computes `COUNT` rows from `first` on.
    #[inline(always)]
    fn apply_tile<S: Simd, const COUNT: usize>(
        &self,
        simd: S,
        segments: &[Segment<'_>],
        (first, rows): (usize, Rows),
        output: &mut [f32],
    ) {
        let lanes = S::f32s::LEN;
        let width = VECTORS * lanes;
        let panels = self.panels.chunks_exact(self.inputs * width);
        for (index, (panel, bias)) in panels.zip(self.bias.chunks_exact(width)).enumerate() {
            let mut sums = [[S::f32s::splat(simd, 0.0); VECTORS]; COUNT];
            for sums in &mut sums {
                for (sum, bias) in sums.iter_mut().zip(bias.chunks_exact(lanes)) {
                    *sum = S::f32s::from_slice(simd, bias);
                }
            }
            for segment in segments {
                let count = segment.inputs.len();
                let mut values = [&[][..]; COUNT];
                for (row, values) in values.iter_mut().enumerate() {
                    *values = &segment.values[(first + row) * rows.input_step..][..count];
                }
                let weights = &panel[segment.inputs.start * width..][..count * width];
                for (input, weights) in (0..count).zip(weights.chunks_exact(width)) {
                    let mut vectors = [S::f32s::splat(simd, 0.0); VECTORS];
                    for (vector, weights) in vectors.iter_mut().zip(weights.chunks_exact(lanes)) {
                        *vector = S::f32s::from_slice(simd, weights);
                    }
                    for (sums, values) in sums.iter_mut().zip(&values) {
                        let value = S::f32s::splat(simd, values[input]);
                        for (sum, &weight) in sums.iter_mut().zip(&vectors) {
                            *sum = weight.mul_add(value, *sum);
                        }
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let start = (first + row) * rows.output_step + index * width;
                let output = &mut output[start..start + width];
                for (output, sum) in output.chunks_exact_mut(lanes).zip(sums) {
                    sum.max(self.floor).store_slice(output);
                }
            }
        }
    }
}

#[inline(always)]
fn lanes<S: Simd>(_simd: S) -> usize {
    S::f32s::LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    fn numbers(count: usize, mut state: u32) -> Vec<f32> {
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / 2_147_483_648.0 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    /// A convolution of three taps over rows of `channels`, in the simplest way.
    #[track_caller]
    fn check<const ROWS: usize, const VECTORS: usize>(
        rows: usize,
        channels: usize,
        outputs: usize,
    ) {
        let values = numbers((rows + 2) * channels, 1);
        let weights = numbers(outputs * 3 * channels, 2);
        let bias = numbers(outputs, 3);
        let inputs = 3 * channels;
        let size = Size { inputs, outputs };
        let layer = Layer::<ROWS, VECTORS>::new(size, |o, i| weights[o * inputs + i], &bias);
        let width = layer.row_width();
        let rows_of = Rows {
            count: rows,
            input_step: channels,
            output_step: width,
        };
        let mut output = vec![f32::NAN; rows * width];
        // The middle tap is a segment of its own.
        let segment = |taps: Range<usize>| Segment {
            values: &values[taps.start * channels..],
            inputs: taps.start * channels..taps.end * channels,
        };
        let segments = [segment(0..1), segment(1..2), segment(2..3)];
        layer.apply(&segments, rows_of, &mut output);

        for row in 0..rows {
            for column in 0..width {
                let expected = if column < outputs {
                    let inputs = &values[row * channels..][..inputs];
                    let weights = &weights[column * inputs.len()..][..inputs.len()];
                    let products = inputs.iter().zip(weights);
                    products.fold(bias[column], |sum, (value, weight)| sum + value * weight)
                } else {
                    0.0
                };
                let found = output[row * width + column];
                assert!(
                    (found - expected).abs() < 1e-4,
                    "row {row}, column {column}"
                );
            }
        }
        let mut whole = vec![f32::NAN; rows * width];
        layer.apply(&[segment(0..3)], rows_of, &mut whole);
        assert_eq!(
            whole, output,
            "segments do not change the order of additions"
        );
        let mut positive = vec![f32::NAN; rows * width];
        layer
            .with_relu()
            .apply(&[segment(0..3)], rows_of, &mut positive);
        let expected: Vec<f32> = output.iter().map(|value| value.max(0.0)).collect();
        assert_eq!(positive, expected);
    }

    #[test]
    fn equals_the_plain_computation() {
        for rows in [1, 5, 6, 8, 29] {
            check::<6, 2>(rows, 5, 7);
            check::<6, 2>(rows, 32, 60);
            check::<1, 8>(rows, 16, 200);
        }
    }

    #[test]
    fn inputs_without_a_segment_are_zeros() {
        let size = Size {
            inputs: 3,
            outputs: 1,
        };
        let layer = RowsLayer::new(size, |_, input| [1.0, 10.0, 100.0][input], &[0.5]);
        let mut output = vec![0.0; layer.row_width()];
        let rows = Rows {
            count: 1,
            input_step: 1,
            output_step: 0,
        };
        let values = &[2.0, 3.0];
        layer.apply(
            &[Segment {
                values,
                inputs: 1..3,
            }],
            rows,
            &mut output,
        );
        assert_eq!(output[0], 0.5 + 20.0 + 300.0);
    }
}
