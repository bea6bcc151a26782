//! The network after the spectra: four convolutions, an LSTM and an output layer.

use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch};

use super::layer::{Layer, lanes};
use super::spectra;
use super::weights::Weights;
use crate::activations::{sigmoid, tanh};

/// Number of gates: input, forget, cell and output gate of every LSTM unit, in this order.
pub const GATES: usize = 4 * UNITS;

const UNITS: usize = 128;

/// Rows that share a pass over the weights: with two vectors each, their sums fit into the sixteen
/// registers of SSE and AVX2.
const TILE_ROWS: usize = 6;

/// The shared network, unpacked on first use.
pub static NETWORK: LazyLock<Network> = LazyLock::new(Network::load);

/// The network for the widest vectors of this processor.
pub struct Network {
    level: Level,
    convolutions: [Layer<TILE_ROWS, 2>; 4],
    gates_of_input: Layer<TILE_ROWS, 2>,
    gates_of_hidden: Layer<1, 8>,
    output: Vec<f32>,
    output_bias: f32,
}

/// State of the LSTM; zeros at the beginning of a recording.
#[derive(Clone, PartialEq)]
pub struct LstmState {
    hidden: [f32; UNITS],
    cell: [f32; UNITS],
}

impl Default for LstmState {
    fn default() -> Self {
        Self {
            hidden: [0.0; UNITS],
            cell: [0.0; UNITS],
        }
    }
}

impl Network {
    fn load() -> Self {
        let weights = Weights::embedded();
        let level = Level::new();
        let lanes = dispatch!(level, simd => lanes(simd));
        let convolution = |name: &str, positions, stride| {
            let weight = weights.tensor(&format!("{name}.weight"));
            let bias = weights.tensor(&format!("{name}.bias"));
            Layer::new(lanes, &weight, bias).convolving(positions, stride)
        };
        Self {
            level,
            convolutions: [
                convolution("conv1", spectra::PER_FRAME, 1),
                convolution("conv2", 4, 2),
                convolution("conv3", 2, 2),
                convolution("conv4", 1, 1),
            ],
            gates_of_input: Layer::new(
                lanes,
                &weights.tensor("lstm_cell.weight_ih"),
                weights.tensor("lstm_cell.bias_ih"),
            ),
            gates_of_hidden: Layer::new(
                lanes,
                &weights.tensor("lstm_cell.weight_hh"),
                weights.tensor("lstm_cell.bias_hh"),
            ),
            output: weights.tensor("final_conv.weight").values,
            output_bias: weights.tensor("final_conv.bias").values[0],
        }
    }

    /// Computes the input part of the [`GATES`] for `frames` frames: reads spectra from the first of
    /// `values`, writes to the second. Rows are rounded up to whole tiles, with arbitrary values.
    pub fn encode(&self, frames: usize, values: &mut [Vec<f32>; 2]) {
        let rows = frames.next_multiple_of(TILE_ROWS);
        let [first, second, third, fourth] = &self.convolutions;
        let [from, to] = values;
        dispatch!(self.level, simd => {
            first.apply(simd, rows, from, to);
            second.apply(simd, rows, to, from);
            third.apply(simd, rows, from, to);
            fourth.apply(simd, rows, to, from);
            self.gates_of_input.apply(simd, rows, from, to);
        });
    }

    /// Advances `state` by one frame, given the input part of its gates; returns the speech probability.
    pub fn step_lstm(&self, gates_of_input: &[f32], state: &mut LstmState) -> f32 {
        dispatch!(self.level, simd => self.step_lstm_simd(simd, gates_of_input, state))
    }

    #[inline(always)]
    fn step_lstm_simd<S: Simd>(
        &self,
        simd: S,
        gates_of_input: &[f32],
        state: &mut LstmState,
    ) -> f32 {
        let mut gates = [0.0; GATES];
        self.gates_of_hidden
            .apply(simd, 1, &state.hidden, &mut gates);
        for (gate, input) in gates.iter_mut().zip(gates_of_input) {
            *gate += input;
        }
        let LstmState { hidden, cell } = state;
        for unit in 0..UNITS {
            let [input, forget, new, output] = [0, 1, 2, 3].map(|gate| gates[gate * UNITS + unit]);
            cell[unit] = sigmoid(forget) * cell[unit] + sigmoid(input) * tanh(new);
            hidden[unit] = sigmoid(output) * tanh(cell[unit]);
        }
        let activations = hidden.iter().zip(&self.output);
        sigmoid(
            self.output_bias
                + activations
                    .map(|(value, weight)| value.max(0.0) * weight)
                    .sum::<f32>(),
        )
    }
}
