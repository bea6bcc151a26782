//! The network's weights, embedded in the program.

use serde_json::Value;

/// The tensors of the package's `silero_vad_16k_op15.onnx` (SHA-256 `7ed98ddb…b2c49`), bit for bit,
/// but for the Fourier basis, which [`super::spectra`] computes. `silero_vad.onnx` and
/// `silero_vad_16k_sequence.onnx` hold the same; the package's own `silero_vad_16k.safetensors` is
/// another network. SHA-256 of this file:
/// `0f0147de5f875b3559a9a482b2619351245d8b501d7c2318a4dfc4f720532c0f`.
static FILE: &[u8] = include_bytes!("../silero_v6.safetensors");

/// The embedded file with its parsed table of contents.
pub struct Weights {
    contents: Value,
    values: &'static [u8],
}

/// A tensor in row-major order.
pub struct Tensor {
    /// Size of each dimension, slowest first.
    pub shape: Vec<usize>,
    /// The values; their number is the product of `shape`.
    pub values: Vec<f32>,
}

impl Weights {
    /// Reads the table of contents: its length in eight bytes, then JSON.
    pub fn embedded() -> Self {
        let (length, rest) = FILE.split_at(8);
        let length = u64::from_le_bytes(length.try_into().expect("split off as eight bytes"));
        let (contents, values) = rest.split_at(length as usize);
        let contents = serde_json::from_slice(contents).expect("the embedded file is well formed");
        Self { contents, values }
    }

    /// The tensor called `name`, which must be one of the embedded file.
    pub fn tensor(&self, name: &str) -> Tensor {
        let numbers = |key: &str| -> Vec<usize> {
            serde_json::from_value(self.contents[name][key].clone())
                .expect("every requested tensor is in the embedded file")
        };
        let (shape, offsets) = (numbers("shape"), numbers("data_offsets"));
        let (values, _) = self.values[offsets[0]..offsets[1]].as_chunks();
        Tensor {
            shape,
            values: values.iter().copied().map(f32::from_le_bytes).collect(),
        }
    }
}
