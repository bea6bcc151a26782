//! Reads a model's sizes from its weights file, without the weights.
//!
//! The format is CTranslate2's (`Model::load` in its `src/models/model.cc`, binary versions 4 to 6):
//! version, the name of the specification, its revision, then each variable with name, shape, type
//! and content, then aliases. Contents are skipped, so reading three gigabytes takes milliseconds.

mod variable;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use variable::{NumberFormat, Variable, read_string, read_u32};

/// Supported binary versions.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// The specification of every Whisper.
const WHISPER: &str = "WhisperSpec";
/// Maximum number of variables; a large Whisper has about 1,500.
const MAX_VARIABLES: u32 = 100_000;
/// Minimum size of a multilingual vocabulary; CTranslate2's own criterion.
const MULTILINGUAL_VOCABULARY: u64 = 51_865;

/// A model's sizes, as recorded in its weights file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// Mel bins of its features: 80, or 128 since large-v3.
    pub n_mels: usize,
    /// Width of its layers.
    pub width: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Tokens of its vocabulary.
    pub vocabulary_size: u64,
    /// The number formats it is stored in.
    pub stored_type: WeightType,
    /// Number of trained parameters.
    pub parameters: u64,
    /// Number of parameters in matrices, which a compute type may quantize.
    matrix_parameters: u64,
}

/// The number formats of a stored model: of its matrices and, if those are 8-bit integers, of all other
/// variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightType {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats.
    Float16,
    /// Brain floats.
    Bfloat16,
    /// 16-bit integers.
    Int16,
    /// 8-bit integers and 32-bit floats.
    Int8Float32,
    /// 8-bit integers and 16-bit floats.
    Int8Float16,
    /// 8-bit integers and brain floats.
    Int8Bfloat16,
}

/// Why a file is not a complete Whisper model.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// It cannot be read, or ends too early.
    #[error("weights cannot be read")]
    Read(#[from] io::Error),
    /// It is another kind of model, or not a model.
    #[error("weights are not a Whisper model: {0}")]
    NotWhisper(&'static str),
    /// It is shorter than its variables' sizes require.
    #[error("weights are truncated")]
    Truncated,
}

impl WeightType {
    /// Its name in CTranslate2.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Int16 => "int16",
            Self::Int8Float32 => "int8_float32",
            Self::Int8Float16 => "int8_float16",
            Self::Int8Bfloat16 => "int8_bfloat16",
        }
    }

    fn of(matrices: NumberFormat, others: Option<NumberFormat>) -> Option<Self> {
        match (matrices, others) {
            (NumberFormat::Float32, _) => Some(Self::Float32),
            (NumberFormat::Int8, Some(NumberFormat::Float16)) => Some(Self::Int8Float16),
            (NumberFormat::Int8, Some(NumberFormat::Bfloat16)) => Some(Self::Int8Bfloat16),
            (NumberFormat::Int8, _) => Some(Self::Int8Float32),
            (NumberFormat::Int16, _) => Some(Self::Int16),
            (NumberFormat::Int32, _) => None,
            (NumberFormat::Float16, _) => Some(Self::Float16),
            (NumberFormat::Bfloat16, _) => Some(Self::Bfloat16),
        }
    }
}

impl ModelShape {
    /// Reads the headers of all variables, and checks that the file contains their contents.
    ///
    /// # Errors
    /// [`ShapeError`] when it is not a complete Whisper model.
    pub fn read(file: impl Read + Seek) -> Result<Self, ShapeError> {
        let mut file = BufReader::new(file);
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        if !VERSIONS.contains(&read_u32(&mut file)?) {
            return Err(ShapeError::NotWhisper("unknown binary version"));
        }
        if read_string(&mut file)? != WHISPER {
            return Err(ShapeError::NotWhisper("another specification"));
        }
        let _revision = read_u32(&mut file)?;
        let count = read_u32(&mut file)?;
        if count > MAX_VARIABLES {
            return Err(ShapeError::NotWhisper("too many variables"));
        }
        let mut builder = ShapeBuilder::default();
        for _ in 0..count {
            let variable = Variable::read(&mut file)?;
            if variable.bytes > end.saturating_sub(file.stream_position()?) {
                return Err(ShapeError::Truncated);
            }
            if variable.name.ends_with("/num_heads") && variable.bytes <= 8 {
                let mut content = [0; 8];
                file.read_exact(&mut content[..variable.bytes as usize])?;
                builder.heads = u64::from_le_bytes(content);
            } else {
                let step = i64::try_from(variable.bytes).map_err(|_| ShapeError::Truncated)?;
                file.seek_relative(step)?;
            }
            builder.add(&variable);
        }
        // CTranslate2 does not load a file without its end either.
        let aliases = read_u32(&mut file)?;
        if aliases > MAX_VARIABLES {
            return Err(ShapeError::NotWhisper("too many aliases"));
        }
        for _ in 0..aliases {
            let (_alias, _variable) = (read_string(&mut file)?, read_string(&mut file)?);
        }
        builder
            .build()
            .ok_or(ShapeError::NotWhisper("a variable is missing"))
    }

