//! The number formats that an engine may compute with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number format of weights and arithmetic, in CTranslate2's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeType {
    /// The model's stored format.
    Default,
    /// The fastest format of the device.
    Auto,
    /// 8-bit weights, other values in the device's default type.
    Int8,
    /// 8-bit weights, other values as 16-bit floats.
    Int8Float16,
    /// 8-bit weights, other values as brain floats.
    Int8Bfloat16,
    /// 8-bit weights, other values as 32-bit floats.
    Int8Float32,
    /// 16-bit integers.
    Int16,
    /// 16-bit floats.
    Float16,
    /// Brain floats.
    Bfloat16,
    /// 32-bit floats.
    Float32,
}

/// Formats the name in the settings.
impl fmt::Display for ComputeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
