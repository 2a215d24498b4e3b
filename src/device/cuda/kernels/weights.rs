//! Weights in the type of the file, and which of them a kernel reads.

use super::abi;
use super::list::KernelName;
use crate::checkpoint::{Cast, FloatType};

/// The type of a weight in the file, as in `kernels/weights.cuh`.
pub trait Weight {
    /// Converts it to f32 and f64.
    const WIDEN: [KernelName; 2];
    const PRODUCT_ALONG: KernelName;
    const PRODUCT_ACROSS: KernelName;
}

#[allow(dead_code)] // a type of memory: the host makes none
pub struct Bf16(u16);
#[allow(dead_code)] // as above
pub struct F16(u16);
#[allow(dead_code)] // as above
pub struct F32(f32);
#[allow(dead_code)] // as above
pub struct F64(f64);

impl Weight for Bf16 {
    const WIDEN: [KernelName; 2] = [KernelName::WidenBf16F32, KernelName::WidenBf16F64];
    const PRODUCT_ALONG: KernelName = KernelName::ProductAlongBf16;
    const PRODUCT_ACROSS: KernelName = KernelName::ProductAcrossBf16;
}

impl Weight for F16 {
    const WIDEN: [KernelName; 2] = [KernelName::WidenF16F32, KernelName::WidenF16F64];
    const PRODUCT_ALONG: KernelName = KernelName::ProductAlongF16;
    const PRODUCT_ACROSS: KernelName = KernelName::ProductAcrossF16;
}

impl Weight for F32 {
    const WIDEN: [KernelName; 2] = [KernelName::WidenF32F32, KernelName::WidenF32F64];
    const PRODUCT_ALONG: KernelName = KernelName::ProductAlongF32;
    const PRODUCT_ACROSS: KernelName = KernelName::ProductAcrossF32;
}

impl Weight for F64 {
    const WIDEN: [KernelName; 2] = [KernelName::WidenF64F32, KernelName::WidenF64F64];
    const PRODUCT_ALONG: KernelName = KernelName::ProductAlongF64;
    const PRODUCT_ACROSS: KernelName = KernelName::ProductAcrossF64;
}

/// Evaluates an expression with `$weight` as the type of a [`FloatType`].
macro_rules! with_weight {
    ($dtype:expr, $weight:ident => $expression:expr) => {
        match $dtype {
            $crate::checkpoint::FloatType::BF16 => {
                type $weight = $crate::device::cuda::kernels::weights::Bf16;
                $expression
            }
            $crate::checkpoint::FloatType::F16 => {
                type $weight = $crate::device::cuda::kernels::weights::F16;
                $expression
            }
            $crate::checkpoint::FloatType::F32 => {
                type $weight = $crate::device::cuda::kernels::weights::F32;
                $expression
            }
            $crate::checkpoint::FloatType::F64 => {
                type $weight = $crate::device::cuda::kernels::weights::F64;
                $expression
            }
        }
    };
}
pub(super) use with_weight;

/// How weights are stored, and what is done to each before it is used: the cast that the user asked for, then the factor.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    pub dtype: FloatType,
    pub cast: Cast,
    pub scale: f64,
}

impl Conversion {
    /// The cast as kernels know it.
    pub fn cast_code(self) -> u32 {
        match self.cast {
            Cast::None => abi::CAST_NONE,
            Cast::Fp16 => abi::CAST_FP16,
            Cast::Bf16 => abi::CAST_BF16,
        }
    }
}

/// Which elements a kernel reads: `majors` runs of `minors` consecutive elements. Run r begins at element first + r * pitch of
/// its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    pub majors: usize,
    pub minors: usize,
    pub first: usize,
    pub pitch: usize,
}

impl Runs {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.majors * self.minors
    }
}
