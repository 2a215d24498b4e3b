//! Element types of tensors, by their safetensors names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::float8::Float8;

/// The floating-point types whose spectra can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum FloatType {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    #[cfg_attr(feature = "cli", value(alias = "fp16"))]
    F16,
    /// bfloat16: the upper half of a single.
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
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The element type a safetensors header states. In JSON it is its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Dtype {
    /// One that `htsr` computes with.
    Float(FloatType),
    /// A floating-point type of 8 bits: of weights with scale factors, or of these.
    Float8(Float8),
    /// An integer or boolean type.
    Integer(String),
    /// Any other: complex numbers, types this version does not know.
    Other(String),
}

impl Dtype {
    /// Reads the name used in a safetensors header; every name is a valid dtype, though few are supported.
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
            _ => Dtype::Other(name.into()),
        }
    }

    /// Bits per element, or `None` for a type this version does not know.
    pub fn bits(&self) -> Option<u64> {
        match self {
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
