//! A bidirectional LSTM layer.

use fearless_simd::{Level, Simd, dispatch};

use crate::activations::{sigmoid, tanh};
use crate::speakers::layer::{RowLayer, Rows, RowsLayer, Segment, Size};
use crate::speakers::weights::{WeightFile, WeightsError};

/// Outputs of the layer: the units of both directions.
pub const WIDTH: usize = 2 * UNITS;

const UNITS: usize = 128;

/// Input, forget, cell and output gate of every unit, in this order.
const GATES: usize = 4 * UNITS;

/// A layer that reads the frames in both directions.
pub struct Bidirectional {
    level: Level,
    /// The input part of the gates of both directions.
    gates_of_input: RowsLayer,
    gates_of_hidden: [RowLayer; 2],
    inputs: usize,
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

struct State {
    hidden: [f32; UNITS],
    cell: [f32; UNITS],
}

impl Bidirectional {
    pub fn new(weights: &WeightFile, index: usize, inputs: usize) -> Result<Self, WeightsError> {
        let tensor = |kind: &str, direction: Direction, shape: &[usize]| {
            let suffix = match direction {
                Direction::Forward => "",
                Direction::Backward => "_reverse",
            };
            weights.tensor(&format!("lstm.{kind}_l{index}{suffix}"), shape)
        };
        let both = [Direction::Forward, Direction::Backward];
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for direction in both {
            weight.extend(tensor("weight_ih", direction, &[GATES, inputs])?);
            let of_hidden = tensor("bias_hh", direction, &[GATES])?;
            let of_input = tensor("bias_ih", direction, &[GATES])?;
            bias.extend(of_input.iter().zip(of_hidden).map(|(a, b)| a + b));
        }
        let size = Size {
            inputs,
            outputs: 2 * GATES,
        };
        let gates_of_input = RowsLayer::new(size, |gate, i| weight[gate * inputs + i], &bias);
        let gates_of_hidden = |direction| {
            let weight = tensor("weight_hh", direction, &[GATES, UNITS])?;
            let size = Size {
                inputs: UNITS,
                outputs: GATES,
            };
            Ok(RowLayer::new(
                size,
                |gate, unit| weight[gate * UNITS + unit],
                &[],
            ))
        };
        Ok(Self {
            level: Level::new(),
            gates_of_input,
            gates_of_hidden: [
                gates_of_hidden(Direction::Forward)?,
                gates_of_hidden(Direction::Backward)?,
            ],
            inputs,
        })
    }

    /// Rows of [`WIDTH`] values from the rows of a window.
    pub fn apply(&self, values: &[f32]) -> Vec<f32> {
        let frames = values.len() / self.inputs;
        let mut gates = vec![0.0; frames * 2 * GATES];
        self.gates_of_input.apply_dense(values, &mut gates);
        let mut output = vec![0.0; frames * WIDTH];
        for direction in [Direction::Forward, Direction::Backward] {
            let mut state = State {
                hidden: [0.0; UNITS],
                cell: [0.0; UNITS],
            };
            for step in 0..frames {
                let frame = match direction {
                    Direction::Forward => step,
                    Direction::Backward => frames - 1 - step,
                };
                let side = direction as usize;
                let gates = &mut gates[frame * 2 * GATES..][side * GATES..][..GATES];
                self.step(direction, gates, &mut state);
                output[frame * WIDTH..][side * UNITS..][..UNITS].copy_from_slice(&state.hidden);
            }
        }
        output
    }

    /// Advances `state` by one frame, given the input part of its gates, which is overwritten.
    fn step(&self, direction: Direction, gates: &mut [f32], state: &mut State) {
        let mut of_hidden = [0.0; GATES];
        let rows = Rows {
            count: 1,
            input_step: 0,
            output_step: 0,
        };
        let segment = Segment {
            values: &state.hidden,
            inputs: 0..UNITS,
        };
        self.gates_of_hidden[direction as usize].apply(&[segment], rows, &mut of_hidden);
        for (gate, of_hidden) in gates.iter_mut().zip(&of_hidden) {
            *gate += of_hidden;
        }
        dispatch!(self.level, simd => update(simd, gates, state));
    }
}

/// Computes cells and outputs of all units.
#[inline(always)]
fn update<S: Simd>(simd: S, gates: &[f32], State { hidden, cell }: &mut State) {
    simd.vectorize(
        #[inline(always)]
        || {
            let (input, others) = gates.split_at(UNITS);
            let (forget, others) = others.split_at(UNITS);
            let (new, output) = others.split_at(UNITS);
            for unit in 0..UNITS {
                let kept = sigmoid(forget[unit]) * cell[unit];
                cell[unit] = kept + sigmoid(input[unit]) * tanh(new[unit]);
                hidden[unit] = sigmoid(output[unit]) * tanh(cell[unit]);
            }
        },
    );
}