    /// Whether it supports languages other than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.vocabulary_size >= MULTILINGUAL_VOCABULARY
    }

    /// The name of its size among OpenAI's and Distil-Whisper's models; `custom` for any other.
    #[must_use]
    pub fn family(&self) -> String {
        let layers = (self.width, self.encoder_layers, self.decoder_layers);
        let name = match (layers, self.n_mels) {
            ((384, 4, 4), _) => "tiny",
            ((512, 6, 6), _) => "base",
            ((768, 12, 12), _) => "small",
            ((1024, 24, 24), _) => "medium",
            ((1280, 32, 32), 128) => "large-v3",
            ((1280, 32, 32), _) => "large",
            ((1280, 32, 4), 128) => "large-v3-turbo",
            ((1280, 32, 2), 128) => "distil-large-v3",
            ((1280, 32, 2), _) => "distil-large-v2",
            ((1024, 24, 2), _) => "distil-medium",
            ((768, 12, 4), _) => "distil-small",
            _ => "custom",
        };
        let language = if self.is_multilingual() { "" } else { ".en" };
        format!("{name}{language}")
    }

    /// Size of its weights in memory with `matrix_bytes` for a parameter in a matrix and `other_bytes`
    /// for any other; without the scales of quantized matrices, which are less than a hundredth.
    #[must_use]
    pub fn memory_bytes(&self, matrix_bytes: u64, other_bytes: u64) -> u64 {
        // The file contains every parameter, so the sum is far below the maximum of a `u64`.
        self.matrix_parameters * matrix_bytes
            + (self.parameters - self.matrix_parameters) * other_bytes
    }
}

/// Collects a model's sizes from its variables.
#[derive(Default)]
struct ShapeBuilder {
    n_mels: u64,
    width: u64,
    heads: u64,
    vocabulary_size: u64,
    encoder_layers: BTreeSet<u32>,
    decoder_layers: BTreeSet<u32>,
    matrix_format: Option<NumberFormat>,
    other_format: Option<NumberFormat>,
    parameters: u64,
    matrix_parameters: u64,
}

impl ShapeBuilder {
    fn add(&mut self, variable: &Variable) {
        let Variable {
            name, dimensions, ..
        } = variable;
        match (name.as_str(), dimensions.as_slice()) {
            ("encoder/conv1/weight", &[width, n_mels, _]) => {
                (self.width, self.n_mels) = (width, n_mels);
            }
            ("decoder/embeddings/weight", &[tokens, _]) => self.vocabulary_size = tokens,
            _ => {}
        }
        for (prefix, layers) in [
            ("encoder/layer_", &mut self.encoder_layers),
            ("decoder/layer_", &mut self.decoder_layers),
        ] {
            let layer = name
                .strip_prefix(prefix)
                .and_then(|rest| rest.split_once('/'));
            // `layer_norm` has the prefix but no number.
            layers.extend(layer.and_then(|(number, _)| number.parse::<u32>().ok()));
        }
        if dimensions.is_empty() || name.ends_with("_scale") {
            return;
        }
        self.parameters += variable.numbers;
        // Convolutions have three dimensions, and are not quantized.
        if dimensions.len() == 2 && name.ends_with("/weight") {
            self.matrix_parameters += variable.numbers;
            self.matrix_format = self.matrix_format.or(Some(variable.format));
        } else if !name.ends_with("/weight") && variable.format.is_float() {
            self.other_format = self.other_format.or(Some(variable.format));
        }
    }

