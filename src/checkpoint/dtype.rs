//! Element types of tensors, by their safetensors names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The floating-point types whose spectra can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
pub enum FloatType {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    #[value(alias = "fp16")]
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

/// The element type a safetensors header states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dtype {
    /// One that `htsr` computes with.
    Float(FloatType),
    /// An integer or boolean type.
    Integer(String),
    /// Any other: 8-bit floats, complex numbers, types this version does not know.
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
            "BOOL" | "U8" | "I8" | "U16" | "I16" | "U32" | "I32" | "U64" | "I64" => Dtype::Integer(name.into()),
            _ => Dtype::Other(name.into()),
        }
    }

    /// Bits per element, or `None` for a type this version does not know.
    pub fn bits(&self) -> Option<u64> {
        match self {
            Dtype::Float(float) => Some(8 * float.bytes() as u64),
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
            Dtype::Integer(name) | Dtype::Other(name) => f.write_str(name),
        }
    }
}
