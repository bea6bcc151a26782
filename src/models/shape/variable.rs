//! The header of a variable in a weights file.

use std::io::{self, Read};

use super::ShapeError;

/// Maximum number of dimensions of a variable.
const MAX_RANK: u8 = 8;

/// The header of a variable.
pub(super) struct Variable {
    pub name: String,
    /// Sizes, the outermost first; empty for a scalar.
    pub dimensions: Vec<u64>,
    pub format: NumberFormat,
    /// Number of elements.
    pub numbers: u64,
    /// Size of its content, in bytes.
    pub bytes: u64,
}

/// CTranslate2's `DataType`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberFormat {
    Float32,
    Int8,
    Int16,
    Int32,
    Float16,
    Bfloat16,
}

impl NumberFormat {
    /// By CTranslate2's number.
    fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Float32),
            1 => Some(Self::Int8),
            2 => Some(Self::Int16),
            3 => Some(Self::Int32),
            4 => Some(Self::Float16),
            5 => Some(Self::Bfloat16),
            _ => None,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float16 | Self::Bfloat16)
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Int8 => 1,
            Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Float32 | Self::Int32 => 4,
        }
    }
}

impl Variable {
    /// Reads the header; the content follows.
    pub fn read(file: &mut impl Read) -> Result<Self, ShapeError> {
        let name = read_string(file)?;
        let [rank] = read_array(file)?;
        if rank > MAX_RANK {
            return Err(ShapeError::NotWhisper("a variable has too many dimensions"));
        }
        let dimensions = (0..rank).map(|_| Ok(u64::from(read_u32(file)?)));
        let dimensions = dimensions.collect::<io::Result<Vec<_>>>()?;
        let [format] = read_array(file)?;
        let format = NumberFormat::of(format);
        let format = format.ok_or(ShapeError::NotWhisper(
            "unknown number format of a variable",
        ))?;
        let bytes = u64::from(read_u32(file)?);
        // The sizes are not trusted: the number of elements must match the bytes in the file.
        let numbers = dimensions
            .iter()
            .try_fold(1_u64, |all, &one| all.checked_mul(one));
        let numbers = numbers
            .filter(|&numbers| numbers > 0 && numbers.checked_mul(format.bytes()) == Some(bytes));
        Ok(Self {
            name,
            dimensions,
            format,
            numbers: numbers.ok_or(ShapeError::NotWhisper(
                "a variable's size does not match its shape",
            ))?,
            bytes,
        })
    }
}

fn read_array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a little-endian integer.
pub(super) fn read_u32(file: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_le_bytes(read_array(file)?))
}

/// Reads a string, preceded by its length and terminated by a zero byte.
pub(super) fn read_string(file: &mut impl Read) -> io::Result<String> {
    let length = u16::from_le_bytes(read_array(file)?);
    let mut bytes = vec![0; usize::from(length)];
    file.read_exact(&mut bytes)?;
    bytes.pop_if(|last| *last == 0);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
