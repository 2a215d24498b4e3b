//! The element types of tensors, by name, and the bytes that tensors take.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::blocks::BlockType;
use super::float8::Float8;

/// A floating-point type from which spectra are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum FloatType {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    #[cfg_attr(feature = "cli", value(alias = "fp16"))]
    F16,
    /// bfloat16: the upper half of an IEEE single.
    BF16,
}

impl FloatType {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            FloatType::F64 => 8,
            FloatType::F32 => 4,
            FloatType::F16 | FloatType::BF16 => 2,
        }
    }

    /// Largest relative error of rounding to the nearest number of this type.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            FloatType::F64 => f64::EPSILON / 2.0,
            FloatType::F32 => f64::from(f32::EPSILON) / 2.0,
            FloatType::F16 => 2.0_f64.powi(-11),
            FloatType::BF16 => 2.0_f64.powi(-8),
        }
    }
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The element type of a tensor. In JSON it is its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum Dtype {
    /// A type from which spectra are computed.
    Float(FloatType),
    /// An 8-bit floating-point type, of weights with scale factors or of the factors.
    Float8(Float8),
    /// A block-quantized type.
    Blocks(BlockType),
    /// An integer or boolean type.
    Integer(String),
    /// Any other type: complex numbers, and types that this version does not know.
    Other(String),
}

impl Dtype {
    /// The type of this name. Every name is accepted: an unknown dtype skips only its own tensor.
    pub fn from_name(name: &str) -> Dtype {
        match name {
            "F64" => Dtype::Float(FloatType::F64),
            "F32" => Dtype::Float(FloatType::F32),
            "F16" => Dtype::Float(FloatType::F16),
            "BF16" => Dtype::Float(FloatType::BF16),
            "F8_E4M3" => Dtype::Float8(Float8::E4M3),
            "F8_E5M2" => Dtype::Float8(Float8::E5M2),
            "F8_E8M0" => Dtype::Float8(Float8::E8M0),
            "BOOL" | "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "U64" | "I64" => Dtype::Integer(name.into()),
            _ => BlockType::from_name(name).map_or_else(|| Dtype::Other(name.into()), Dtype::Blocks),
        }
    }

    /// Bytes of a row-major tensor of this shape, or `None` if the size of the type is not known.
    ///
    /// # Errors
    ///
    /// A sentence, if the number of elements overflows, or a row is not a whole number of blocks.
    pub(super) fn tensor_bytes(&self, shape: &[u64]) -> Result<Option<u128>, String> {
        let elements = shape.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim));
        let elements = u128::from(elements.ok_or_else(|| format!("the product of {shape:?} overflows"))?);
        let Dtype::Blocks(block) = self else {
            return Ok(self.bits().map(|bits| (elements * u128::from(bits)).div_ceil(8)));
        };
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(block.elements) {
            return Err(format!("shape {shape:?} has rows that are not whole blocks of {} {block}", block.elements));
        }
        Ok(Some(elements / u128::from(block.elements) * u128::from(block.bytes)))
    }

    /// Bits of one element, or `None` if elements have no size of their own or it is not known.
    fn bits(&self) -> Option<u64> {
        match self {
            Dtype::Blocks(_) => None,
            Dtype::Float(float) => Some(8 * float.bytes() as u64),
            Dtype::Float8(_) => Some(8),
            Dtype::Integer(name) | Dtype::Other(name) => match name.as_str() {
                "F4" => Some(4),
                "F6_E2M3" | "F6_E3M2" => Some(6),
                "BOOL" | "U8" | "I8" => Some(8),
                name if name.starts_with("F8_") => Some(8),
                "U16" | "I16" => Some(16),
                "U32" | "I32" => Some(32),
                "U64" | "I64" | "C64" => Some(64),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::Float(float) => float.fmt(f),
            Dtype::Float8(float) => float.fmt(f),
            Dtype::Blocks(block) => block.fmt(f),
            Dtype::Integer(name) | Dtype::Other(name) => f.write_str(name),
        }
    }
}

impl From<String> for Dtype {
    fn from(name: String) -> Dtype {
        Dtype::from_name(&name)
    }
}

impl From<Dtype> for String {
    fn from(dtype: Dtype) -> String {
        dtype.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for name in ["F64", "BF16", "F8_E4M3", "F8_E8M0", "Q4_K", "U8", "BOOL", "F4", "C64", "F128"] {
            let json = serde_json::to_string(&Dtype::from_name(name)).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Dtype>(&json).unwrap(), Dtype::from_name(name));
        }
    }

    #[test]
    fn bytes_of_tensors() {
        let huge = u128::from(u64::MAX);
        for (name, shape, bytes) in [
            ("F64", &[3, 5][..], Some(120)),
            ("BF16", &[], Some(2)),
            ("F8_E5M2", &[3, 5], Some(15)),
            ("F4", &[3, 5], Some(8)),
            ("F6_E2M3", &[4], Some(3)),
            ("F64", &[u64::MAX], Some(8 * huge)),
            ("Q4_K", &[2, 512], Some(2 * 2 * 144)),
            ("Q8_0", &[3, 64], Some(3 * 2 * 34)),
            ("Q6_K", &[0, 256], Some(0)),
            ("F128", &[3, 5], None),
        ] {
            assert_eq!(Dtype::from_name(name).tensor_bytes(shape), Ok(bytes), "{name} {shape:?}");
        }
        for (name, shape, cause) in [
            ("F32", &[1 << 32, 1 << 32][..], "the product of [4294967296, 4294967296] overflows"),
            ("Q4_K", &[256, 100], "shape [256, 100] has rows that are not whole blocks of 256 Q4_K"),
            ("Q4_0", &[], "shape [] has rows that are not whole blocks of 32 Q4_0"),
        ] {
            assert_eq!(Dtype::from_name(name).tensor_bytes(shape).unwrap_err(), cause);
        }
    }
}
