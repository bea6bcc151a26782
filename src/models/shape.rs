//! What a model's weights file says of itself, read without the weights.
//!
//! The format is CTranslate2's (`Model::load` in its `src/models/model.cc`, binary versions 4 to 6):
//! version, the name of the specification, its revision, then each variable with name, shape, type
//! and content, then second names. Every content is stepped over, so that three gigabytes are read
//! in milliseconds.

mod variable;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use variable::{NumberFormat, Variable, text_of, u32_of};

/// Binary versions that are understood.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// The specification of every Whisper.
const WHISPER: &str = "WhisperSpec";
/// Variables of a large model are about 1,500; more than this are no Whisper's.
const MAX_VARIABLES: u32 = 100_000;
/// From so many tokens on a vocabulary is multilingual; CTranslate2's own criterion.
const MULTILINGUAL_VOCABULARY: u64 = 51_865;

/// What a model is, as far as its weights file says it.
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
    /// Tokens it knows.
    pub vocabulary_size: u64,
    /// The number formats it is stored in.
    pub stored_type: WeightType,
    /// Numbers it was trained to.
    pub parameters: u64,
    /// Those of them that stand in matrices, which a compute type makes smaller.
    in_matrices: u64,
}

/// The number formats of a stored model: of its matrices and, where those are of 8-bit integers,
/// of all else.
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
    /// 8-bit integers beside 32-bit floats.
    Int8Float32,
    /// 8-bit integers beside 16-bit floats.
    Int8Float16,
    /// 8-bit integers beside brain floats.
    Int8Bfloat16,
}