    fn build(self) -> Option<ModelShape> {
        let known = |number: u64| usize::try_from(number).ok().filter(|&number| number > 0);
        let layers = |layers: BTreeSet<u32>| Some(layers.len()).filter(|&count| count > 0);
        Some(ModelShape {
            n_mels: known(self.n_mels)?,
            width: known(self.width)?,
            heads: known(self.heads)?,
            encoder_layers: layers(self.encoder_layers)?,
            decoder_layers: layers(self.decoder_layers)?,
            vocabulary_size: Some(self.vocabulary_size).filter(|&tokens| tokens > 0)?,
            stored_type: WeightType::of(self.matrix_format?, self.other_format)?,
            parameters: self.parameters,
            matrix_parameters: self.matrix_parameters,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::models::test_files::{Fixture, weights};

    fn read(bytes: &[u8]) -> Result<ModelShape, ShapeError> {
        ModelShape::read(Cursor::new(bytes))
    }

    #[test]
    fn reads_the_sizes_of_a_model() {
        let turbo = Fixture {
            n_mels: 128,
            width: 1280,
            layers: (32, 4),
            vocabulary_size: 51_866,
        };

        let shape = read(&weights(&turbo)).unwrap();

        assert_eq!((shape.n_mels, shape.width, shape.heads), (128, 1280, 2));
        assert_eq!((shape.encoder_layers, shape.decoder_layers), (32, 4));
        assert_eq!(shape.vocabulary_size, 51_866);
        assert_eq!(shape.stored_type, WeightType::Int8Float16);
        assert!(shape.is_multilingual());
        assert_eq!(shape.family(), "large-v3-turbo");
        // One matrix of tokens by width, the convolution, and a norm.
        let (matrix, others) = (51_866 * 1280, 1280 * 128 * 3 + 1280);
        assert_eq!(shape.parameters, matrix + others);
        assert_eq!(shape.memory_bytes(1, 4), matrix + 4 * others);
    }

    #[test]
    fn names_the_families() {
        for (n_mels, width, layers, vocabulary_size, family) in [
            (80, 384, (4, 4), 51_864, "tiny.en"),
            (80, 512, (6, 6), 51_865, "base"),
            (80, 768, (12, 12), 51_865, "small"),
            (80, 768, (12, 4), 51_864, "distil-small.en"),
            (80, 1024, (24, 24), 51_864, "medium.en"),
            (80, 1024, (24, 2), 51_864, "distil-medium.en"),
            (80, 1280, (32, 32), 51_865, "large"),
            (128, 1280, (32, 32), 51_866, "large-v3"),
            (80, 1280, (32, 2), 51_865, "distil-large-v2"),
            (128, 1280, (32, 2), 51_866, "distil-large-v3"),
            (80, 100, (1, 1), 51_865, "custom"),
        ] {
            let fixture = Fixture {
                n_mels,
                width,
                layers,
                vocabulary_size,
            };
            assert_eq!(read(&weights(&fixture)).unwrap().family(), family);
        }
    }

    #[test]
    fn refuses_truncated_files_and_other_models() {
        let whole = weights(&Fixture::default());
        // Truncated anywhere from half of the weights to the last letter of the last name.
        for length in [
            whole.len() / 2,
            whole.len() - 200,
            whole.len() - 40,
            whole.len() - 1,
        ] {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(matches!(read(&whole[..20]), Err(ShapeError::Read(_))));
        assert!(matches!(read(b""), Err(ShapeError::Read(_))));
        let mut other = whole.clone();
        other[6..9].copy_from_slice(b"Lla");
        assert!(matches!(read(&other), Err(ShapeError::NotWhisper(_))));
        let mut absurd = whole.clone();
        let at = absurd
            .windows(13)
            .position(|bytes| bytes == b"conv1/weight\0")
            .unwrap();
        absurd[at + 14..at + 26].fill(0xff);
        assert!(matches!(read(&absurd), Err(ShapeError::NotWhisper(_))));
        let mut future = whole;
        future[0] = 7;
        assert!(matches!(read(&future), Err(ShapeError::NotWhisper(_))));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes: Vec<u8>) {
            let _refused = read(&bytes);
        }

        #[test]
        fn no_change_of_a_complete_file_makes_it_panic(
            at: prop::sample::Index, byte: u8, end: prop::sample::Index
        ) {
            let mut bytes = weights(&Fixture::default());
            let index = at.index(bytes.len().min(2000));
            bytes[index] = byte;
            bytes.truncate(end.index(bytes.len()) + 1);
            if let Ok(shape) = read(&bytes) {
                prop_assert!(shape.memory_bytes(1, 1) <= bytes.len() as u64);
            }
        }
    }
}
