//! Reads tensors from a file in the safetensors format.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// Why the weights of a network could not be loaded.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The file is missing or cannot be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is truncated or has another format.
    #[error("{} is not a complete safetensors file", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file holds another network.
    #[error("{} has no tensor {name:?} of 32-bit floats with the shape {shape:?}", .path.display())]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// The shape that the network needs.
        shape: Vec<usize>,
    },
}

/// A file with its parsed table of contents.
pub struct WeightFile {
    path: PathBuf,
    contents: Map<String, Value>,
    values: Vec<u8>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl WeightFile {
    /// Reads the file: the length of its table of contents in eight bytes, the table in JSON, the values.
    ///
    /// # Errors
    /// [`WeightsError::Read`] and [`WeightsError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path).map_err(|source| WeightsError::Read {
            path: path.to_owned(),
            source,
        })?;
        parse(&bytes)
            .map(|(contents, values)| Self {
                path: path.to_owned(),
                contents,
                values: values.to_vec(),
            })
            .ok_or_else(|| WeightsError::Malformed {
                path: path.to_owned(),
            })
    }

    /// The values of a tensor in row-major order.
    ///
    /// # Errors
    /// [`WeightsError::NoSuchTensor`] unless the file has it with exactly this shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.find(name, shape)
            .ok_or_else(|| WeightsError::NoSuchTensor {
                path: self.path.clone(),
                name: name.to_owned(),
                shape: shape.to_vec(),
            })
    }

    fn find(&self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let entry = Entry::deserialize(self.contents.get(name)?).ok()?;
        let [start, end] = entry.data_offsets;
        let (values, rest) = self.values.get(start..end)?.as_chunks();
        let is_complete = rest.is_empty() && values.len() == shape.iter().product::<usize>();
        (entry.dtype == "F32" && entry.shape == shape && is_complete)
            .then(|| values.iter().copied().map(f32::from_le_bytes).collect())
    }
}

/// Splits a file into its table of contents and its values.
fn parse(bytes: &[u8]) -> Option<(Map<String, Value>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (contents, values) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(contents).ok()?, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"__metadata__":{"source":"a test"},
        "pair":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},
        "integer":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},
        "outside":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},
        "reversed":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#;

    fn file(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<WeightFile, WeightsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        fs::write(&path, bytes).unwrap();
        WeightFile::read(&path)
    }

    #[test]
    fn reads_a_tensor_of_the_expected_shape() {
        let weights = read(&file(HEADER, &[1.5, -2.0])).unwrap();
        assert_eq!(weights.tensor("pair", &[1, 2]).unwrap(), [1.5, -2.0]);
        for (name, shape) in [
            ("pair", &[2, 1][..]),
            ("integer", &[1]),
            ("outside", &[2]),
            ("reversed", &[2]),
            ("__metadata__", &[1]),
            ("absent", &[1]),
        ] {
            let error = weights.tensor(name, shape).unwrap_err();
            assert!(matches!(error, WeightsError::NoSuchTensor { .. }), "{name}");
        }
    }

    #[test]
    fn refuses_files_that_are_truncated_or_something_else() {
        let whole = file(HEADER, &[]);
        let mut endless = whole.clone();
        endless[..8].fill(0xFF);
        for bytes in [
            &whole[..5],
            &whole[..100],
            &endless,
            b"%PDF-1.7, no weights",
        ] {
            let error = read(bytes).map(|_| ()).unwrap_err();
            assert!(matches!(error, WeightsError::Malformed { .. }), "{error}");
        }
        let missing = WeightFile::read(Path::new("/nowhere/weights")).map(|_| ());
        assert!(matches!(missing, Err(WeightsError::Read { .. })));
    }
}