/// Why a file is no whole Whisper model.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// It cannot be read, or ends too early.
    #[error("weights cannot be read")]
    Read(#[from] io::Error),
    /// It is another model, or none.
    #[error("weights are no Whisper's: {0}")]
    Other(&'static str),
    /// It is shorter than what it says it holds.
    #[error("weights are cut off")]
    CutOff,
}

impl WeightType {
    /// Its name in CTranslate2.
    #[must_use]
    pub fn as_str(self) -> &'static str {
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

    fn of(matrices: NumberFormat, rest: Option<NumberFormat>) -> Option<Self> {
        match (matrices, rest) {
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
    /// Reads the heads of all variables, and checks that the file holds their contents.
    ///
    /// # Errors
    /// [`ShapeError`] when it is no whole Whisper.
    pub fn read(file: impl Read + Seek) -> Result<Self, ShapeError> {
        let mut file = BufReader::new(file);
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        if !VERSIONS.contains(&u32_of(&mut file)?) {
            return Err(ShapeError::Other("its binary version is unknown"));
        }
        if text_of(&mut file)? != WHISPER {
            return Err(ShapeError::Other("its specification is another"));
        }
        let _revision = u32_of(&mut file)?;
        let count = u32_of(&mut file)?;
        if count > MAX_VARIABLES {
            return Err(ShapeError::Other("it has too many variables"));
        }
        let mut found = ShapeReader::default();
        for _ in 0..count {
            let variable = Variable::read(&mut file)?;
            if variable.bytes > end.saturating_sub(file.stream_position()?) {
                return Err(ShapeError::CutOff);
            }
            if variable.name.ends_with("/num_heads") && variable.bytes <= 8 {
                let mut content = [0; 8];
                file.read_exact(&mut content[..variable.bytes as usize])?;
                found.heads = u64::from_le_bytes(content);
            } else {
                let step = i64::try_from(variable.bytes).map_err(|_| ShapeError::CutOff)?;
                file.seek_relative(step)?;
            }
            found.add(&variable);
        }
        // A model whose end is missing is not loaded either.
        let aliases = u32_of(&mut file)?;
        if aliases > MAX_VARIABLES {
            return Err(ShapeError::Other("it has too many second names"));
        }
        for _ in 0..aliases {
            let (_alias, _variable) = (text_of(&mut file)?, text_of(&mut file)?);
        }
        found
            .shape()
            .ok_or(ShapeError::Other("a part of it is missing"))
    }

    /// Whether it knows more than English.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.vocabulary_size >= MULTILINGUAL_VOCABULARY
    }

    /// Which of OpenAI's or Distil-Whisper's sizes it has; `custom` for any other.
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

    /// What it takes in memory when a number of a matrix takes `in_matrix` bytes and any other
    /// takes `elsewhere`; the scales of quantized matrices are less than a hundredth of it.
    #[must_use]
    pub fn memory_bytes(&self, in_matrix: u64, elsewhere: u64) -> u64 {
        // Each number is one in the file, so the sum stays far below the bound of a `u64`.
        self.in_matrices * in_matrix + (self.parameters - self.in_matrices) * elsewhere
    }
}

/// What has been seen of a model so far.
#[derive(Default)]
struct ShapeReader {
    n_mels: u64,
    width: u64,
    heads: u64,
    vocabulary_size: u64,
    encoder_layers: BTreeSet<u32>,
    decoder_layers: BTreeSet<u32>,
    matrices: Option<NumberFormat>,
    rest: Option<NumberFormat>,
    parameters: u64,
    in_matrices: u64,
}

impl ShapeReader {
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
            // There is a `layer_norm` beside those with numbers.
            layers.extend(layer.and_then(|(number, _)| number.parse::<u32>().ok()));
        }
        if dimensions.is_empty() || name.ends_with("_scale") {
            return;
        }
        self.parameters += variable.numbers;
        // Convolutions have three dimensions, and stay as they are.
        if dimensions.len() == 2 && name.ends_with("/weight") {
            self.in_matrices += variable.numbers;
            self.matrices = self.matrices.or(Some(variable.format));
        } else if !name.ends_with("/weight") && variable.format.is_float() {
            self.rest = self.rest.or(Some(variable.format));
        }
    }

    fn shape(self) -> Option<ModelShape> {
        let known = |number: u64| usize::try_from(number).ok().filter(|&number| number > 0);
        let layers = |layers: BTreeSet<u32>| Some(layers.len()).filter(|&count| count > 0);
        Some(ModelShape {
            n_mels: known(self.n_mels)?,
            width: known(self.width)?,
            heads: known(self.heads)?,
            encoder_layers: layers(self.encoder_layers)?,
            decoder_layers: layers(self.decoder_layers)?,
            vocabulary_size: Some(self.vocabulary_size).filter(|&tokens| tokens > 0)?,
            stored_type: WeightType::of(self.matrices?, self.rest)?,
            parameters: self.parameters,
            in_matrices: self.in_matrices,
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
    fn tells_what_a_model_is() {
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
        let (matrix, rest) = (51_866 * 1280, 1280 * 128 * 3 + 1280);
        assert_eq!(shape.parameters, matrix + rest);
        assert_eq!(shape.memory_bytes(1, 4), matrix + 4 * rest);
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
    fn half_a_file_and_another_models_are_refused() {
        let whole = weights(&Fixture::default());
        // Whatever is missing, from half of the weights to the last letter of the last name.
        for left in [
            whole.len() / 2,
            whole.len() - 200,
            whole.len() - 40,
            whole.len() - 1,
        ] {
            assert!(read(&whole[..left]).is_err(), "{left} bytes");
        }
        assert!(matches!(read(&whole[..20]), Err(ShapeError::Read(_))));
        assert!(matches!(read(b""), Err(ShapeError::Read(_))));
        let mut other = whole.clone();
        other[6..9].copy_from_slice(b"Lla");
        assert!(matches!(read(&other), Err(ShapeError::Other(_))));
        let mut absurd = whole.clone();
        let at = absurd
            .windows(13)
            .position(|bytes| bytes == b"conv1/weight\0")
            .unwrap();
        absurd[at + 14..at + 26].fill(0xff);
        assert!(matches!(read(&absurd), Err(ShapeError::Other(_))));
        let mut future = whole;
        future[0] = 7;
        assert!(matches!(read(&future), Err(ShapeError::Other(_))));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(bytes: Vec<u8>) {
            let _refused = read(&bytes);
        }

        #[test]
        fn no_change_of_a_whole_file_makes_it_panic(
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
